"""Brings the tables of every store in the shape the entity files declare, in order and audited.

The order is changelog, state, raw, speed layer, staging: a column is there before rows with it can come from the store
before. Everything is planned before anything is done, so what is incompatible stops all of it. Each step is decided
from the table as it is, so a second call, or a call after a kill, does only what is left. Two processes at once do no
harm: a step that fails is planned again, and counts as done when somebody else did it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.clickhouse_evolution import apply_speed_step, found_speed_table
from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_evolution import apply_lake_steps, found_lake_tables
from slackwater.clients.snowflake import Warehouse
from slackwater.entities.evolution import (
    APPLIED,
    FoundTable,
    Place,
    SchemaStep,
    plan_evolution,
    require_possible,
)
from slackwater.entities.model import Entity
from slackwater.errors import SlackwaterError
from slackwater.warehouse import audit
from slackwater.warehouse.evolve import found_warehouse_tables, warehouse_statement

LOG = logging.getLogger("slackwater.schema")


@dataclass(frozen=True)
class Stores:
    """Every store that has tables of an entity."""

    lake: Lake
    warehouse: Warehouse
    speed: SpeedStore


def plan_schema(
    entities: Sequence[Entity], stores: Stores, *, places: Sequence[Place] = tuple(Place)
) -> tuple[SchemaStep, ...]:
    """Return what brings every table in the declared shape, in the order in which it is done; changes nothing."""
    tables = [(entity, table) for entity in entities for table in _lake_and_speed(stores, entity, places)]
    in_warehouse = [place for place in (Place.RAW, Place.STAGING) if place in places]
    if in_warehouse:
        found = found_warehouse_tables(stores.warehouse, entities, in_warehouse)
        tables += [(entity, table) for entity in entities for table in found[entity.name]]
    order = list(Place)
    tables.sort(key=lambda item: order.index(item[1].place))
    return tuple(step for entity, table in tables for step in plan_evolution(entity, table))


def apply_schema(
    entities: Sequence[Entity],
    stores: Stores,
    *,
    actor: str,
    tell: Callable[[str], None] = LOG.info,
    after_step: Callable[[SchemaStep], None] = lambda _: None,
) -> tuple[SchemaStep, ...]:
    """Bring every table in the declared shape; a second call finds nothing to do.

    Args:
        entities: As declared.
        stores: Where the tables are.
        actor: Who does it, for the audit.
        tell: Gets one line per step; needs no store.
        after_step: Called when a step is done and before the audit says so.

    Returns:
        The steps that were done, and the columns nobody declared, which were left alone.

    Raises:
        ConfigurationError: A table cannot be brought in the declared shape; nothing was changed anywhere.
    """
    steps = plan_schema(entities, stores)
    require_possible(steps)
    stores.warehouse.execute(audit.AUDIT_LOG_DDL)
    _finish_left_open(stores.warehouse, steps)
    for place in Place:
        for step in (one for one in steps if one.place is place):
            if step.kind in APPLIED:
                audit.begin(stores.warehouse, deed_of(step), actor=actor)
                _apply(step, entities, stores)
                after_step(step)
                audit.finish(stores.warehouse, deed_of(step))
            tell(f"applied: {step}" if step.kind in APPLIED else str(step))
        if place is Place.SPEED:
            for entity in entities:  # always: whoever did the steps may have been killed before the views
                stores.speed.replace_view(entity)
    return steps


def deed_of(step: SchemaStep) -> audit.Deed:
    """Return what the audit says of a step."""
    detail = {"step": step.kind.value, "place": step.place.value, "from": step.old_name or step.found}
    to = step.column if step.old_name else step.declared
    return audit.Deed(audit.SCHEMA_CHANGE, f"{step.table}.{step.column}", detail | {"to": to})


def _apply(step: SchemaStep, entities: Sequence[Entity], stores: Stores) -> None:
    try:
        if step.place in {Place.CHANGELOG, Place.STATE}:
            apply_lake_steps(stores.lake, [step])
        elif step.place is Place.SPEED:
            apply_speed_step(stores.speed, step)
        else:
            stores.warehouse.execute(warehouse_statement(step))
    except SlackwaterError:
        if step in plan_schema(entities, stores, places=[step.place]):
            raise


def _lake_and_speed(stores: Stores, entity: Entity, places: Sequence[Place]) -> list[FoundTable]:
    wanted = set(places)
    in_lake = found_lake_tables(stores.lake, entity) if wanted & {Place.CHANGELOG, Place.STATE} else ()
    in_speed = found_speed_table(stores.speed, entity) if Place.SPEED in wanted else ()
    return [table for table in (*in_lake, *in_speed) if table.place in wanted]


def _finish_left_open(warehouse: Warehouse, steps: Sequence[SchemaStep]) -> None:
    """Mark as done what somebody began, and what is no step any more."""
    planned = [deed_of(step) for step in steps]
    for deed in audit.open_deeds(warehouse, audit.SCHEMA_CHANGE):
        if deed not in planned:
            audit.finish(warehouse, deed)
