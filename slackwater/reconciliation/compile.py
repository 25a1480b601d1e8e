"""Compiles the metrics to the SQL of ClickHouse, of Snowflake and of Spark. Pure text; nothing is run here.

The queries have the same shape: the newest version per key (for two of them at the frontier; one change order, deletes
removed), one row per order and per line, one row per day. Only the parts a dialect needs differ. Ratios are not
compiled: they are computed from the aggregates by `metrics.py`, exactly and once. Toastable columns take no part in any
metric, so the newest version of a row is enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from slackwater.entities.model import CHANGE_ORDER, load_entity
from slackwater.naming import clickhouse_changes_table, raw_table, state_table
from slackwater.reconciliation.metrics import Aggregate, Fact, Metrics

Frontier = Mapping[tuple[str, str], int]
"""Per (entity, source partition) the last position that is compared."""

NEEDED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "users": ("created_at",),
    "products": ("category",),
    "orders": ("user_id", "status", "total_amount", "created_at"),
    "order_items": ("order_id", "product_id", "quantity"),
}

Parameter = str | int


@dataclass(frozen=True)
class NamedQuery:
    """A ClickHouse query with its values bound by name."""

    sql: str
    params: Mapping[str, Parameter]


@dataclass(frozen=True)
class PositionalQuery:
    """A Snowflake query with its values bound by position."""

    sql: str
    params: tuple[Parameter, ...]


class _Dialect(Protocol):
    """What differs between the SQLs; `bind` remembers a value and returns its mark."""

    settings: str

    def bind(self, value: Parameter) -> str: ...
    def day(self, column: str) -> str: ...
    def newest(self, entity: str, within: str) -> str: ...


class _ClickHouse:
    settings = "\nsettings join_use_nulls = 1"

    def __init__(self) -> None:
        self.params: dict[str, Parameter] = {}

    def bind(self, value: Parameter) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f"{{{name}:{'Int64' if isinstance(value, int) else 'String'}}}"

    def day(self, column: str) -> str:
        return f"toDate32({column})"

    def newest(self, entity: str, within: str) -> str:
        """An aggregation by key: a tuple keeps the nulls that argMax of a plain column would skip."""
        order = ", ".join("__op != 'r'" if part == "is_streamed" else part for part in CHANGE_ORDER)
        columns = NEEDED_COLUMNS[entity]
        picked = ", ".join(f"version.{i} as {column}" for i, column in enumerate(columns, start=1))
        return (
            f"select id, {picked} from (\n"
            f"        select id, argMax(tuple({', '.join(columns)}, __op), tuple({order})) as version\n"
            f"        from {clickhouse_changes_table(entity)} where {within} group by id\n"
            f"    ) where version.{len(columns) + 1} != 'd'"
        )


class _Snowflake:
    settings = ""

    def __init__(self) -> None:
        self.values: list[Parameter] = []

    def bind(self, value: Parameter) -> str:
        self.values.append(value)
        return "?"

    def day(self, column: str) -> str:
        return f"{column}::date"

    def newest(self, entity: str, within: str) -> str:
        order = ", ".join(
            ("iff(__op = 'r', 0, 1)" if part == "is_streamed" else part) + " desc" for part in CHANGE_ORDER
        )
        columns = ", ".join(NEEDED_COLUMNS[entity])
        return (
            f"select id, {columns} from (\n"
            f"        select id, {columns}, __op from {raw_table(entity)} where {within}\n"
            f"        qualify row_number() over (partition by id order by {order}) = 1\n"
            "    ) as newest where __op <> 'd'"
        )


class _Spark:
    settings = ""

    def bind(self, value: Parameter) -> str:
        """Return a literal: Spark 4.1 does not bind parameters of a statement that Iceberg's parser has looked at."""
        return str(value) if isinstance(value, int) else _literal(value)

    def day(self, column: str) -> str:
        return f"to_date({column})"

    def newest(self, entity: str, within: str) -> str:
        """The state table is the newest version per key already; it knows no frontier."""
        columns = ", ".join(NEEDED_COLUMNS[entity])
        return f"select id, {columns} from {state_table(entity)} where __op <> 'd' and {within}"


def compile_clickhouse(
    metrics: Metrics, frontier: Frontier, *, from_date: date | None = None, to_date: date | None = None
) -> NamedQuery:
    """Return the query of one row per day: `day`, then every aggregate in declared order.

    Args:
        metrics: The definitions.
        frontier: Rows beyond it, or of a partition it does not name, are not read.
        from_date: First day, inclusive; none for all.
        to_date: Last day, inclusive; none for all.
    """
    dialect = _ClickHouse()
    return NamedQuery(_compile(dialect, metrics, frontier, from_date, to_date), dialect.params)


def compile_snowflake(
    metrics: Metrics, frontier: Frontier, *, from_date: date | None = None, to_date: date | None = None
) -> PositionalQuery:
    """Return the same query as `compile_clickhouse` over the warehouse's raw tables."""
    dialect = _Snowflake()
    sql = _compile(dialect, metrics, frontier, from_date, to_date)
    return PositionalQuery(sql, tuple(dialect.values))


