"""The four entities, declared once in the YAML files beside this module, and the columns every store adds to them.

Everything that depends on an entity's shape (DDL, reading, folding, loading) is derived from here. This module knows
no store: DDL is in `ddl.py`, the physical forms a landing file may use are in `casting.py`.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, field_validator

from slackwater.errors import ConfigurationError
from slackwater.naming import ENTITIES


class ColumnType(StrEnum):
    """Logical types that every store can hold exactly."""

    INT32 = "int32"
    INT64 = "int64"
    STRING = "string"
    TIMESTAMP = "timestamp"  # microseconds, UTC, without a time zone
    DATE = "date"
    MONEY = "decimal(10,2)"

    @property
    def arrow(self) -> pa.DataType:
        """Return the Arrow type that holds this logical type."""
        return _ARROW[self]


_ARROW: dict[ColumnType, pa.DataType] = {
    ColumnType.INT32: pa.int32(),
    ColumnType.INT64: pa.int64(),
    ColumnType.STRING: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us"),
    ColumnType.DATE: pa.date32(),
    ColumnType.MONEY: pa.decimal128(10, 2),
}


class Column(BaseModel):
    """One column of an entity."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    type: ColumnType
    required: bool = False
    toastable: bool = False


class Entity(BaseModel):
    """One source table and what every store needs to know of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    columns: tuple[Column, ...]
    key: str
    event_time: str
    cluster_by: tuple[str, ...]
    references: dict[str, str]

    @field_validator("columns")
    @classmethod
    def _distinct(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        names = [column.name for column in columns]
        if len(set(names)) != len(names):
            raise ValueError(f"column names repeat: {names}")
        return columns

    @property
    def column_names(self) -> tuple[str, ...]:
        """Return the source columns in declared order."""
        return tuple(column.name for column in self.columns)

    @property
    def toastable_names(self) -> tuple[str, ...]:
        """Return the columns whose value may be withheld by change data capture."""
        return tuple(column.name for column in self.columns if column.toastable)


CDC_COLUMNS: tuple[Column, ...] = (
    Column(name="__op", type=ColumnType.STRING, required=True),
    Column(name="__ts_ms", type=ColumnType.TIMESTAMP),
    Column(name="__source_ts_ms", type=ColumnType.TIMESTAMP, required=True),
    Column(name="__source_lsn", type=ColumnType.INT64, required=True),
)
"""What change data capture adds to every row of a landing file (`__deleted` is read and dropped: `__op` says it)."""

POSITION_COLUMNS: tuple[Column, ...] = (
    Column(name="_object_id", type=ColumnType.STRING, required=True),
    Column(name="_epoch", type=ColumnType.INT32, required=True),
    Column(name="_source_partition", type=ColumnType.STRING, required=True),
    Column(name="_position", type=ColumnType.INT64, required=True),
)
"""Where a row came from and its place in the change order."""

CHANGELOG_COLUMNS: tuple[Column, ...] = (
    *CDC_COLUMNS,
    Column(name="_batch_id", type=ColumnType.STRING, required=True),
    Column(name="_file_name", type=ColumnType.STRING, required=True),
    *POSITION_COLUMNS,
    Column(name="date", type=ColumnType.DATE, required=True),
)
"""Columns of `changes.<entity>` in the lake after the entity's own."""

RAW_COLUMNS: tuple[Column, ...] = (
    *CDC_COLUMNS,
    Column(name="loaded_at", type=ColumnType.TIMESTAMP, required=True),
    Column(name="batch_id", type=ColumnType.STRING, required=True),
    Column(name="file_name", type=ColumnType.STRING, required=True),
    *POSITION_COLUMNS,
    Column(name="load_seq", type=ColumnType.INT64, required=True),
)
"""Columns of `RAW.<entity>` in the warehouse after the entity's own."""

STATE_COLUMNS: tuple[Column, ...] = (*CDC_COLUMNS, *POSITION_COLUMNS)
"""Columns of `ecommerce.<entity>` in the lake after the entity's own: those of the change that is the newest version.

After them comes, per toastable column, the place of the change that told its value, and then the partition `date`.
"""

NO_DATE = date(1970, 1, 1)
"""Partition of a tombstone whose key was never seen otherwise, and of a row without `created_at`."""

CHANGE_ORDER: tuple[str, ...] = ("_epoch", "__source_lsn", "is_streamed", "_position", "_object_id")
"""The change order, smallest first; `is_streamed` is `__op <> 'r'`. The greatest row of a key is its newest version."""

CHANGE_IDENTITY: tuple[str, ...] = ("_epoch", "__source_lsn", "__op")
"""With entity and key: rows equal in these are one change, however many objects brought it."""

OPERATIONS: tuple[str, ...] = ("c", "u", "d", "r")


@dataclass(frozen=True)
class ChangeKey:
    """The place of one row in the change order; compare with `<`."""

    epoch: int
    lsn: int
    is_streamed: bool
    position: int
    object_id: str

    def __lt__(self, other: "ChangeKey") -> bool:
        return self._tuple() < other._tuple()

    @property
    def text(self) -> str:
        """Return the place as text that sorts as places do: numbers of fixed width (none is negative)."""
        return f"{self.epoch:010d}{self.lsn:020d}{self.is_streamed:d}{self.position:020d}{self.object_id}"

    def _tuple(self) -> tuple[int, int, bool, int, str]:
        return (self.epoch, self.lsn, self.is_streamed, self.position, self.object_id)


@cache
def load_entity(name: str) -> Entity:
    """Read one entity file.

    Args:
        name: One of `slackwater.naming.ENTITIES`.

    Raises:
        ConfigurationError: There is no such entity.
    """
    if name not in ENTITIES:
        raise ConfigurationError(f"no entity is named {name!r}; expected one of {', '.join(ENTITIES)}")
    text = files("slackwater.entities").joinpath(f"{name}.yml").read_text(encoding="utf-8")
    return Entity.model_validate(yaml.safe_load(text))


def all_entities() -> tuple[Entity, ...]:
    """Return the four entities, referenced before referencing."""
    return tuple(load_entity(name) for name in ENTITIES)


def arrow_schema(entity: Entity, extra: tuple[Column, ...] = ()) -> pa.Schema:
    """Return the Arrow schema of an entity's columns followed by `extra`."""
    columns = (*entity.columns, *extra)
    return pa.schema([pa.field(c.name, c.type.arrow, nullable=not c.required) for c in columns])


def told_order_column(column: str) -> str:
    """Return the state table's column that holds the place (`ChangeKey.text`) of the change that told a value."""
    return f"_{column}_order"


def state_columns(entity: Entity) -> tuple[Column, ...]:
    """Return every column of `ecommerce.<entity>` in order; a delete leaves the entity's own null, but for the key."""
    told = (Column(name=told_order_column(name), type=ColumnType.STRING) for name in entity.toastable_names)
    return (*entity.columns, *STATE_COLUMNS, *told, Column(name="date", type=ColumnType.DATE, required=True))


def changelog_schema(entity: Entity) -> pa.Schema:
    """Return the Arrow schema of `changes.<entity>`."""
    return arrow_schema(entity, CHANGELOG_COLUMNS)
