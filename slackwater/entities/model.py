"""The four entities, declared once in the YAML files beside this module, and the columns every store adds to them.

Everything that depends on an entity's shape (DDL, reading, folding, loading) is derived from here. This module knows
no store: DDL is in `ddl.py`, the physical forms a landing file may use are in `casting.py`, what brings a table that
exists in the declared shape is in `evolution.py`.

A column tells its own history: `since` (the version of the entity that added it), `renamed_from`, `was` (narrower types
it had). So files and tables of every former shape are understood, and nothing destructive can be said.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from importlib.resources import files
from types import MappingProxyType

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from slackwater.entities.history import impossible_history
from slackwater.errors import ConfigurationError
from slackwater.naming import ENTITIES
from slackwater.yaml_text import load_yaml


class ColumnType(StrEnum):
    """Logical types that every store can hold exactly."""

    INT32 = "int32"
    INT64 = "int64"
    STRING = "string"
    TIMESTAMP = "timestamp"  # microseconds, UTC, without a time zone
    DATE = "date"
    MONEY = "decimal(10,2)"
    LARGE_MONEY = "decimal(18,2)"

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
    ColumnType.LARGE_MONEY: pa.decimal128(18, 2),
}

AMOUNTS = frozenset({ColumnType.MONEY, ColumnType.LARGE_MONEY})
"""Types that are exact decimals."""

NARROWER: Mapping[ColumnType, frozenset[ColumnType]] = MappingProxyType(
    {
        ColumnType.INT64: frozenset({ColumnType.INT32}),
        ColumnType.LARGE_MONEY: frozenset({ColumnType.MONEY}),
    }
)
"""Per type the types it may have been before: every store reads their values exactly and rewrites nothing."""


class Column(BaseModel):
    """One column of an entity.

    Attributes:
        since: Version of the entity that added it; files of before lack it, their rows have null. None: from the start.
        renamed_from: Names it had before, in any order.
        was: Narrower types it had before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    type: ColumnType
    required: bool = False
    toastable: bool = False
    since: int | None = Field(default=None, ge=2)
    renamed_from: tuple[str, ...] = ()
    was: tuple[ColumnType, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name and those it had before."""
        return (self.name, *self.renamed_from)

    @model_validator(mode="after")
    def _is_possible(self) -> "Column":
        if self.since is not None and self.required:
            raise ValueError(
                f"{self.name} has `since` and `required`: rows of before have no value; leave out `required`"
            )
        wrong = [kind.value for kind in self.was if kind not in NARROWER.get(self.type, frozenset())]
        if wrong:
            allowed = ", ".join(sorted(kind.value for kind in NARROWER.get(self.type, frozenset()))) or "nothing"
            raise ValueError(
                f"{self.name} cannot become {self.type.value} from {', '.join(wrong)}: {self.type.value} widens"
                f" {allowed}; declare a new column for values of another type, and leave this one as it is"
            )
        return self


class Entity(BaseModel):
    """One source table and what every store needs to know of it.

    Attributes:
        version: Counts the changes of the table's shape, from 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: int = Field(default=1, ge=1)
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

    @model_validator(mode="after")
    def _has_a_possible_history(self) -> "Entity":
        reserved = {column.name for column in (*CHANGELOG_COLUMNS, *RAW_COLUMNS)}
        fault = impossible_history(self, reserved=reserved)
        if fault:
            raise ValueError(fault)
        return self

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


DECLARED: dict[str, Entity] = {}
"""What `load_entity` returns, by name, read from the files at first use; `testing/declaring.py` puts others here."""


def load_entity(name: str) -> Entity:
    """Read one entity file.

    Args:
        name: One of `slackwater.naming.ENTITIES`.

    Raises:
        ConfigurationError: There is no such entity, or its file declares what cannot be.
    """
    if name not in ENTITIES:
        raise ConfigurationError(f"no entity is named {name!r}; expected one of {', '.join(ENTITIES)}")
    if name not in DECLARED:
        text = files("slackwater.entities").joinpath(f"{name}.yml").read_text(encoding="utf-8")
        DECLARED[name] = parse_entity(text, file=f"slackwater/entities/{name}.yml")
    return DECLARED[name]


def parse_entity(text: str, *, file: str) -> Entity:
    """Read an entity from the text of its file.

    Raises:
        ConfigurationError: It declares what cannot be; the message says what to declare instead.
    """
    try:
        return Entity.model_validate(load_yaml(text))
    except (ValidationError, yaml.YAMLError) as exc:
        lines = "; ".join(_told_errors(exc)) if isinstance(exc, ValidationError) else str(exc)
        raise ConfigurationError(
            f"{file}: {lines}. A column may be added (`since`), renamed (`renamed_from`) or widened (`was`); none is"
            " dropped or narrowed: leave it declared, files that lack it are quarantined (docs/how-to/add-a-column.md)"
        ) from exc


def _told_errors(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in one["loc"])
        yield f"{place}: {one['msg']}" if place else one["msg"]


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
    return (
        *entity.columns,
        *STATE_COLUMNS,
        *told_columns(entity),
        Column(name="date", type=ColumnType.DATE, required=True),
    )


def told_columns(entity: Entity) -> tuple[Column, ...]:
    """Return the state table's columns that hold places of told values; they share their columns' history."""
    return tuple(
        Column(
            name=told_order_column(column.name),
            type=ColumnType.STRING,
            since=column.since,
            renamed_from=tuple(told_order_column(name) for name in column.renamed_from),
        )
        for column in entity.columns
        if column.toastable
    )


def changelog_schema(entity: Entity) -> pa.Schema:
    """Return the Arrow schema of `changes.<entity>`."""
    return arrow_schema(entity, CHANGELOG_COLUMNS)