def compile_spark(metrics: Metrics, *, from_date: date | None = None, to_date: date | None = None) -> str:
    """Return the same query over the lake's state tables, as they are: whatever was folded counts."""
    return _compile(_Spark(), metrics, None, from_date, to_date)


def _compile(
    dialect: _Dialect, metrics: Metrics, frontier: Frontier | None, from_date: date | None, to_date: date | None
) -> str:
    """Compose the query from top to bottom: positional parameters are bound in the order of their marks."""
    newest = ",\n".join(
        f"newest_{entity} as (\n    {dialect.newest(entity, within_frontier(dialect, entity, frontier))}\n)"
        for entity in NEEDED_COLUMNS
    )
    orders = _order_facts(dialect, metrics)
    lines = _line_facts(dialect, metrics)
    order_columns = _aggregates(metrics, Fact.ORDERS)
    line_columns = _aggregates(metrics, Fact.LINES)
    names = ", ".join(
        f"{'daily_orders' if spec.of is Fact.ORDERS else 'daily_lines'}.{name} as {name}"
        for name, spec in metrics.aggregates.items()
    )
    conditions = ["daily_orders.day is not null"]
    if from_date:
        conditions.append(f"daily_orders.day >= cast({dialect.bind(from_date.isoformat())} as date)")
    if to_date:
        conditions.append(f"daily_orders.day <= cast({dialect.bind(to_date.isoformat())} as date)")
    return (
        f"with {newest},\norder_facts as (\n{orders}\n),\nline_facts as (\n{lines}\n),\n"
        f"daily_orders as (\n    select day, {order_columns}\n    from order_facts group by day\n),\n"
        f"daily_lines as (\n    select day, {line_columns}\n    from line_facts group by day\n)\n"
        f"select daily_orders.day as day, {names}\nfrom daily_orders\n"
        "left join daily_lines on daily_orders.day = daily_lines.day\n"
        f"where {' and '.join(conditions)}\norder by day{dialect.settings}"
    )


def within_frontier(dialect: _Dialect, entity: str, frontier: Frontier | None) -> str:
    """Return the condition that a row of the entity lies at or below the frontier; false without any partition.

    Args:
        dialect: Binds the values.
        entity: The entity.
        frontier: None: everything lies within.
    """
    load_entity(entity)  # an unknown name must not become an empty, equal side
    if frontier is None:
        return "1 = 1"
    parts = [
        f"(_source_partition = {dialect.bind(partition)} and _position <= {dialect.bind(position)})"
        for (name, partition), position in sorted(frontier.items())
        if name == entity
    ]
    return f"({' or '.join(parts)})" if parts else "1 = 0"


def _order_facts(dialect: _Dialect, metrics: Metrics) -> str:
    registered = dialect.day("newest_users.created_at")
    ordered = dialect.day("newest_orders.created_at")
    is_new = f"coalesce({registered} = {ordered}, false)"
    return (
        f"    select {ordered} as day, newest_orders.user_id as user_id, newest_orders.total_amount as amount,\n"
        f"        {_is_in('newest_orders.status', metrics.statuses.counted)} as is_counted,\n"
        f"        {_is_in('newest_orders.status', metrics.statuses.completed)} as is_completed,\n"
        f"        {_is_in('newest_orders.status', metrics.statuses.cancelled)} as is_cancelled,\n"
        "        newest_orders.user_id is null as is_guest,\n"
        f"        newest_orders.user_id is not null and {is_new} as is_new_customer,\n"
        f"        newest_orders.user_id is not null and not {is_new} as is_returning_customer\n"
        "    from newest_orders left join newest_users on newest_orders.user_id = newest_users.id"
    )


def _line_facts(dialect: _Dialect, metrics: Metrics) -> str:
    return (
        f"    select {dialect.day('newest_orders.created_at')} as day, newest_order_items.product_id as product_id,\n"
        "        newest_order_items.quantity as quantity,\n"
        f"        {_is_in('newest_orders.status', metrics.statuses.counted)} as is_counted,\n"
        f"        not {_is_in('newest_products.category', (metrics.service_category,))} as is_goods\n"
        "    from newest_order_items inner join newest_orders on newest_order_items.order_id = newest_orders.id\n"
        "    left join newest_products on newest_order_items.product_id = newest_products.id"
    )


def _is_in(column: str, values: tuple[str, ...]) -> str:
    quoted = ", ".join(_literal(value) for value in values)
    return f"coalesce({column} in ({quoted}), false)"


def _aggregates(metrics: Metrics, fact: Fact) -> str:
    return ", ".join(f"{_aggregate(spec)} as {name}" for name, spec in metrics.aggregates.items() if spec.of is fact)


def _aggregate(spec: Aggregate) -> str:
    condition = " and ".join(spec.where) or "1 = 1"
    if spec.sum:
        return f"sum(case when {condition} then {spec.sum} end)"
    if spec.distinct:
        return f"count(distinct case when {condition} then {spec.distinct} end)"
    return f"count(case when {condition} then 1 end)"


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
