"""Which invocation of dbt built a refresh. Over an open transaction."""

from datetime import datetime

from slackwater.clients.postgres import Connection


def note_build(connection: Connection, refresh_id: str, *, invocation_id: str, built_at: datetime) -> bool:
    """Keep the invocation that built an open refresh; the last one counts when a dead holder's build is repeated.

    Returns:
        False when the refresh has ended (or is unknown): building it by hand then changes nothing that readers see.
    """
    changed = connection.execute(
        "update ledger.refresh set dbt_invocation_id = %s, dbt_built_at = %s"
        " where refresh_id = %s and state in ('building', 'tested')",
        (invocation_id, built_at, refresh_id),
    )
    return changed.rowcount == 1
