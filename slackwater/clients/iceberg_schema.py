"""The Iceberg form of an entity's two tables, changelog and state: schema with field ids, and their partition."""

from collections.abc import Sequence

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

from slackwater.entities.model import CHANGELOG_COLUMNS, Column, ColumnType, Entity, state_columns

_ICEBERG: dict[ColumnType, IcebergType] = {
    ColumnType.INT32: IntegerType(),
    ColumnType.INT64: LongType(),
    ColumnType.STRING: StringType(),
    ColumnType.TIMESTAMP: TimestampType(),
    ColumnType.DATE: DateType(),
    ColumnType.MONEY: DecimalType(10, 2),
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


def _schema(columns: Sequence[Column]) -> Schema:
    fields = [
        NestedField(number, column.name, _ICEBERG[column.type], required=column.required)
        for number, column in enumerate(columns, start=1)
    ]
    return Schema(*fields)
