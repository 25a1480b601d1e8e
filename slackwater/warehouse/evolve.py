"""The shape of the warehouse's tables that hold an entity's columns: `RAW`, and dbt's `BASE_` and `STG_` tables.

dbt builds only what a refresh touches, and stops when a table has other columns than its model. Renamed and widened
here, rows that no refresh will touch again keep their values; dbt's own ways would drop the old column, or rebuild
everything.
"""

from collections import defaultdict
from collections.abc import Sequence

from slackwater.clients.snowflake import Scalar, Warehouse, quote_identifier
from slackwater.entities.ddl import SNOWFLAKE_TYPES
from slackwater.entities.evolution import FoundTable, Place, SchemaStep, StepKind, plan_evolution
from slackwater.entities.model import ColumnType, Entity
from slackwater.errors import SchemaBehind, TerminalError
from slackwater.naming import SCHEMA_RAW, SCHEMA_STAGING, raw_table

STAGING_TABLES = ("BASE_", "STG_")
"""Prefixes of the tables of `STAGING` that carry every column of an entity under its own name."""


def found_warehouse_tables(
    warehouse: Warehouse, entities: Sequence[Entity], places: Sequence[Place]
) -> dict[str, list[FoundTable]]:
    """Return by entity its tables as they are; what does not exist yet (a model dbt has not built) is left out."""
    rows = warehouse.query(
        "select table_schema, table_name, column_name, data_type, numeric_precision, numeric_scale"
        " from information_schema.columns where table_schema in (?, ?) order by table_schema, table_name,"
        " ordinal_position",
        (SCHEMA_RAW, SCHEMA_STAGING),
    )
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for schema, table, column, *kind in rows:
        columns[f"{schema}.{table}".upper()][str(column).lower()] = type_word(*kind)
    return {
        entity.name: [
            FoundTable(place, name, columns[name])
            for place in places
            for name in _names(entity, place)
            if name in columns
        ]
        for entity in entities
    }


def type_word(kind: Scalar, precision: Scalar, scale: Scalar) -> str:
    """Return a type of the information schema as DDL writes it.

    Digits of a second are not asked for: the emulator says 9 of every column, and the load compares times anyway.
    """
    word = str(kind).lower()
    if word in {"number", "decimal", "numeric"}:
        return f"number({precision},{scale})"
    if word in {"text", "string", "varchar"}:
        return "varchar"
    if word == "timestamp_ntz":
        return SNOWFLAKE_TYPES[ColumnType.TIMESTAMP]
    return word


def warehouse_statement(step: SchemaStep) -> str:
    """Return the statement of a step."""
    table, column = quote_identifier(step.table), quote_identifier(step.column)
    if step.kind is StepKind.RENAME:
        return f"alter table {table} rename column {quote_identifier(step.old_name)} to {column}"
    if step.kind is StepKind.WIDEN:
        return f"alter table {table} alter column {column} set data type {step.declared}"
    return f"alter table {table} add column {column} {step.declared}"


def raw_behind(entity: Entity, found: Sequence[FoundTable], refusal: TerminalError) -> SchemaBehind | None:
    """Return what a refused load failed of, when it is a raw table of another shape than this process knows.

    Args:
        entity: As this process knows it.
        found: Its raw table as it is.
        refusal: What the load was told; it goes into the message.
    """
    steps = [step for table in found for step in plan_evolution(entity, table) if step.kind is not StepKind.UNDECLARED]
    if not steps:
        return None
    return SchemaBehind(
        f"{raw_table(entity.name)} and the entity file of this process differ ({'; '.join(map(str, steps))}). Either"
        f" the table is behind (`slackwater schema apply`), or this process runs an older release; nothing was loaded:"
        f" {refusal}"
    )


def _names(entity: Entity, place: Place) -> tuple[str, ...]:
    if place is Place.RAW:
        return (raw_table(entity.name),)
    return tuple(f"{SCHEMA_STAGING}.{prefix}{entity.name.upper()}" for prefix in STAGING_TABLES)
