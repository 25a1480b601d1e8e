"""What brings a table that exists in the shape its entity declares: added, renamed and widened columns. Pure.

A plan is made from what the table holds now, so a step that is done is no step: a plan may be carried out again at any
time, by anyone, and be killed between two steps. Nothing is ever dropped, narrowed or rewritten. Each store's client
reads its tables (`FoundTable`) and carries the steps out; `lake/schema_evolution.py` says in which order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from slackwater.entities.ddl import CLICKHOUSE_CHANGE_COLUMNS, CLICKHOUSE_TYPES, ICEBERG_TYPES, SNOWFLAKE_TYPES
from slackwater.entities.model import (
    CHANGELOG_COLUMNS,
    RAW_COLUMNS,
    Column,
    ColumnType,
    Entity,
    state_columns,
    told_columns,
)
from slackwater.errors import ConfigurationError


class Place(StrEnum):
    """Where an entity has tables, in the order in which they are changed: a row never moves into a narrower one."""

    CHANGELOG = "changelog"
    STATE = "state"
    RAW = "raw"
    SPEED = "speed"
    STAGING = "staging"


class StepKind(StrEnum):
    """What a step does, or why there is none."""

    RENAME = "rename column"
    WIDEN = "widen type"
    ADD = "add column"
    INCOMPATIBLE = "incompatible"
    UNDECLARED = "undeclared column"


APPLIED = frozenset({StepKind.RENAME, StepKind.WIDEN, StepKind.ADD})
"""Kinds that change a table; of the others one stops everything, and one is only reported."""

TYPES: Mapping[Place, Mapping[ColumnType, str]] = {
    Place.CHANGELOG: ICEBERG_TYPES,
    Place.STATE: ICEBERG_TYPES,
    Place.RAW: SNOWFLAKE_TYPES,
    Place.SPEED: CLICKHOUSE_TYPES,
    Place.STAGING: SNOWFLAKE_TYPES,
}
"""Each place's words for the logical types; two types may share a word, then widening is no step."""


@dataclass(frozen=True)
class FoundTable:
    """A table as its store describes it.

    Attributes:
        name: In the store's own notation.
        columns: Type by column name, in the words of `TYPES`, or in the store's own for a type that is none of ours.
    """

    place: Place
    name: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class SchemaStep:
    """One step of one table.

    Attributes:
        column: Its name after the step; of an undeclared column its name.
        type: Declared type; None for an undeclared column.
        old_name: Of a rename, the name until now.
        found: Type in the table, empty when the column is not there.
        declared: Type it is to have, in the store's words.
        reason: Why it is incompatible, and what to do.
    """

    kind: StepKind
    place: Place
    table: str
    column: str
    type: ColumnType | None = None
    old_name: str = ""
    found: str = ""
    declared: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """Return the step in one line."""
        told = {
            StepKind.RENAME: f"rename {self.old_name} to {self.column}",
            StepKind.WIDEN: f"widen {self.column} from {self.found} to {self.declared}",
            StepKind.ADD: f"add {self.column} {self.declared}",
            StepKind.INCOMPATIBLE: f"column {self.column} is {self.found or 'missing'}, declared {self.declared}:"
            f" {self.reason}",
            StepKind.UNDECLARED: f"column {self.column} {self.found} is not declared; it is left alone",
        }
        return f"{self.place} {self.table}: {told[self.kind]}"


def plan_evolution(entity: Entity, table: FoundTable) -> tuple[SchemaStep, ...]:
    """Return what brings one table in the declared shape.

    Only the entity's own columns are planned. `STAGING` belongs to dbt: what it has beside them, and types that are no
    former type of the column, are dbt's to judge (`on_schema_change: fail`).

    Args:
        entity: As declared.
        table: One of its tables as it is.

    Returns:
        Renames, then widenings, then additions, each in declared order; then what cannot be, then what nobody declared.
        Empty for a table in the declared shape.
    """
    wanted, fixed = _columns_at(entity, table.place)
    steps = [step for column in wanted for step in _steps(column, table)]
    if table.place is not Place.STAGING:
        known = {name for column in wanted for name in column.names} | fixed
        steps += [
            SchemaStep(StepKind.UNDECLARED, table.place, table.name, name, found=kind)
            for name, kind in table.columns.items()
            if name not in known
        ]
    return tuple(sorted(steps, key=lambda step: list(StepKind).index(step.kind)))


def require_possible(steps: Sequence[SchemaStep]) -> None:
    """Refuse a plan in which something is incompatible, before anything is done.

    Raises:
        ConfigurationError: The message names every such table and column.
    """
    wrong = [step for step in steps if step.kind is StepKind.INCOMPATIBLE]
    if wrong:
        raise ConfigurationError(
            f"{len(wrong)} columns cannot be brought in the declared shape, nothing was changed: "
            + "; ".join(str(step) for step in wrong)
        )


def _columns_at(entity: Entity, place: Place) -> tuple[tuple[Column, ...], frozenset[str]]:
    """Return the columns that are planned at a place, and the names of those that the place adds itself."""
    added: Mapping[Place, tuple[Column, ...]] = {
        Place.CHANGELOG: CHANGELOG_COLUMNS,
        Place.STATE: state_columns(entity),
        Place.RAW: RAW_COLUMNS,
        Place.SPEED: CLICKHOUSE_CHANGE_COLUMNS,
        Place.STAGING: (),
    }
    planned = (*entity.columns, *(told_columns(entity) if place is Place.STATE else ()))
    own = {"ingested_at"} if place is Place.SPEED else set()
    return planned, frozenset(own | {column.name for column in added[place]})


def _steps(column: Column, table: FoundTable) -> list[SchemaStep]:
    words, held = TYPES[table.place], table.columns
    step = SchemaStep(StepKind.ADD, table.place, table.name, column.name, column.type, declared=words[column.type])
    old = [name for name in column.renamed_from if name in held]
    if (column.name in held) + len(old) > 1:
        both = ", ".join(name for name in column.names if name in held)
        reason = f"the table has it under several names ({both}): move the values into one of them and drop the others"
        return [_of(step, StepKind.INCOMPATIBLE, found=held[old[0]], reason=reason)]
    if not old and column.name not in held:
        if column.since is not None:
            return [step]
        reason = "declare `since` and raise `version` if it was added, `renamed_from` if it had another name"
        return [] if table.place is Place.STAGING else [_of(step, StepKind.INCOMPATIBLE, reason=reason)]
    found = held[old[0] if old else column.name]
    steps = [_of(step, StepKind.RENAME, old_name=old[0], found=found)] if old else []
    if found == words[column.type]:
        return steps
    if found in {words[kind] for kind in column.was}:
        return [*steps, _of(step, StepKind.WIDEN, found=found)]
    if table.place is Place.STAGING:
        return steps
    reason = "a type is only widened, from one that `was` names; for other values declare a new column"
    return [_of(step, StepKind.INCOMPATIBLE, found=found, reason=reason)]


def _of(step: SchemaStep, kind: StepKind, *, old_name: str = "", found: str = "", reason: str = "") -> SchemaStep:
    return SchemaStep(kind, step.place, step.table, step.column, step.type, old_name, found, step.declared, reason)
