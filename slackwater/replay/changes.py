"""The year's changes as columns: collected in plain integers, turned into one Arrow table per entity, cut by time."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.entities.model import Entity, load_entity
from slackwater.replay import synthetic
from slackwater.replay.catalogue import Catalogue
from slackwater.replay.tally import DayTally

FIRST_LSN = 0x0100_0000
"""LSN of the year's first change; every change has the next one. Synthetic."""
LSN_STEP = 8

OPS = ("c", "u", "d")
CREATE, UPDATE, DELETE = range(3)

STATUSES = ("pending", "processing", "shipped", "delivered", "cancelled")
PENDING, CANCELLED = 0, 4

CDC_FIELDS = (
    pa.field("__op", pa.string(), nullable=False),
    pa.field("__ts_ms", pa.timestamp("us"), nullable=False),
    pa.field("__source_ts_ms", pa.timestamp("us"), nullable=False),
    pa.field("__source_lsn", pa.int64(), nullable=False),
    pa.field("__deleted", pa.string(), nullable=False),
)


def _ints() -> "array[int]":
    return array("q")


@dataclass
class ChangeLog:
    """Changes of one entity in order: where in time, what, of which key, and up to two numbers."""

    at_us: "array[int]" = field(default_factory=_ints)
    lsn: "array[int]" = field(default_factory=_ints)
    op: "array[int]" = field(default_factory=_ints)
    key: "array[int]" = field(default_factory=_ints)
    first: "array[int]" = field(default_factory=_ints)
    second: "array[int]" = field(default_factory=_ints)


@dataclass
class YearLog:
    """The four change logs and the one sequence of LSNs they share."""

    users: ChangeLog = field(default_factory=ChangeLog)
    products: ChangeLog = field(default_factory=ChangeLog)
    orders: ChangeLog = field(default_factory=ChangeLog)
    order_items: ChangeLog = field(default_factory=ChangeLog)
    next_lsn: int = FIRST_LSN

    def add(self, log: ChangeLog, at_us: int, *, op: int, key: int, first: int = 0, second: int = 0) -> None:
        """Append a change; the meaning of `first` and `second` is the entity's (see `*_table`)."""
        log.at_us.append(at_us)
        log.lsn.append(self.next_lsn)
        log.op.append(op)
        log.key.append(key)
        log.first.append(first)
        log.second.append(second)
        self.next_lsn += LSN_STEP


@dataclass(frozen=True)
class EntityChanges:
    """All changes of one entity in the year; the row's place is its position.

    Attributes:
        entity: The entity.
        table: Entity columns followed by `CDC_FIELDS`.
        at_us: Source time of each row, ascending.
    """

    entity: Entity
    table: pa.Table
    at_us: "array[int]"

    def span(self, start_us: int, end_us: int) -> tuple[int, int]:
        """Return the positions [first, last + 1) of the changes dated in [start, end)."""
        return bisect_left(self.at_us, start_us), bisect_left(self.at_us, end_us)


@dataclass(frozen=True)
class YearPlan:
    """Everything a replay may emit, independent of range, slice and speed.

    Attributes:
        changes: Per entity, referenced before referencing.
        tally: What became of the input, by day.
        line_count: Number of input lines.
        input_milli: Their value in thousandths.
        start_us: Midnight of the day of the first line.
        end_us: Midnight after the day of the last change.
    """

    changes: Mapping[str, EntityChanges]
    tally: DayTally
    line_count: int
    input_milli: int
    start_us: int
    end_us: int


