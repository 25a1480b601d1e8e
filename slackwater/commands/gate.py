"""`slackwater gate`: what the gate said of a refresh, and a person's decision to let a failing check through."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from slackwater.commands.context import AsJson, current_systems, open_ledger, operator, out, plain_errors
from slackwater.commands.query import print_rows

if TYPE_CHECKING:  # the driver costs a second
    from slackwater.clients.snowflake import Warehouse
    from slackwater.quality.results import CheckResult
    from slackwater.quality.standing import Standing

app = typer.Typer(no_args_is_help=True, help="The gate before the marts: see its verdict, accept a failing check.")

KEYS_SHOWN = 20


@app.command("show")
def gate_show(
    refresh: Annotated[str, typer.Argument(help="The refresh's id or its beginning; the newest judged one.")] = "",
    as_document: AsJson = False,
) -> None:
    """Show the verdict of a refresh: what did not pass, its failing keys with batch and file, and what to do."""
    from slackwater.quality.standing import standing_document

    with plain_errors(), _warehouse() as warehouse:
        standing = _standing(warehouse, refresh)
    if as_document:
        print(json.dumps(standing_document(standing), indent=2))
        return
    _print_standing(standing)


@app.command("accept")
def gate_accept(
    refresh: Annotated[str, typer.Argument(help="The rejected refresh's id or its beginning.")],
    check: Annotated[str, typer.Argument(help="The failing check, as `slackwater gate show` names it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it may be published; everybody reads it.")],
    expires: Annotated[
        datetime, typer.Option("--expires", formats=["%Y-%m-%d"], help="Last day (UTC) it counts; then it rejects.")
    ],
    as_document: AsJson = False,
) -> None:
    """Record that a failing check does not reject until a day: who decided, why, and what was measured.

    Nothing is published by it: drive the refresh again afterwards. The record stays; a newer decision replaces it.
    """
    from slackwater.quality.acceptances import record_acceptance
    from slackwater.quality.standing import acceptance_document
    from slackwater.quality.stored import find_judged_refresh, read_scan
    from slackwater.quality.verdict import plan_acceptance

    with plain_errors(), _warehouse() as warehouse:
        scan = read_scan(warehouse, find_judged_refresh(warehouse, refresh))
        acceptance = plan_acceptance(
            scan.checks,
            check,
            acceptance_id=uuid4().hex,
            refresh_id=scan.refresh_id,
            reason=reason,
            expires_on=expires.date(),
            actor=operator(),
            now=datetime.now(UTC),
        )
        record_acceptance(warehouse, acceptance)
        standing = _standing(warehouse, scan.refresh_id)
    if as_document:
        document = acceptance_document(acceptance)
        print(json.dumps({"acceptance": document, "next_step": standing.next_step}, indent=2))
        return
    out.print(f"{acceptance.dataset}: {acceptance.check_name}: {acceptance}", markup=False)
    out.print(f"Next: {standing.next_step}", markup=False)


@contextmanager
def _warehouse() -> "Iterator[Warehouse]":
    from slackwater.clients.snowflake import Warehouse

    with Warehouse(current_systems().warehouse, query_tag="gate") as warehouse:
        yield warehouse


def _standing(warehouse: "Warehouse", beginning: str) -> "Standing":
    from slackwater.quality.acceptances import read_acceptances
    from slackwater.quality.standing import describe_standing
    from slackwater.quality.stored import find_judged_refresh, read_scan
    from slackwater.quality.verdict import with_acceptances

    scan = read_scan(warehouse, find_judged_refresh(warehouse, beginning))
    with open_ledger(current_systems()) as ledger:
        refresh = ledger.refresh(scan.refresh_id)
    return describe_standing(
        scan.refresh_id,
        state=refresh.state,
        checked_at=scan.checked_at.isoformat(),
        report=refresh.report or "",
        judged=scan.checks,
        now=with_acceptances(scan.checks, read_acceptances(warehouse), today=datetime.now(UTC).date()),
    )


def _print_standing(standing: "Standing") -> None:
    verdict = "passed" if standing.is_passed else "rejected"
    out.print(
        f"Refresh {standing.refresh_id}: {verdict} at {standing.checked_at}; it is {standing.state}.", markup=False
    )
    if standing.report:
        out.print(f"Report: {standing.report}", markup=False)
    out.print(f"{standing.check_count} checks, {len(standing.failing)} did not pass.", markup=False)
    for check in standing.failing:
        _print_check(check)
    out.print(f"Next: {standing.next_step}", markup=False)


def _print_check(check: "CheckResult") -> None:
    effect = "rejects" if check.is_rejecting else ("accepted" if check.acceptance else "is shown only")
    out.print(f"\n{check.id}", markup=False)
    out.print(f"  {check.outcome.value.replace('_', ' ')}, {effect}", markup=False)
    out.print(f"  measured {check.measured or 'nothing'}, wanted {check.threshold or 'an answer'}", markup=False)
    if check.acceptance:
        out.print(f"  {check.acceptance}", markup=False)
    if check.remedy:
        out.print(f"  {check.owner}: {check.remedy}", markup=False)
    if check.failing_rows:
        shown = check.failing_rows[:KEYS_SHOWN]
        print_rows(("key", "batch", "file"), [(row.key, row.batch_id, row.file_name) for row in shown])
        if len(check.failing_rows) > len(shown):
            out.print(f"  {len(check.failing_rows) - len(shown)} more: OPS.CHECK_FAILURES, or --json", markup=False)
