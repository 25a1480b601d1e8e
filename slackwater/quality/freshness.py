"""Freshness of the marts: how old what readers see is. It alerts and never gates: a gate would block its own cure.

Measured on `loaded_at`, the time the warehouse took a batch in: event times of a replay or a late file say nothing of
how well the system keeps up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from slackwater.clients.snowflake import Warehouse, as_utc
from slackwater.warehouse.refresh import published_bounds


@dataclass(frozen=True)
class Freshness:
    """How far a mart set is behind.

    Attributes:
        mart_set: Its name.
        published_at: When the newest batch that readers see was loaded; None before the first publication.
        waiting_since: When the oldest batch that no publication holds was loaded; None when all are published.
    """

    mart_set: str
    published_at: datetime | None
    waiting_since: datetime | None


@dataclass(frozen=True)
class StaleMarts:
    """A mart set that is older than it may be; the same `since` is the same trouble."""

    mart_set: str
    since: datetime
    age_minutes: int
    cause: str


def judge_freshness(found: Freshness, *, now: datetime, limit_minutes: int) -> StaleMarts | None:
    """Return what is wrong with the age of a mart set, None when nothing is.

    Args:
        found: What was measured.
        now: Present moment (UTC).
        limit_minutes: Greatest age that is no trouble.

    Returns:
        The marts are stale when the newest load they hold is older than the limit; before the first publication, when
        a load waits for longer. A system that never loaded anything has nothing to be stale.
    """
    since = found.published_at or found.waiting_since
    if since is None or now - since <= timedelta(minutes=limit_minutes):
        return None
    age = int((now - since).total_seconds() // 60)
    if found.waiting_since is None:
        return StaleMarts(found.mart_set, since, age, "nothing was loaded since; does the source still send files?")
    waiting = f"{found.waiting_since:%Y-%m-%d %H:%M} UTC"
    cause = f"what was loaded since {waiting} is not published; see `slackwater gate show` and `slackwater status`"
    return StaleMarts(found.mart_set, since, age, cause)


def read_freshness(warehouse: Warehouse, mart_set: str) -> Freshness:
    """Measure how far a mart set is behind its loads."""
    bounds = published_bounds(warehouse, mart_set)
    published = [_loaded_at(warehouse, "max", entity, "<=", bounds) for entity in bounds]
    entities = [str(row[0]) for row in warehouse.query("select distinct entity from OPS.LOAD_HISTORY")]
    waiting = [_loaded_at(warehouse, "min", entity, ">", bounds) for entity in entities]
    return Freshness(
        mart_set=mart_set,
        published_at=max((at for at in published if at is not None), default=None),
        waiting_since=min((at for at in waiting if at is not None), default=None),
    )


def _loaded_at(
    warehouse: Warehouse, aggregate: str, entity: str, comparison: str, bounds: Mapping[str, int]
) -> datetime | None:
    found = warehouse.scalar(
        f"select {aggregate}(loaded_at) from OPS.LOAD_HISTORY where entity = ? and load_seq {comparison} ?",
        (entity, bounds.get(entity, 0)),
    )
    return None if found is None else as_utc(found)
