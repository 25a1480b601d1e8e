"""The Iceberg form of an entity's changelog table: schema with field ids, and its partition."""

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

from slackwater.entities.model import CHANGELOG_COLUMNS, ColumnType, Entity

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
    columns = (*entity.columns, *CHANGELOG_COLUMNS)
    fields = [
        NestedField(number, column.name, _ICEBERG[column.type], required=column.required)
        for number, column in enumerate(columns, start=1)
    ]
    return Schema(*fields)


def date_partition(entity: Entity) -> PartitionSpec:
    """Return the partition of `changes.<entity>`: identity of `date`."""
    field_id = changelog_iceberg_schema(entity).find_field("date").field_id
    return PartitionSpec(PartitionField(source_id=field_id, field_id=1000, transform=IdentityTransform(), name="date"))
