"""What the stores say of data, as frozen records: rows, objects, mart rows; what of work is in `work_facts`.

The readers make them, the assembly reads them. All times are aware and UTC. No store, no SQL, no words for people here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum

from slackwater.entities.model import ChangeKey
from slackwater.explain.model import Value

DAILY_MART = "daily_business_metrics"
"""The mart whose rows are days."""


class Store(StrEnum):
    """Who is asked."""

    SHOP = "the shop"
    LEDGER = "the ledger"
    LAKE = "the lake"
    WAREHOUSE = "the warehouse"
    CLICKHOUSE = "ClickHouse"


Silent = Mapping[Store, str]
"""The stores that did not answer, with what they said."""


def utc(value: object) -> datetime | None:
    """Return a store's time as aware UTC; the stores' naive times are UTC. Anything but a time is None."""
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def scalar(value: object) -> Value:
    """Return an Arrow value as one of the types a story may hold.

    Raises:
        TypeError: It is of no such type; a float never is.
    """
    if value is None or isinstance(value, str | int | Decimal | date):
        return value
    raise TypeError(f"{value!r} is no value of an entity")


@dataclass(frozen=True)
class ShopVersion:
    """One row of `shop_history.<entity>`; `operation` is `c`, `u` or `d`."""

    history_id: int
    operation: str
    event_at: datetime


@dataclass(frozen=True)
class ChangeRow:
    """One change of a key as one store holds it.

    Attributes:
        op: `c`, `u`, `d` or `r`.
        event_at: When the source changed the row (`__source_ts_ms`).
        captured_at: When change data capture saw it (`__ts_ms`), if it says so.
        values: The entity's other columns.
        stored_at: When this store got it: `loaded_at`, `ingested_at`, None for the lake.
        batch_id: Batch that brought it; None in ClickHouse, which is fed beside the batches.
        file_name: Landing key; None in ClickHouse.
        load_seq: Place in the order of loads; only in raw.
    """

    op: str
    lsn: int
    epoch: int
    object_id: str
    source_partition: str
    position: int
    event_at: datetime
    captured_at: datetime | None
    values: Mapping[str, Value]
    stored_at: datetime | None = None
    batch_id: str | None = None
    file_name: str | None = None
    load_seq: int | None = None

    @property
    def identity(self) -> tuple[int, int, str]:
        """Return what makes two rows of a key the same change."""
        return (self.epoch, self.lsn, self.op)

    @property
    def order(self) -> ChangeKey:
        """Return the row's place in the change order."""
        return ChangeKey(self.epoch, self.lsn, self.op != "r", self.position, self.object_id)


@dataclass(frozen=True)
class ObjectFacts:
    """One object version in the ledger.

    Attributes:
        batch_ids: Every batch whose manifest names it, oldest first.
        skipped_in: Of those, the batches that went on without it.
        overwritten_by: Id of the object that has its key now, if any.
        seen_by: Who recorded it.
    """

    object_id: str
    bucket: str
    key: str
    entity: str | None
    state: str
    size_bytes: int
    reason: str | None
    message: str | None
    source_partition: str | None
    first_position: int | None
    last_position: int | None
    first_seen_at: datetime
    changed_at: datetime
    last_modified: datetime | None
    overwrites: str | None
    overwritten_by: str | None = None
    batch_ids: tuple[str, ...] = ()
    skipped_in: frozenset[str] = frozenset()
    seen_by: str | None = None

    @property
    def row_count(self) -> int | None:
        """Return the rows its name promises."""
        if self.first_position is None or self.last_position is None:
            return None
        return self.last_position - self.first_position + 1

    def holds(self, source_partition: str, position: int) -> bool:
        """Say whether its name promises a position."""
        if self.first_position is None or self.last_position is None:
            return False
        return self.source_partition == source_partition and self.first_position <= position <= self.last_position


@dataclass(frozen=True)
class MartDay:
    """One day of the daily mart that a value reaches; `publication_id` None: no published row for that day."""

    day: date
    publication_id: str | None
    published_at: datetime | None


@dataclass(frozen=True)
class RawPart:
    """Rows of one object or batch in raw."""

    rows: int
    first_lsn: int
    last_lsn: int
    first_event_at: datetime | None
    last_event_at: datetime | None


@dataclass(frozen=True)
class SpeedPart:
    """Rows of one object or batch in ClickHouse."""

    rows: int
    last_ingested_at: datetime | None


@dataclass(frozen=True)
class DayInSpeed:
    """Orders of one day in ClickHouse: distinct keys of which any version was created that day."""

    orders: int
    last_ingested_at: datetime | None


@dataclass(frozen=True)
class DayPart:
    """Newest versions that make up one day, of one entity and object."""

    entity: str
    batch_id: str
    object_id: str
    file_name: str
    rows: int


@dataclass(frozen=True)
class DayRow:
    """One published row of the daily mart, columns in the mart's order."""

    day: date
    publication_id: str
    values: tuple[tuple[str, Value], ...]