def ints_array(values: "array[int]") -> pa.Array:
    """Return an int64 Arrow array over a copy-free buffer."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def money_array(cents: pa.Array) -> pa.Array:
    """Return whole pence as decimal(10,2)."""
    exact = pc.multiply(pc.cast(cents, pa.decimal128(19, 0)), pa.scalar(_PENNY, pa.decimal128(3, 2)))
    return pc.cast(exact, pa.decimal128(10, 2))


_PENNY = pa.scalar("0.01").cast(pa.decimal128(3, 2)).as_py()


def time_array(values: "array[int]") -> pa.Array:
    """Return microseconds since 1970 as timestamps without a zone (UTC)."""
    return ints_array(values).cast(pa.timestamp("us"))


def users_table(log: ChangeLog) -> dict[str, pa.Array]:
    """Return the columns of users; the key is the customer number."""
    customers = list(log.key)
    return {
        "id": ints_array(log.key),
        "email": pa.array([synthetic.email(c) for c in customers], pa.string()),
        "first_name": pa.array([synthetic.first_name(c) for c in customers], pa.string()),
        "last_name": pa.array([synthetic.last_name(c) for c in customers], pa.string()),
        "created_at": time_array(log.at_us),
        "updated_at": time_array(log.at_us),
    }


def products_table(log: ChangeLog, catalogue: Catalogue, created_us: "array[int]") -> dict[str, pa.Array]:
    """Return the columns of products; key = place in the catalogue, first = price in pence, second = stock."""
    place = ints_array(log.key)
    return {
        "id": pc.add(place, 1),
        "name": pa.array(catalogue.names, pa.string()).take(place),
        "description": pa.array(catalogue.descriptions, pa.string()).take(place),
        "price": money_array(ints_array(log.first)),
        "stock_quantity": ints_array(log.second).cast(pa.int32()),
        "category": pa.array(catalogue.categories, pa.string()).take(place),
        "created_at": time_array(created_us).take(place),
        "updated_at": time_array(log.at_us),
    }


@dataclass
class OrderFacts:
    """What never changes about an order, as columns by the order's place in the year."""

    number: "array[int]" = field(default_factory=_ints)
    user: list[int | None] = field(default_factory=list)
    address: list[str] = field(default_factory=list)
    created_us: "array[int]" = field(default_factory=_ints)


def orders_table(log: ChangeLog, facts: OrderFacts) -> dict[str, pa.Array]:
    """Return the columns of orders; key = place in `facts`, first = status, second = total in pence."""
    place = ints_array(log.key)
    return {
        "id": ints_array(facts.number).take(place),
        "user_id": pa.array(facts.user, pa.int64()).take(place),
        "status": pa.array(STATUSES, pa.string()).take(ints_array(log.first)),
        "total_amount": money_array(ints_array(log.second)),
        "shipping_address": pa.array(facts.address, pa.string()).take(place),
        "created_at": time_array(facts.created_us).take(place),
        "updated_at": time_array(log.at_us),
    }


@dataclass
class ItemFacts:
    """What never changes about an order item, as columns by input line (0 for lines that are no item)."""

    order_number: "array[int]"
    product: "array[int]"
    price_cents: "array[int]"
    created_us: "array[int]"

    @classmethod
    def for_lines(cls, count: int) -> "ItemFacts":
        """Return empty columns for `count` input lines."""
        return cls(*(array("q", bytes(8 * count)) for _ in range(4)))


def order_items_table(log: ChangeLog, facts: ItemFacts) -> dict[str, pa.Array]:
    """Return the columns of order items; key = input line, first = quantity. A delete holds the key only."""
    line = ints_array(log.key)
    is_deleted = pc.equal(ints_array(log.op), DELETE)
    known = pc.if_else(is_deleted, pa.scalar(None, pa.int64()), line)
    return {
        "id": pc.add(line, 1),
        "order_id": ints_array(facts.order_number).take(known),
        "product_id": pc.add(ints_array(facts.product), 1).take(known),
        "quantity": pc.if_else(is_deleted, pa.scalar(None, pa.int64()), ints_array(log.first)).cast(pa.int32()),
        "unit_price": money_array(ints_array(facts.price_cents)).take(known),
        "created_at": time_array(facts.created_us).take(known),
    }


def entity_changes(name: str, log: ChangeLog, columns: Mapping[str, pa.Array], *, delay_ms: int) -> EntityChanges:
    """Add the change columns to an entity's own.

    Args:
        name: Entity name.
        log: The changes.
        columns: The entity's columns, one value per change.
        delay_ms: Time from a change to its capture, in milliseconds.
    """
    entity = load_entity(name)
    op = ints_array(log.op)
    cdc: Sequence[pa.Array] = (
        pa.array(OPS, pa.string()).take(op),
        pc.add(ints_array(log.at_us), delay_ms * 1_000).cast(pa.timestamp("us")),
        time_array(log.at_us),
        ints_array(log.lsn),
        pa.array(("false", "true"), pa.string()).take(pc.equal(op, DELETE).cast(pa.int8())),
    )
    own = [pa.field(c.name, c.type.arrow, nullable=not c.required) for c in entity.columns]
    arrays = [columns[c.name] for c in entity.columns]
    table = pa.Table.from_arrays([*arrays, *cdc], schema=pa.schema([*own, *CDC_FIELDS]))
    return EntityChanges(entity=entity, table=table, at_us=log.at_us)
