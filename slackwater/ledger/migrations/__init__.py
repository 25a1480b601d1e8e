"""Schema `ledger`, versioned with Alembic. `upgrade` is safe to call at every start, from several processes at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from slackwater.clients.postgres import connect, sqlalchemy_uri

MIGRATION_LOCK = 0x51AC_0001
"""Key of the advisory lock that lets one process migrate while others wait."""


def upgrade(dsn: str) -> None:
    """Bring the ledger's schema to the newest version; does nothing when it is there already.

    Args:
        dsn: libpq URI of an existing database.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["uri"] = sqlalchemy_uri(dsn)
    with connect(dsn, autocommit=True, application_name="slackwater-migrations") as connection:
        connection.execute("select pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        connection.execute("create schema if not exists ledger")
        command.upgrade(config, "head")
