"""The PostgreSQL databases of a stack: created if missing, never dropped."""

import re
from collections.abc import Iterable

from slackwater.clients.postgres import connect, translated
from slackwater.errors import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def ensure_databases(admin_uri: str, names: Iterable[str]) -> tuple[str, ...]:
    """Create the missing databases and return their names; a second call creates none.

    Args:
        admin_uri: URI of the maintenance database, with the right to create databases.
        names: Plain lower-case names.

    Raises:
        StoreUnavailable: The server does not answer.
        ConfigurationError: A name is not plain, or the account may not create databases.
    """
    created = []
    with connect(admin_uri, autocommit=True) as connection, translated():
        present = {row[0] for row in connection.execute("select datname from pg_database")}
        for name in names:
            if not _NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} is not a plain database name")
            if name not in present:
                connection.execute(f'create database "{name}"'.encode())
                created.append(name)
    return tuple(created)
