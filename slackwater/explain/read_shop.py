"""Reads the versions of one key from the shop's own history, where the source keeps one."""

from slackwater.clients.postgres import Connection
from slackwater.entities.model import load_entity
from slackwater.explain.facts import ShopVersion, utc


def shop_versions(connection: Connection, entity: str, key: int) -> tuple[ShopVersion, ...] | None:
    """Return every version of a key in `shop_history`, oldest first; None when the source keeps no history."""
    declared = load_entity(entity)
    table = f"shop_history.{declared.name}"
    row = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    if row is None or not row[0]:
        return None
    rows = connection.execute(
        f"select history_id, operation, event_time from {table} where {declared.key} = %s order by history_id", (key,)
    ).fetchall()
    return tuple(
        ShopVersion(int(history_id), str(operation), at)
        for history_id, operation, event_time in rows
        if (at := utc(event_time)) is not None
    )
