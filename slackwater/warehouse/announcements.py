"""OPS.ANNOUNCEMENT: which troubles somebody was told of, so that a look every few minutes tells each of them once.

Written after the event was sent: whoever is killed between the two sends it again, and nobody misses it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from slackwater.clients.snowflake import Warehouse, as_utc
from slackwater.warehouse.audit import SCHEMA_CHANGE, is_applied

LOOK_BACK = timedelta(days=7)
"""Older schema changes are no news."""


@dataclass(frozen=True)
class SchemaNews:
    """One schema change that was applied; `key` names it for good."""

    key: str
    object: str
    what: str
    actor: str


def is_announced(warehouse: Warehouse, key: str) -> bool:
    """Say whether somebody was told of it."""
    return bool(warehouse.query("select 1 from OPS.ANNOUNCEMENT where announcement_key = ?", (key,)))


def note_announced(warehouse: Warehouse, key: str) -> None:
    """Write that somebody was told of it; a second call adds nothing."""
    warehouse.execute(
        "merge into OPS.ANNOUNCEMENT as held using (select cast(? as varchar) as announcement_key) as wanted"
        " on held.announcement_key = wanted.announcement_key when not matched then"
        " insert (announcement_key, announced_at) values (wanted.announcement_key, sysdate())",
        (key,),
    )


def schema_news(warehouse: Warehouse, *, now: datetime) -> Iterator[SchemaNews]:
    """Yield the applied schema changes of the last days that nobody was told of, oldest first."""
    rows = warehouse.query(
        "select recorded_at, actor, object, detail from OPS.AUDIT_LOG where kind = ? order by recorded_at, object",
        (SCHEMA_CHANGE,),
    )
    for recorded_at, actor, name, detail in rows:
        at = as_utc(recorded_at)
        key = f"{SCHEMA_CHANGE}:{name}:{at.isoformat()}"
        if is_applied(str(detail)) and now - at <= LOOK_BACK and not is_announced(warehouse, key):
            yield SchemaNews(key, str(name), str(detail), str(actor))
