"""Counts rows per entity and event day in source, lake, warehouse and ClickHouse: one query each, nothing decided.

The ledger's own counts are in `ledger_counts`.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from pydantic import SecretStr

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.clients.iceberg_partitions import rows_by_date
from slackwater.clients.postgres import connect
from slackwater.clients.postgres import translated as postgres_translated
from slackwater.clients.snowflake import Scalar, Warehouse, quote_identifier
from slackwater.completeness.model import DayCount, EntityDay
from slackwater.errors import TerminalError
from slackwater.naming import ENTITIES, MART_SET, changelog_table, clickhouse_changes_table, raw_table

_HISTORY = "shop_history"
"""Schema of the source that keeps every row version with its event time; only the replay's shop has it."""


class WarehouseCounts(NamedTuple):
    """Rows of raw, those of them the current publication could see, and the refresh it came from."""

    raw: DayCount
    published: DayCount
    refresh_id: str | None


def count_source(dsn: SecretStr | str) -> DayCount | None:
    """Count the row versions the source wrote, deletes included; None when it keeps no history or an empty one.

    Args:
        dsn: The source's database.

    Raises:
        StoreUnavailable: It does not answer.
    """
    with connect(dsn, autocommit=True) as connection, postgres_translated():
        present = connection.execute(
            "select count(to_regclass(name)) from unnest(%s::text[]) as name",
            ([f"{_HISTORY}.{entity}" for entity in ENTITIES],),
        ).fetchone()
        if present is None or present[0] < len(ENTITIES):
            return None
        parts = [
            f"select '{entity}', event_time::date, count(*) from {_HISTORY}.{entity} group by 2" for entity in ENTITIES
        ]
        rows = connection.execute(" union all ".join(parts).encode()).fetchall()
    return _day_count(rows) or None


def count_lake(lake: Lake) -> DayCount:
    """Count the changelog rows of main per partition, from metadata."""
    found: dict[EntityDay, int] = {}
    for entity in ENTITIES:
        table = lake.load_table(changelog_table(entity))
        with translated():
            found |= {(entity, day): count for day, count in rows_by_date(table).items()}
    return found


def count_warehouse(warehouse: Warehouse) -> WarehouseCounts:
    """Count the positions in raw, and those at or below the bounds of the published refresh.

    A position that was loaded from two objects counts once, and as published as soon as one of its rows is.
    """
    current = warehouse.scalar("select refresh_id from MARTS.PUBLICATION_CURRENT where mart_set = ?", (MART_SET,))
    refresh_id = None if current is None else str(current)
    parts = [
        f"select '{entity}' as entity, cast(__source_ts_ms as date) as day, min(load_seq) as load_seq"
        f" from {quote_identifier(raw_table(entity))}"
        " group by cast(__source_ts_ms as date), _epoch, _source_partition, _position"
        for entity in ENTITIES
    ]
    rows = warehouse.query(
        "select placed.entity, placed.day, count(*), count_if(placed.load_seq <= limits.bound)"
        f" from ({' union all '.join(parts)}) as placed"
        " left join OPS.REFRESH_BOUND as limits on limits.entity = placed.entity and limits.refresh_id = ?"
        " group by placed.entity, placed.day",
        (refresh_id,),
    )
    return WarehouseCounts(
        raw=_day_count([(entity, day, count) for entity, day, count, _ in rows]),
        published=_day_count([(entity, day, count) for entity, day, _, count in rows]),
        refresh_id=refresh_id,
    )


def count_clickhouse(speed: SpeedStore) -> DayCount:
    """Count the positions of the speed layer's changes."""
    parts = [
        f"select '{entity}' as entity, toDate32(__source_ts_ms) as day,"
        " toInt64(uniqExact(_epoch, _source_partition, _position)) as positions"
        f" from {clickhouse_changes_table(entity)} group by day"
        for entity in ENTITIES
    ]
    found = speed.query(" union all ".join(parts)).select(["entity", "day", "positions"])
    columns = [column.to_pylist() for column in found.columns]
    return _day_count(list(zip(*columns, strict=True)))


def _day_count(rows: Sequence[Sequence[Scalar]]) -> dict[EntityDay, int]:
    found: dict[EntityDay, int] = {}
    for entity, day, count in rows:
        if count:
            found[str(entity), _day(day)] = int(str(count))
    return found


def _day(value: Scalar) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    raise TerminalError(f"expected a date for an event day, got {value!r}")
