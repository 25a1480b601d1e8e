"""Keeps what was assessed in OPS.COMPLETENESS: one transaction, in which only rows that differ are written.

The update of OPS.COMPLETENESS_CLOCK comes first: it makes two writers take turns, and lets one that began to count
earlier than the last one that wrote give way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

from slackwater.clients.snowflake import Row, Scalar, Warehouse
from slackwater.completeness.model import DayCompleteness, EntityDay, StoredClock, StoredDay
from slackwater.errors import ConfigurationError, TerminalError
from slackwater.naming import MART_SET

ROWS_PER_STATEMENT = 200

T = TypeVar("T")

_COLUMNS = tuple(field.name for field in fields(StoredDay))
_COMPARED = _COLUMNS[: _COLUMNS.index("computed_at")]
_NUMBERS = frozenset(name for name in _COLUMNS if name.endswith("_rows") or name == "missing_positions")


def write_days(
    warehouse: Warehouse, days: Sequence[StoredDay], *, counted_at: datetime, refresh_id: str | None
) -> int | None:
    """Make OPS.COMPLETENESS equal to what was assessed; a second call with the same days writes no row.

    Args:
        warehouse: Session that writes.
        days: Every row the table shall have; one that differs in nothing but its time is not written.
        counted_at: When the counting began, naive UTC.
        refresh_id: The refresh that was published then.

    Returns:
        How many rows were written or removed; None when somebody who began later has written already.

    Raises:
        CommitConflict: Another writer held the lock too long; nothing was changed.
        ConfigurationError: The warehouse has no completeness tables.
    """
    wanted = {(one.entity, one.day): one for one in days}
    with warehouse.transaction():
        locked = warehouse.execute("update OPS.COMPLETENESS_CLOCK set runs = runs + 1 where mart_set = ?", (MART_SET,))
        if locked != 1:
            raise ConfigurationError("OPS.COMPLETENESS_CLOCK has no row; `ensure_warehouse` makes it")
        clock = read_clock(warehouse)
        if clock is not None and clock.computed_at > counted_at:
            return None
        held = {(one.entity, one.day): one for one in read_days(warehouse)}
        stale = [place for place, one in held.items() if place not in wanted or not _is_same(one, wanted[place])]
        fresh = [one for place, one in wanted.items() if place not in held or not _is_same(one, held[place])]
        _delete(warehouse, stale)
        _insert(warehouse, fresh)
        warehouse.execute(
            "update OPS.COMPLETENESS_CLOCK set computed_at = ?, refresh_id = ? where mart_set = ?",
            (counted_at, refresh_id, MART_SET),
        )
    return len(set(stale) | {(one.entity, one.day) for one in fresh})


def read_days(
    warehouse: Warehouse, *, from_date: date | None = None, to_date: date | None = None
) -> tuple[StoredDay, ...]:
    """Return the stored rows of a range of days, both ends included, by day and entity."""
    conditions, params = ["1 = 1"], list[Scalar]()
    for operator, bound in ((">=", from_date), ("<=", to_date)):
        if bound:
            conditions.append(f"day {operator} cast(? as date)")
            params.append(bound)
    rows = warehouse.query(
        f"select {', '.join(_COLUMNS)} from OPS.COMPLETENESS where {' and '.join(conditions)} order by day, entity",
        params,
    )
    return tuple(_from_row(row) for row in rows)


def read_clock(warehouse: Warehouse) -> StoredClock | None:
    """Return when the completeness was last computed; None when it never was."""
    rows = warehouse.query(
        "select computed_at, refresh_id from OPS.COMPLETENESS_CLOCK where mart_set = ? and computed_at is not null",
        (MART_SET,),
    )
    if not rows:
        return None
    computed_at, refresh_id = rows[0]
    return StoredClock(_time(computed_at), None if refresh_id is None else str(refresh_id))


def stored_day(one: DayCompleteness, *, counted_at: datetime, refresh_id: str | None) -> StoredDay:
    """Return the row an assessed day becomes."""
    return StoredDay(
        entity=one.entity,
        day=one.day,
        source_rows=one.source_rows,
        landed_rows=one.landed_rows,
        lake_rows=one.lake_rows,
        raw_rows=one.raw_rows,
        published_rows=one.published_rows,
        clickhouse_rows=one.clickhouse_rows,
        missing_positions=one.missing_positions,
        quarantined_rows=one.quarantined_rows,
        discarded_rows=one.discarded_rows,
        expected_rows=one.expected_rows,
        percent=one.percent,
        is_final=one.is_final,
        reasons="; ".join(one.reasons),
        computed_at=counted_at,
        refresh_id=refresh_id,
    )


def _is_same(one: StoredDay, other: StoredDay) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _COMPARED)


def _delete(warehouse: Warehouse, places: Sequence[EntityDay]) -> None:
    for part in _parts(places):
        marks = " or ".join("(entity = ? and day = cast(? as date))" for _ in part)
        warehouse.execute(f"delete from OPS.COMPLETENESS where {marks}", [value for place in part for value in place])


def _insert(warehouse: Warehouse, rows: Sequence[StoredDay]) -> None:
    marks = f"({', '.join('?' for _ in _COLUMNS)})"
    for part in _parts(rows):
        warehouse.execute(
            f"insert into OPS.COMPLETENESS ({', '.join(_COLUMNS)}) values {', '.join(marks for _ in part)}",
            [_bound(getattr(row, name)) for row in part for name in _COLUMNS],
        )


def _bound(value: Scalar) -> Scalar:
    """Send a decimal as text, which every server takes exactly."""
    return str(value) if isinstance(value, Decimal) else value


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        yield items[start : start + ROWS_PER_STATEMENT]


def _from_row(row: Row) -> StoredDay:
    values: dict[str, Scalar] = dict(zip(_COLUMNS, row, strict=True))
    numbers = {name: None if values[name] is None else int(str(values[name])) for name in _NUMBERS}
    day = values["day"]
    if not isinstance(day, date):
        raise TerminalError(f"OPS.COMPLETENESS.DAY came back as {day!r}, expected a date")
    return StoredDay(
        **{  # type: ignore[arg-type] # the columns are the fields
            **values,
            **numbers,
            "percent": Decimal(str(values["percent"])).quantize(Decimal("0.01")),
            "is_final": bool(values["is_final"]),
            "computed_at": _time(values["computed_at"]),
        }
    )


def _time(value: Scalar) -> datetime:
    if not isinstance(value, datetime):
        raise TerminalError(f"expected a time in OPS.COMPLETENESS, got {value!r}")
    return value
