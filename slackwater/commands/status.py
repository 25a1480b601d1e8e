"""`slackwater status`: where every file is, and whether anything is missing."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from slackwater.commands.context import (
    EXIT_PROBLEM,
    AsJson,
    current_systems,
    open_ledger,
    out,
    plain_errors,
    problems,
)
from slackwater.commands.printing import print_json
from slackwater.commands.waiting import Progress, wait_until_quiet
from slackwater.ledger.answers import LedgerStatus
from slackwater.ledger.status import status as read_status


def status(
    as_document: AsJson = False,
    is_waiting: Annotated[bool, typer.Option("--wait", help="Return when nothing is in flight any more.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Longest wait in seconds; then exit status 1.")
    ] = 900,
) -> None:
    """Show where every file and batch is, what is missing or quarantined and why, and how the last refresh ended."""
    systems = current_systems()
    with plain_errors(), open_ledger(systems) as ledger:
        is_quiet = True
        say = progress_lines() if not as_document else lambda _: None
        if is_waiting:
            is_quiet = wait_until_quiet(systems, ledger, timeout_seconds=timeout, say=say).is_quiet
        found = read_status(ledger)
    if as_document:
        print_json(found)
    else:
        _print_status(found)
    if not is_quiet:
        problems.print(f"Something is still in flight after {timeout:.0f} s.")
        raise typer.Exit(EXIT_PROBLEM)


def progress_lines() -> Callable[[Progress], None]:
    """Return a function that prints a progress whenever its line differs from the last one."""
    last = [""]

    def say(progress: Progress) -> None:
        if progress.line != last[0]:
            last[0] = progress.line
            out.print(f"  {progress.line}", markup=False)

    return say


def _print_status(found: LedgerStatus) -> None:
    table = Table()
    for title in ("entity", "files", "batches", "oldest unpublished", "lag"):
        table.add_column(title)
    for one in found.entities:
        oldest, lag = one.oldest_unpublished_age_seconds, one.lag_seconds
        table.add_row(
            one.entity,
            _counts(one.objects),
            _counts(one.batches),
            "" if oldest is None else f"{oldest:.0f} s",
            "" if lag is None else f"{lag:.0f} s",
        )
    out.print(table, markup=False)
    _print_troubles(found)
    if found.last_refresh:
        reasons = f": {'; '.join(found.last_refresh.reasons)}" if found.last_refresh.reasons else ""
        out.print(f"last refresh: {found.last_refresh.state}{reasons}", markup=False)
    flight = found.in_flight
    out.print(
        "Nothing is in flight."
        if flight.is_empty
        else f"In flight: {flight.open_objects} files, {flight.unloaded_batches} batches not loaded, "
        f"{flight.unpublished_batches} batches not published, {flight.open_refreshes} refreshes."
    )
    if flight.rejected_batches:
        out.print(f"{flight.rejected_batches} batches wait in a rejected refresh; see the report.")
    out.print("Which days are complete: slackwater completeness")


def _print_troubles(found: LedgerStatus) -> None:
    for one in found.entities:
        if one.last_error:
            out.print(f"{one.entity}, last error: {one.last_error}", markup=False)
        for named in one.quarantined:
            out.print(f"quarantined: {named}", markup=False)
    for item in found.unplaced:
        out.print(f"quarantined: {item.key}: {item.reason} {item.message or ''}", markup=False)
    for gap in found.gaps:
        out.print(f"missing: {gap}", markup=False)
    for key in found.overwritten:
        out.print(f"overwritten: {key.key} ({key.former_state} -> {key.state})", markup=False)
    if found.rejected_messages:
        out.print(f"unreadable queue messages: {found.rejected_messages}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
