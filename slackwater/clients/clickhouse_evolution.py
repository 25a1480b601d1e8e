"""The shape of the speed layer's change tables: read for a plan, and changed one step at a time."""

from slackwater.clients.clickhouse import SpeedStore
from slackwater.entities.ddl import CLICKHOUSE_TYPES
from slackwater.entities.evolution import FoundTable, Place, SchemaStep, StepKind
from slackwater.entities.model import Entity
from slackwater.naming import clickhouse_changes_table

_NULLABLE = "Nullable("


def found_speed_table(speed: SpeedStore, entity: Entity) -> tuple[FoundTable, ...]:
    """Return an entity's change table as it is, without saying which columns may be null; nothing without the table."""
    name = clickhouse_changes_table(entity.name)
    columns = {column: _plain(kind) for column, kind in speed.columns(name).items()}
    return (FoundTable(Place.SPEED, name, columns),) if columns else ()


def apply_speed_step(speed: SpeedStore, step: SchemaStep) -> None:
    """Carry out one step; the view over the table must be made anew afterwards."""
    speed.command(speed_statement(step, held=speed.columns(step.table)))


def speed_statement(step: SchemaStep, *, held: dict[str, str]) -> str:
    """Return the statement of a step; a widened column may be null if it might before."""
    if step.kind is StepKind.RENAME:
        return f"alter table {step.table} rename column {step.old_name} to {step.column}"
    kind = CLICKHOUSE_TYPES[step.type] if step.type is not None else step.declared
    if step.kind is StepKind.WIDEN:
        wide = f"{_NULLABLE}{kind})" if held[step.column].startswith(_NULLABLE) else kind
        return f"alter table {step.table} modify column {step.column} {wide}"
    return f"alter table {step.table} add column {step.column} {_NULLABLE}{kind})"


def _plain(kind: str) -> str:
    return kind.removeprefix(_NULLABLE).removesuffix(")") if kind.startswith(_NULLABLE) else kind
