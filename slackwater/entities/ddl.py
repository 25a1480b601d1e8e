"""The DDL of every store, derived from the entity files. Pure text; golden files in `tests/unit/golden` show it.

One function per store. Who runs it: `clients/iceberg.py` creates tables from `changelog_schema`, of which
`iceberg_changelog_ddl` is the readable form; the others are executed as they are.
"""

from slackwater.entities.model import (
    CDC_COLUMNS,
    CHANGE_ORDER,
    CHANGELOG_COLUMNS,
    POSITION_COLUMNS,
    RAW_COLUMNS,
    Column,
    ColumnType,
    Entity,
)
from slackwater.naming import (
    TOAST_PLACEHOLDER,
    changelog_table,
    clickhouse_changes_table,
    clickhouse_realtime_table,
    raw_table,
)

ICEBERG_TYPES = {
    ColumnType.INT32: "int",
    ColumnType.INT64: "bigint",
    ColumnType.STRING: "string",
    ColumnType.TIMESTAMP: "timestamp_ntz",
    ColumnType.DATE: "date",
    ColumnType.MONEY: "decimal(10,2)",
    ColumnType.LARGE_MONEY: "decimal(18,2)",
}
SNOWFLAKE_TYPES = {
    ColumnType.INT32: "number(38,0)",
    ColumnType.INT64: "number(38,0)",
    ColumnType.STRING: "varchar",
    ColumnType.TIMESTAMP: "timestamp_ntz(6)",
    ColumnType.DATE: "date",
    ColumnType.MONEY: "number(10,2)",
    ColumnType.LARGE_MONEY: "number(18,2)",
}
CLICKHOUSE_TYPES = {
    ColumnType.INT32: "Int32",
    ColumnType.INT64: "Int64",
    ColumnType.STRING: "String",
    ColumnType.TIMESTAMP: "DateTime64(6, 'UTC')",
    ColumnType.DATE: "Date32",
    ColumnType.MONEY: "Decimal(10, 2)",
    ColumnType.LARGE_MONEY: "Decimal(18, 2)",
}
POSTGRES_TYPES = {
    ColumnType.INT32: "integer",
    ColumnType.INT64: "bigint",
    ColumnType.STRING: "text",
    ColumnType.TIMESTAMP: "timestamp",
    ColumnType.DATE: "date",
    ColumnType.MONEY: "numeric(10,2)",
    ColumnType.LARGE_MONEY: "numeric(18,2)",
}

CLICKHOUSE_CHANGE_COLUMNS: tuple[Column, ...] = (*CDC_COLUMNS, *POSITION_COLUMNS)
"""Columns of `<entity>_changes` after the entity's own; the table adds `ingested_at` by default."""

CLICKHOUSE_DEDUPLICATION_WINDOW = 1_000
"""Inserted blocks whose token ClickHouse remembers. A feed does not rely on it: it asks which positions are there."""


def iceberg_changelog_ddl(entity: Entity) -> str:
    """Return the Spark SQL form of `changes.<entity>`."""
    lines = _lines((*entity.columns, *CHANGELOG_COLUMNS), ICEBERG_TYPES)
    return (
        f"create table if not exists {changelog_table(entity.name)} (\n{lines}\n)\nusing iceberg\n"
        "partitioned by (date)\ntblproperties ('format-version' = '2', 'write.parquet.compression-codec' = 'snappy')"
    )


def snowflake_raw_ddl(entity: Entity) -> str:
    """Return the DDL of `RAW.<entity>` with the seed's clustering keys."""
    lines = _lines((*entity.columns, *RAW_COLUMNS), SNOWFLAKE_TYPES)
    cluster = ", ".join(entity.cluster_by)
    return f"create table if not exists {raw_table(entity.name)} (\n{lines}\n)\ncluster by ({cluster})"


def clickhouse_changes_ddl(entity: Entity, *, ttl_days: int) -> str:
    """Return the DDL of the append-only as-of source of the speed layer.

    Args:
        entity: The entity.
        ttl_days: Rows are dropped this many days after they were ingested (system time), > 0.
    """
    columns = (*entity.columns, *CLICKHOUSE_CHANGE_COLUMNS)
    lines = ",\n".join(f"    {c.name} {_clickhouse_type(c)}" for c in columns)
    return (
        f"create table if not exists {clickhouse_changes_table(entity.name)} (\n{lines},\n"
        "    ingested_at DateTime64(3, 'UTC') default now64(3)\n)\nengine = MergeTree\n"
        f"order by ({entity.key}, _epoch, __source_lsn)\n"
        f"ttl toDateTime(ingested_at) + interval {ttl_days} day\n"
        f"settings non_replicated_deduplication_window = {CLICKHOUSE_DEDUPLICATION_WINDOW}"
    )


def clickhouse_realtime_ddl(entity: Entity) -> str:
    """Return the view that shows the newest version per key, deletes marked.

    A toastable column shows its newest value that is not the placeholder since the key's last insert (`c` or `r`); a
    view over the changes is right whatever the order of arrival, which no merging table engine is.
    """
    order = "tuple(" + ", ".join("__op != 'r'" if c == "is_streamed" else c for c in CHANGE_ORDER) + ")"
    plain = [c for c in entity.column_names if c != entity.key and c not in entity.toastable_names]
    kept = f"version.since_insert and version.{{c}} is distinct from '{TOAST_PLACEHOLDER}'"
    lines = [f"    version.{entity.key} as {entity.key}"]
    # A tuple keeps the null of the newest version: argMax alone would skip it.
    lines += [f"    argMax(tuple(version.{c}), version.change_order).1 as {c}" for c in plain]
    lines += [
        f"    argMaxIf(tuple(version.{c}), version.change_order, {kept.format(c=c)}).1 as {c}"
        for c in entity.toastable_names
    ]
    lines += [f"    argMax(version.{c.name}, version.change_order) as {c.name}" for c in CLICKHOUSE_CHANGE_COLUMNS]
    lines += ["    argMax(version.__op, version.change_order) = 'd' as is_deleted"]
    return (
        f"create or replace view {clickhouse_realtime_table(entity.name)} as\nselect\n"
        + ",\n".join(lines)
        + f"\nfrom (\n    select\n        changes.* except (ingested_at),\n        {order} as change_order,\n"
        "        change_order >= maxIf(change_order, __op in ('c', 'r'))"
        f" over (partition by {entity.key}) as since_insert\n"
        f"    from {clickhouse_changes_table(entity.name)} as changes\n) as version\ngroup by version.{entity.key}"
    )


def postgres_source_ddl(entity: Entity) -> tuple[str, ...]:
    """Return the statements that create the shop's own table with its keys and references."""
    lines = []
    for column in entity.columns:
        parts = [column.name, POSTGRES_TYPES[column.type]]
        if column.name == entity.key:
            parts.append("primary key")
        if column.name in entity.references:
            parts.append(f"references shop.{entity.references[column.name]} ({entity.key})")
        lines.append("    " + " ".join(parts))
    body = ",\n".join(lines)
    return (
        f"create table if not exists shop.{entity.name} (\n{body}\n)",
        f"alter table shop.{entity.name} replica identity default",
    )


def _lines(columns: tuple[Column, ...], types: dict[ColumnType, str]) -> str:
    return ",\n".join(f"    {c.name} {types[c.type]}{' not null' if c.required else ''}" for c in columns)


def _clickhouse_type(column: Column) -> str:
    name = CLICKHOUSE_TYPES[column.type]
    return name if column.required else f"Nullable({name})"
