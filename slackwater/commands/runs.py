"""`slackwater runs`: which flow runs live, which are dead without knowing it, and what was decided about them."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.commands.context import AsJson, current_systems, open_ledger, out, plain_errors
from slackwater.commands.query import print_rows
from slackwater.ledger.run_leases import run_decisions
from slackwater.runs.model import RunsReport
from slackwater.runs.reconcile import reconcile
from slackwater.runs.report import as_document, line, noteworthy, summary
from slackwater.settings import RunSettings

app = typer.Typer(no_args_is_help=True, help="Flow runs: see which live, free what dead ones hold.")


@app.command("list")
def runs_list(is_json: AsJson = False) -> None:
    """List the unfinished runs, and ended ones that left a process or pod, each with what would be decided."""
    report = _reconcile(is_dry=True)
    if is_json:
        print(json.dumps(as_document(report)["runs"], indent=2))
        return
    rows = [
        (
            *(run.id[:8], run.name, run.state_name, run.since.strftime("%H:%M:%S"), seen.detail),
            *(lease.subject if lease else None, one.action.value, one.rule),
        )
        for one in (outcome.decision for outcome in report.outcomes)
        for run, seen, lease in [(one.run, one.situation.infrastructure, one.situation.live_lease)]
    ]
    print_rows(("run", "name", "state", "since", "seen", "live lease", "decision", "rule"), rows)
    _print_notes(report)


@app.command("reconcile")
def runs_reconcile(
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    is_json: AsJson = False,
) -> None:
    """Free what dead runs hold and end what ended runs left behind, with the reason of each decision.

    The sweep does the same every minute. Processes are seen on this host only: a run of another host's worker is left.
    """
    report = _reconcile(is_dry=is_dry)
    if is_json:
        print(json.dumps(as_document(report), indent=2))
        return
    for outcome in noteworthy(report):
        out.print(("would " if is_dry else "") + line(outcome), markup=False)
    out.print(f"{summary(report)}.", markup=False)


@app.command("decisions")
def runs_decisions(
    run: Annotated[str | None, typer.Argument(help="Only of the runs whose id begins so.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most decisions shown.")] = 50,
    is_json: AsJson = False,
) -> None:
    """Show what was decided about runs in the past, newest first, and why."""
    with plain_errors(), open_ledger(current_systems()) as ledger, ledger.transaction() as connection:
        found = run_decisions(connection, run_id=run, limit=limit)
    if is_json:
        print(json.dumps([{**vars(one), "at": one.at.isoformat()} for one in found], indent=2))
        return
    print_rows(
        ("at (UTC)", "run", "name", "decision", "why", "done"),
        [
            (
                *(one.at.strftime("%Y-%m-%d %H:%M:%S"), one.run_id[:8], one.run_name, one.action),
                *(one.reason, one.evidence.get("done")),
            )
            for one in found
        ],
    )


def _reconcile(*, is_dry: bool) -> RunsReport:
    systems = current_systems()
    with plain_errors(), PrefectRuns(systems.events) as api, open_ledger(systems) as ledger:
        return reconcile(api=api, ledger=ledger, settings=RunSettings(), now=datetime.now(UTC), is_dry=is_dry)


def _print_notes(report: RunsReport) -> None:
    for note in report.notes:
        out.print(note, markup=False)
