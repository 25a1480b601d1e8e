"""`slackwater schema`: what the entity files declare and the stores' tables lack, shown or applied."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import typer

from slackwater.commands.context import EXIT_PROBLEM, AsJson, current_systems, operator, out, plain_errors, problems

if TYPE_CHECKING:  # the drivers cost seconds
    from slackwater.entities.evolution import SchemaStep
    from slackwater.lake.schema_evolution import Stores

app = typer.Typer(
    no_args_is_help=True, help="Added, renamed and widened columns: what is declared and not yet applied."
)


@app.command("plan")
def schema_plan(as_document: AsJson = False) -> None:
    """Show what would be done to which table, in order; exit status 1 when something cannot be done."""
    from slackwater.entities.evolution import StepKind
    from slackwater.entities.model import all_entities
    from slackwater.lake.schema_evolution import plan_schema

    with plain_errors(), _stores() as stores:
        steps = plan_schema(all_entities(), stores)
    _print(steps, as_document=as_document, done=False)
    if any(step.kind is StepKind.INCOMPATIBLE for step in steps):
        raise typer.Exit(EXIT_PROBLEM)


@app.command("apply")
def schema_apply(as_document: AsJson = False) -> None:
    """Bring the tables of all stores in the declared shape, as every start of the stack does; repeating is harmless."""
    from slackwater.entities.model import all_entities
    from slackwater.lake.schema_evolution import apply_schema

    def tell(line: str) -> None:
        problems.print(line, markup=False)

    with plain_errors(), _stores() as stores:
        steps = apply_schema(all_entities(), stores, actor=operator(), tell=tell)
    _print(steps, as_document=as_document, done=True)


@contextmanager
def _stores() -> "Iterator[Stores]":
    from slackwater.clients.clickhouse import SpeedStore
    from slackwater.clients.iceberg import Lake
    from slackwater.clients.snowflake import Warehouse
    from slackwater.lake.schema_evolution import Stores

    systems = current_systems()
    with (
        closing(Lake(systems.lake, systems.s3)) as lake,
        Warehouse(systems.warehouse, query_tag="schema") as warehouse,
        SpeedStore(systems.clickhouse) as speed,
    ):
        yield Stores(lake, warehouse, speed)


def _print(steps: "Sequence[SchemaStep]", *, as_document: bool, done: bool) -> None:
    from slackwater.entities.evolution import APPLIED

    changing = sum(step.kind in APPLIED for step in steps)
    if as_document:
        print(json.dumps([_document(step) for step in steps], indent=2))
        return
    if not done:
        for step in steps:
            out.print(str(step), markup=False)
    if not changing:
        out.print("Every table has the declared columns.")
    else:
        out.print(f"{changing} steps applied." if done else f"{changing} steps; apply them: slackwater schema apply")


def _document(step: "SchemaStep") -> dict[str, str]:
    return {
        "step": step.kind.value,
        "place": step.place.value,
        "table": step.table,
        "column": step.column,
        "old_name": step.old_name,
        "found": step.found,
        "declared": step.declared,
        "reason": step.reason,
    }
