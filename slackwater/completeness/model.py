"""What is counted and what is said of it, per entity and event day. Frozen shapes only.

A day is the UTC date of `__source_ts_ms`. Rows are changes; one position delivered twice is one row, except where said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum

EntityDay = tuple[str, date]
DayCount = Mapping[EntityDay, int]
"""Rows per entity and day; days without rows are left out."""


class HoleKind(StrEnum):
    """Why positions of a source partition are not in the marts."""

    MISSING = "missing"
    QUARANTINED = "quarantined"
    IN_FLIGHT = "in_flight"


@dataclass(frozen=True)
class Hole:
    """Positions of one source partition that the marts lack, and the days they may belong to.

    Attributes:
        objects: Files concerned; 0 for positions nobody has seen.
        name: A file of them, or the name of the file that would fill the hole.
        first_day: Earliest day its rows may have; None when nothing says so (then it may be any).
        last_day: Latest day its rows may have; None when nothing says so.
    """

    kind: HoleKind
    entity: str
    source_partition: str
    first_position: int
    last_position: int
    objects: int
    name: str
    first_day: date | None
    last_day: date | None

    @property
    def position_count(self) -> int:
        """Return how many positions lie in it."""
        return self.last_position - self.first_position + 1


@dataclass(frozen=True)
class PartitionClock:
    """How far one source partition has come: the newest event day of its files that were read; None before the first.

    A partition of which only unread files are known has no day yet.
    """

    entity: str
    source_partition: str
    last_day: date | None


@dataclass(frozen=True)
class LedgerCounts:
    """What the ledger says arrived.

    Attributes:
        landed: Rows of objects neither set aside nor superseded; exact once read, before that what the name promises,
            on the date of the key.
        committed: Rows of the objects of landed batches, repeated deliveries included and purged rows not: what the
            lake must hold.
        quarantined: Rows promised by quarantined objects that no other object delivers.
        discarded: The same of discarded objects.
        clocks: Every source partition.
        holes: Everything missing, quarantined and in flight.
        lacks_days: The rows per day of some landed batch are not known (`run.fill_object_days` finds them).
    """

    landed: DayCount
    committed: DayCount
    quarantined: DayCount
    discarded: DayCount
    clocks: tuple[PartitionClock, ...]
    holes: tuple[Hole, ...]
    lacks_days: bool = False


@dataclass(frozen=True)
class Counts:
    """One count of every store.

    Attributes:
        source: None when the source's history is not known here.
        lake: Rows in the changelog, repeated deliveries included.
        published: Rows of raw that the current publication could see.
        clickhouse: None when it did not answer; it decides nothing.
        refresh_id: The refresh that is published; None before the first.
    """

    source: DayCount | None
    ledger: LedgerCounts
    lake: DayCount
    raw: DayCount
    published: DayCount
    clickhouse: DayCount | None
    refresh_id: str | None


class Cause(StrEnum):
    """Why a day is not final."""

    STILL_OPEN = "still_open"
    MISSING = "missing"
    QUARANTINED = "quarantined"
    IN_FLIGHT = "in_flight"
    UNPUBLISHED = "unpublished"
    LAKE_DIFFERS = "lake_differs"
    WAREHOUSE_DIFFERS = "warehouse_differs"
    SOURCE_DIFFERS = "source_differs"


@dataclass(frozen=True)
class DayCompleteness:
    """One entity on one day.

    Attributes:
        missing_positions: Positions nobody has seen that may belong to this day. Where the neighbours of a gap lie on
            different days and no source count tells more, each of these days shows all of them.
        causes: Why it is not final; empty when it is.
        reasons: The same in words, one per cause.
    """

    entity: str
    day: date
    source_rows: int | None
    landed_rows: int
    lake_rows: int
    raw_rows: int
    published_rows: int
    clickhouse_rows: int | None
    missing_positions: int
    quarantined_rows: int
    discarded_rows: int
    causes: tuple[Cause, ...]
    reasons: tuple[str, ...]

    @property
    def is_final(self) -> bool:
        """Say whether nothing speaks against this day being complete."""
        return not self.causes

    @property
    def expected_rows(self) -> int:
        """Return the best known number of rows the day should have."""
        if self.source_rows is not None:
            return max(self.source_rows, self.landed_rows, self.published_rows)
        arrived = self.landed_rows + self.quarantined_rows + self.discarded_rows
        return max(arrived + self.missing_positions, self.published_rows)

    @property
    def percent(self) -> Decimal:
        """Return published of expected rows in percent, two decimals, rounded down; a day without rows has 100."""
        return percent_of(self.published_rows, self.expected_rows)


def percent_of(part: int, whole: int) -> Decimal:
    """Return a share in percent with two decimals, rounded down: 100.00 means all; nothing of nothing is all."""
    if whole == 0:
        return Decimal("100.00")
    return (Decimal(part) * 100 / whole).quantize(Decimal("0.01"), rounding=ROUND_FLOOR)


@dataclass(frozen=True)
class StoredDay:
    """One row of OPS.COMPLETENESS.

    Attributes:
        reasons: Why the day is not final, joined; empty when it is.
        computed_at: When the row last changed, naive UTC.
        refresh_id: The publication the row was computed for, when it last changed.
    """

    entity: str
    day: date
    source_rows: int | None
    landed_rows: int
    lake_rows: int
    raw_rows: int
    published_rows: int
    clickhouse_rows: int | None
    missing_positions: int
    quarantined_rows: int
    discarded_rows: int
    expected_rows: int
    percent: Decimal
    is_final: bool
    reasons: str
    computed_at: datetime
    refresh_id: str | None


@dataclass(frozen=True)
class StoredClock:
    """When the completeness was last computed (naive UTC), and for which published refresh."""

    computed_at: datetime
    refresh_id: str | None
