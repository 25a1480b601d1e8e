"""Reads what is compared: the daily aggregates of both stores, the published mart, and which positions each store has.

Runs the compiled queries and nothing else; compares nothing.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.snowflake import Scalar, Warehouse
from slackwater.errors import TerminalError
from slackwater.naming import ENTITIES, MART_SET, clickhouse_changes_table, raw_table
from slackwater.reconciliation.compare import DayValues, PartitionCoverage
from slackwater.reconciliation.compile import Frontier, compile_clickhouse, compile_snowflake
from slackwater.reconciliation.metrics import Metrics


def read_clickhouse(
    speed: SpeedStore, metrics: Metrics, frontier: Frontier, *, from_date: date | None, to_date: date | None
) -> DayValues:
    """Return every published metric per day from `<entity>_changes` at the frontier."""
    query = compile_clickhouse(metrics, frontier, from_date=from_date, to_date=to_date)
    found = speed.query(query.sql, query.params)
    columns = [found.column(index).to_pylist() for index in range(found.num_columns)]
    return _by_day(metrics, list(zip(*columns, strict=True)))


def read_snowflake(
    warehouse: Warehouse, metrics: Metrics, frontier: Frontier, *, from_date: date | None, to_date: date | None
) -> DayValues:
    """Return the same from the warehouse's raw tables."""
    query = compile_snowflake(metrics, frontier, from_date=from_date, to_date=to_date)
    return _by_day(metrics, warehouse.query(query.sql, query.params))


def read_marts(
    warehouse: Warehouse, metrics: Metrics, frontier: Frontier, *, from_date: date | None, to_date: date | None
) -> tuple[DayValues | None, str]:
    """Return the published mart, if it stands for exactly the rows at the frontier.

    Returns:
        The values and an empty text, or None and the reason why they are not comparable.
    """
    refresh_id = _published_refresh(warehouse)
    if refresh_id is None:
        return None, "nothing is published yet"
    reason = _why_not_at_frontier(warehouse, refresh_id, frontier)
    if reason:
        return None, reason
    names = metrics.published_names
    conditions, params = ["1 = 1"], list[Scalar]()
    for operator, bound in ((">=", from_date), ("<=", to_date)):
        if bound:
            conditions.append(f"date {operator} cast(? as date)")
            params.append(bound.isoformat())
    rows = warehouse.query(
        f"select date, {', '.join(names)} from MARTS.DAILY_BUSINESS_METRICS where {' and '.join(conditions)}", params
    )
    if _published_refresh(warehouse) != refresh_id:
        return None, "a refresh was published while the marts were read"
    return {_day(row[0]): dict(zip(names, map(_number, row[1:]), strict=True)) for row in rows}, ""


def read_coverage(speed: SpeedStore, warehouse: Warehouse, frontier: Frontier) -> tuple[PartitionCoverage, ...]:
    """Count the positions each store holds below and beyond the frontier, per entity and source partition."""
    return tuple(
        _coverage(speed, warehouse, entity, partition, last) for (entity, partition), last in sorted(frontier.items())
    )


def _coverage(speed: SpeedStore, warehouse: Warehouse, entity: str, partition: str, last: int) -> PartitionCoverage:
    exact = warehouse.query(
        "select count(distinct case when _position <= ? then _position end),"
        f" count(distinct case when _position > ? then _position end) from {raw_table(entity)}"
        " where _source_partition = ?",
        (last, last, partition),
    )[0]
    fast = speed.query(
        "select uniqExactIf(_position, _position <= {last:Int64}) as below,"
        " uniqExactIf(_position, _position > {last:Int64}) as beyond,"
        " maxOrNullIf(_position, _position <= {last:Int64}) as greatest"
        f" from {clickhouse_changes_table(entity)} where _source_partition = {{partition:String}}",
        {"last": last, "partition": partition},
    ).to_pylist()[0]
    return PartitionCoverage(
        entity=entity,
        source_partition=partition,
        frontier=last,
        snowflake_rows=int(str(exact[0])),
        clickhouse_rows=int(fast["below"]),
        clickhouse_last=fast["greatest"],
        snowflake_beyond=int(str(exact[1])),
        clickhouse_beyond=int(fast["beyond"]),
    )


def _published_refresh(warehouse: Warehouse) -> str | None:
    rows = warehouse.query("select refresh_id from MARTS.PUBLICATION_CURRENT where mart_set = ?", (MART_SET,))
    return str(rows[0][0]) if rows and rows[0][0] is not None else None


def _why_not_at_frontier(warehouse: Warehouse, refresh_id: str, frontier: Frontier) -> str:
    """Return why the published refresh does not stand for the rows at the frontier; empty when it does."""
    rows = warehouse.query("select entity, bound from OPS.REFRESH_BOUND where refresh_id = ?", (refresh_id,))
    bounds = {str(entity): int(str(bound)) for entity, bound in rows}
    for entity in ENTITIES:
        within: list[str] = []
        params: list[Scalar] = []
        for (name, partition), last in sorted(frontier.items()):
            if name == entity:
                within.append("(_source_partition = ? and _position <= ?)")
                params += [partition, last]
        found = warehouse.query(
            "select count_if(not is_within and load_seq <= ?), count_if(is_within and load_seq > ?) from ("
            f" select load_seq, ({' or '.join(within) or '1 = 0'}) as is_within from {raw_table(entity)}) as placed",
            (bounds.get(entity, 0), bounds.get(entity, 0), *params),
        )[0]
        beyond, unpublished = (int(str(count or 0)) for count in found)
        if beyond:
            return f"the marts hold {beyond} changes of {entity} beyond the frontier (a gap lies below them)"
        if unpublished:
            return f"{unpublished} changes of {entity} at the frontier are not published yet"
    return ""


def _by_day(metrics: Metrics, rows: Sequence[Sequence[object]]) -> DayValues:
    """Turn rows of day and aggregates into metrics; a sum over nothing is null and means 0."""
    names = list(metrics.aggregates)
    return {_day(row[0]): metrics.complete(dict(zip(names, map(_number, row[1:]), strict=True))) for row in rows}


def _number(value: object) -> Decimal:
    if value is None:
        return Decimal(0)
    if isinstance(value, float):
        raise TerminalError(f"a metric came back as the float {value!r}; numbers have to be exact, cast it in SQL")
    return Decimal(str(value))


def _day(value: object) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    raise TerminalError(f"expected a date for the day of a metric, got {value!r}")
