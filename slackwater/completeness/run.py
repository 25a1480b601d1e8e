"""One turn of the completeness clock: count every store, assess, keep what differs. Whoever calls it logs a failure."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import SecretStr

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.completeness.assess import assess
from slackwater.completeness.ledger_counts import count_ledger
from slackwater.completeness.model import Counts, DayCount, StoredDay
from slackwater.completeness.readers import count_clickhouse, count_lake, count_source, count_warehouse
from slackwater.completeness.store import stored_day, write_days
from slackwater.errors import StoreUnavailable
from slackwater.lake.event_days import OBJECT_DAY_COLUMNS, rows_per_object_day
from slackwater.ledger import object_days
from slackwater.ledger.store import Ledger

T = TypeVar("T")


@dataclass(frozen=True)
class CompletenessRun:
    """What one turn found.

    Attributes:
        days: Every row, by day, then entity.
        changed_rows: Rows of OPS.COMPLETENESS that were written or removed; None when a later turn had written before.
        refresh_id: The refresh that is published.
        seconds: Duration by part.
    """

    days: tuple[StoredDay, ...]
    changed_rows: int | None
    refresh_id: str | None
    seconds: dict[str, float]

    @property
    def summary(self) -> str:
        """Return one sentence."""
        final = sum(1 for one in self.days if one.is_final)
        written = "a later count was kept" if self.changed_rows is None else f"{self.changed_rows} rows changed"
        return f"{final} of {len(self.days)} days of entities are final; {written} ({sum(self.seconds.values()):.1f} s)"


def refresh_completeness(
    *,
    ledger: Ledger,
    lake: Lake,
    warehouse: Warehouse,
    speed: SpeedStore,
    source_dsn: SecretStr | str | None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.perf_counter,
) -> CompletenessRun:
    """Count every store, assess every day and bring OPS.COMPLETENESS in line; a second call writes nothing new.

    The ledger is counted first and the source last, so what moves meanwhile makes a day look less complete, not more.

    Args:
        ledger: Says what arrived. Rows per day of batches that were landed without them are filled in from the lake.
        lake: Counted from metadata.
        warehouse: Counted and written.
        speed: ClickHouse; while it does not answer its counts are null, since they decide nothing.
        source_dsn: The source's database, None when there is none to ask.
        now: The present moment.
        clock: Measures durations, in seconds.

    Raises:
        StoreUnavailable: Another store did not answer; nothing was written.
        CommitConflict: Another turn held the lock too long; nothing was written.
    """
    counted_at = now().astimezone(UTC).replace(tzinfo=None)
    seconds: dict[str, float] = {}

    def timed(part: str, count: Callable[[], T]) -> T:
        began = clock()
        found = count()
        seconds[part] = clock() - began
        return found

    arrived = timed("ledger", lambda: count_ledger(ledger))
    if arrived.lacks_days and timed("fill", lambda: fill_object_days(ledger, lake)):
        arrived = timed("ledger", lambda: count_ledger(ledger))
    in_lake = timed("lake", lambda: count_lake(lake))
    loaded = timed("warehouse", lambda: count_warehouse(warehouse))
    fast = timed("clickhouse", lambda: _maybe_count(speed))
    source = timed("source", lambda: None if source_dsn is None else count_source(source_dsn))
    counts = Counts(
        source=source,
        ledger=arrived,
        lake=in_lake,
        raw=loaded.raw,
        published=loaded.published,
        clickhouse=fast,
        refresh_id=loaded.refresh_id,
    )
    refresh_id = loaded.refresh_id
    assessed = timed("assess", lambda: assess(counts))
    days = tuple(stored_day(one, counted_at=counted_at, refresh_id=refresh_id) for one in assessed)
    changed = timed("write", lambda: write_days(warehouse, days, counted_at=counted_at, refresh_id=refresh_id))
    return CompletenessRun(days, changed, refresh_id, seconds)


def fill_object_days(ledger: Ledger, lake: Lake) -> int:
    """Write the rows per day of objects that were landed without them, read from the lake; a second call does nothing.

    Returns:
        How many pairs of object and day were written.
    """
    with ledger.transaction() as connection:
        unknown = object_days.unknown_objects(connection)
    written = 0
    for entity, object_ids in unknown.items():
        held = rows_per_object_day(lake.scan(entity, columns=OBJECT_DAY_COLUMNS))
        with ledger.transaction() as connection:
            days = {object_id: found for object_id, found in held.items() if object_id in object_ids}
            written += object_days.write(connection, days)
    return written


def _maybe_count(speed: SpeedStore) -> DayCount | None:
    try:
        return count_clickhouse(speed)
    except StoreUnavailable:
        return None
