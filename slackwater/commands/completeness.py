"""`slackwater completeness`: which days are wholly in the marts, and what the others wait for."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from slackwater.commands.context import current_systems, out, plain_errors
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES
from slackwater.stack.systems import Systems

if TYPE_CHECKING:
    from slackwater.clients.snowflake import Warehouse
    from slackwater.completeness.report import DaySummary

DAY = ["%Y-%m-%d"]


def completeness(
    from_day: Annotated[
        datetime | None, typer.Option("--from", formats=DAY, help="First day (YYYY-MM-DD, UTC); by default the first.")
    ] = None,
    to_day: Annotated[
        datetime | None, typer.Option("--to", formats=DAY, help="Last day, inclusive; by default the last.")
    ] = None,
    is_counting: Annotated[
        bool, typer.Option("--now", help="Count every store again first, instead of showing the last count.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which days of events are complete, by how much the others are not, and what is missing."""
    from slackwater.clients.snowflake import Warehouse
    from slackwater.completeness.report import as_document, complete_up_to, headline, summarize
    from slackwater.completeness.store import read_clock, read_days

    systems = current_systems()
    with plain_errors(), Warehouse(systems.warehouse, query_tag="completeness") as warehouse:
        if is_counting:
            _count(systems, warehouse)
        clock, every = read_clock(warehouse), summarize(read_days(warehouse))
    first, last = (bound.date() if bound else None for bound in (from_day, to_day))
    chosen = [one for one in every if (not first or one.day >= first) and (not last or one.day <= last)]
    if as_json:
        print(json.dumps(as_document(chosen, clock=clock, up_to=complete_up_to(every)), indent=2))
        return
    _print(chosen)
    counted = f" Counted {clock.computed_at:%Y-%m-%d %H:%M:%S} UTC; --now counts again." if clock else ""
    out.print(headline(every) + counted, markup=False)


def _count(systems: Systems, warehouse: "Warehouse") -> None:
    """Run one turn of the clock over the stores of the environment."""
    from slackwater.clients.clickhouse import SpeedStore
    from slackwater.clients.iceberg import Lake
    from slackwater.completeness.run import refresh_completeness

    with Ledger(systems.ledger.dsn) as ledger, SpeedStore(systems.clickhouse) as speed:
        refresh_completeness(
            ledger=ledger,
            lake=Lake(systems.lake, systems.s3),
            warehouse=warehouse,
            speed=speed,
            source_dsn=systems.shop.dsn,
        )


def _print(days: "list[DaySummary]") -> None:
    table = Table()
    for title in ("day", "final", "published", *ENTITIES, "why not"):
        table.add_column(title, justify="left" if title in {"day", "final", "why not"} else "right")
    for one in days:
        by_entity = {row.entity: f"{row.published_rows} of {row.expected_rows}" for row in one.entities}
        table.add_row(
            str(one.day),
            "yes" if one.is_final else "no",
            f"{one.percent} %",
            *(by_entity.get(entity, "") for entity in ENTITIES),
            one.reasons,
        )
    if days:
        out.print(table, markup=False)
