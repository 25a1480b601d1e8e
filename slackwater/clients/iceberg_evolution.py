"""The schemas of the lake's tables: read for a plan, and changed one step at a time.

Every step is one commit of metadata; no data file is touched. A renamed column keeps its field id, so files of before
are read under the new name; a widened type is read from narrower files by pyiceberg and Spark alike.
"""

from collections.abc import Sequence

from pyiceberg.exceptions import NoSuchTableError

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.clients.iceberg_schema import ICEBERG_FIELD_TYPES
from slackwater.entities.ddl import ICEBERG_TYPES
from slackwater.entities.evolution import FoundTable, Place, SchemaStep, StepKind
from slackwater.entities.model import Entity
from slackwater.errors import ConfigurationError, StoreRejected
from slackwater.naming import changelog_table, state_table


def found_lake_tables(lake: Lake, entity: Entity) -> tuple[FoundTable, ...]:
    """Return an entity's changelog and state table as they are; one that does not exist yet is left out."""
    named = ((Place.CHANGELOG, changelog_table(entity.name)), (Place.STATE, state_table(entity.name)))
    found = (_found(lake, place, name) for place, name in named)
    return tuple(table for table in found if table is not None)


def apply_lake_steps(lake: Lake, steps: Sequence[SchemaStep]) -> None:
    """Carry out steps of one table with one commit, on whatever schema it has now.

    Raises:
        CommitConflict: Another process changed the schema at the same time; plan again.
        StoreRejected: The table is not as the plan says.
    """
    table = lake.load_table(steps[0].table)
    with translated():
        try:
            with table.update_schema() as update:
                for step in steps:
                    if step.kind is StepKind.RENAME:
                        update.rename_column(step.old_name, step.column)
                    elif step.type is not None and step.kind is StepKind.WIDEN:
                        update.update_column(step.column, field_type=ICEBERG_FIELD_TYPES[step.type])
                    elif step.type is not None:
                        update.add_column(step.column, ICEBERG_FIELD_TYPES[step.type])
        except ValueError as exc:
            raise StoreRejected(f"{steps[0]}: refused: {exc}; see `slackwater schema plan`") from exc


def _found(lake: Lake, place: Place, name: str) -> FoundTable | None:
    try:
        table = lake.load_table(name)
    except ConfigurationError as exc:
        if isinstance(exc.__cause__, NoSuchTableError):
            return None
        raise
    words = {ICEBERG_FIELD_TYPES[kind]: word for kind, word in ICEBERG_TYPES.items()}
    columns = {field.name: words.get(field.field_type, str(field.field_type)) for field in table.schema().fields}
    return FoundTable(place, name, columns)
