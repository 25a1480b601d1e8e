"""`slackwater ledger`: compare the ledger with the lake, and rebuild a lost one."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from slackwater.commands.context import (
    EXIT_PROBLEM,
    AsJson,
    current_systems,
    open_ledger,
    operator,
    out,
    plain_errors,
    problems,
)
from slackwater.commands.query import print_rows

if TYPE_CHECKING:  # the drivers of lake and warehouse cost seconds, and every command imports this module
    from slackwater.lake.verify import Verification
    from slackwater.recovery.plan import Findings
    from slackwater.recovery.run import RebuildReport

app = typer.Typer(no_args_is_help=True, help="The ledger itself: compare it with the lake, rebuild a lost one.")

NAMED_AT_MOST = 10


@app.command("verify")
def ledger_verify(
    is_reopening: Annotated[
        bool, typer.Option("--reopen", help="Open the batches the lake lost again, so that they are appended again.")
    ] = False,
    is_json: AsJson = False,
) -> None:
    """Compare every landed batch with the rows the lake holds of it; exit status 1 when they differ.

    The sweep does the cheap part of this every minute and opens again what a rollback took away.
    """
    from slackwater.clients.iceberg import Lake
    from slackwater.lake import verify

    systems = current_systems()
    with plain_errors(), open_ledger(systems) as ledger:
        lake = Lake(systems.lake, systems.s3)
        found = verify.verify(ledger, lake, actor=operator(), is_reopening=is_reopening)
    if is_json:
        print(json.dumps({"is_good": found.is_good, **asdict(found)}, indent=2, default=str))
    else:
        _print_verification(found)
    if not found.is_good and set(found.reopened) != {batch.batch_id for batch in found.lost}:
        raise typer.Exit(EXIT_PROBLEM)


@app.command("rebuild")
def ledger_rebuild(
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be restored.")] = False,
    is_json: AsJson = False,
) -> None:
    """Restore an empty ledger from the lake, the landing bucket and the warehouse. Stop bridge and worker before.

    What cannot be restored is listed; docs/runbooks/ledger-lost.md says what it means.
    """
    from slackwater.clients.iceberg import Lake
    from slackwater.clients.s3 import ObjectStore
    from slackwater.clients.snowflake import Warehouse
    from slackwater.recovery.run import rebuild
    from slackwater.stack.bootstrap import ensure_ledger

    systems = current_systems()
    with plain_errors(), open_ledger(systems) as ledger, Warehouse(systems.warehouse, query_tag="rebuild") as warehouse:
        if not is_dry:
            ensure_ledger(systems.ledger)
        report = rebuild(
            ledger=ledger,
            lake=Lake(systems.lake, systems.s3),
            store=ObjectStore(systems.s3),
            warehouse=warehouse,
            landing=systems.landing,
            now=datetime.now(UTC),
            is_writing=not is_dry,
            actor=operator(),
        )
    if is_json:
        print(json.dumps(asdict(report), indent=2, default=str))
        return
    _print_report(report)


def _print_verification(found: "Verification") -> None:
    out.print(f"{found.checked_batches} batches compared with the lake.")
    for batch in found.lost:
        done = "opened again" if batch.batch_id in found.reopened else "lost; open them again with --reopen"
        out.print(f"{batch.entity} batch {batch.batch_id}, {batch.row_count} rows: {done}", markup=False)
    for different in found.different:
        problems.print(
            f"{different.entity} batch {different.batch_id}: the lake holds {different.found_rows} rows instead of"
            f" {different.expected_rows}",
            markup=False,
        )
    for batch_id in found.unknown:
        problems.print(f"batch {batch_id} is in the lake and not in the ledger: see docs/runbooks/ledger-lost.md")


def _print_report(report: "RebuildReport") -> None:
    columns = ("entity", "objects", "sealed", "landed", "loaded", "of these published", "rows")
    print_rows(
        columns,
        [
            (
                *(one.entity, one.objects, one.sealed_batches, one.landed_batches, one.loaded_batches),
                *(one.published_batches, one.rows),
            )
            for one in report.entities
        ],
    )
    out.print(f"{report.published_refreshes} published refreshes.")
    for line in finding_lines(report.findings):
        out.print(line, markup=False)
    out.print("Restored. The sweep goes on from here." if report.is_written else "Nothing was written.")


def finding_lines(found: "Findings") -> tuple[str, ...]:
    """Return one line per kind of finding, only for what there is."""
    listed = (
        ("landing files whose rows are in the lake are gone; etag and size are unknown", found.unlisted_keys),
        ("batches had more files than have rows; the sweep takes those again", found.partly_known_batches),
        ("batches are in raw and not in the lake; they are appended again", found.raw_only_batches),
        ("batches hold other rows in the lake than in raw", tuple(one.batch_id for one in found.different_batches)),
        ("objects have their rows in more than one batch", found.doubled_objects),
    )
    counted = (
        ("loaded batches without any row were not restored", found.batches_without_rows),
        ("refreshes were never published: rejected or open; they start anew", found.unpublished_refreshes),
        ("landing files have no row anywhere: the sweep takes them again", found.unread_objects),
    )
    named = tuple(
        f"{len(items)} {text}: {', '.join(items[:NAMED_AT_MOST])}{' ...' if len(items) > NAMED_AT_MOST else ''}"
        for text, items in listed
        if items
    )
    return (*named, *(f"{count} {text}" for text, count in counted if count))
