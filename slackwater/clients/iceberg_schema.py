"""The Iceberg form of an entity's two tables, changelog and state: schema with field ids, and their partition."""

from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    DateType,
    DecimalType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
)

from slackwater.entities.model import CHANGELOG_COLUMNS, NARROWER, Column, ColumnType, Entity, state_columns
from slackwater.errors import SchemaBehind

ICEBERG_FIELD_TYPES: dict[ColumnType, IcebergType] = {
    ColumnType.INT32: IntegerType(),
    ColumnType.INT64: LongType(),
    ColumnType.STRING: StringType(),
    ColumnType.TIMESTAMP: TimestampType(),
    ColumnType.DATE: DateType(),
    ColumnType.MONEY: DecimalType(10, 2),
    ColumnType.LARGE_MONEY: DecimalType(18, 2),
}


def changelog_iceberg_schema(entity: Entity) -> Schema:
    """Return the Iceberg schema of `changes.<entity>`; field ids follow the declared order."""
    return _schema((*entity.columns, *CHANGELOG_COLUMNS))


def state_iceberg_schema(entity: Entity) -> Schema:
    """Return the Iceberg schema of `ecommerce.<entity>`; field ids follow the declared order."""
    return _schema(state_columns(entity))


def date_partition(schema: Schema) -> PartitionSpec:
    """Return the partition of both tables: identity of `date`."""
    field_id = schema.find_field("date").field_id
    return PartitionSpec(PartitionField(source_id=field_id, field_id=1000, transform=IdentityTransform(), name="date"))


def require_fitting(name: str, schema: Schema, rows: pa.Schema) -> None:
    """Refuse rows that a table cannot take as they are meant, before a file of them is written.

    Rows may lack columns (null) and may be narrower than the table; pyiceberg matches columns by name, so their order
    is of no account. Rows of a process with an older entity file fit as long as nothing was renamed.

    Args:
        name: The table, for the message.
        schema: The table's.
        rows: Theirs, of logical types.

    Raises:
        SchemaBehind: A column is not in the table, or wider than there.
    """
    logical = {kind.arrow: kind for kind in ColumnType}
    held = {field.name: field.field_type for field in schema.fields}
    for field in rows:
        kind = logical.get(field.type)
        if kind is None:
            continue  # pyiceberg judges a type that is none of ours
        fitting = [kind, *(wider for wider, narrow in NARROWER.items() if kind in narrow)]
        found = held.get(field.name)
        if found not in [ICEBERG_FIELD_TYPES[one] for one in fitting]:
            there = "has no such column" if found is None else f"has it as {found}"
            raise SchemaBehind(
                f"{name} {there}: {field.name} {kind.value}. Either the table is behind the entity file of this"
                " process (`slackwater schema apply`), or this process runs an older release; nothing was written"
            )


def _schema(columns: Sequence[Column]) -> Schema:
    fields = [
        NestedField(number, column.name, ICEBERG_FIELD_TYPES[column.type], required=column.required)
        for number, column in enumerate(columns, start=1)
    ]
    return Schema(*fields)
