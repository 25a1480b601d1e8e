"""`slackwater status`, `batches` and `quarantine`: where every file is."""

import json
from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from slackwater.commands.context import EXIT_PROBLEM, current_systems, out, plain_errors, problems
from slackwater.commands.query import print_rows
from slackwater.commands.waiting import Progress, wait_until_quiet
from slackwater.ledger.status import (
    Answer,
    LedgerStatus,
    TransitionLine,
    as_json,
    list_batches,
    list_quarantine,
    retry_quarantine,
    show_batch,
    show_quarantine,
)
from slackwater.ledger.status import status as read_status
from slackwater.ledger.store import Ledger
from slackwater.stack.systems import Systems

batches_app = typer.Typer(no_args_is_help=True, help="List batches and look into one.")
quarantine_app = typer.Typer(no_args_is_help=True, help="Files that were refused: list them, see why, try again.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(
    as_document: AsJson = False,
    is_waiting: Annotated[bool, typer.Option("--wait", help="Return when nothing is in flight any more.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Longest wait in seconds; then exit status 1.")
    ] = 900,
) -> None:
    """Show where every file and batch is, what is quarantined and why, and how the last refresh ended."""
    systems = current_systems()
    with plain_errors(), _ledger(systems) as ledger:
        is_quiet = True
        say = progress_lines() if not as_document else lambda _: None
        if is_waiting:
            is_quiet = wait_until_quiet(systems, ledger, timeout_seconds=timeout, say=say).is_quiet
        found = read_status(ledger)
    if as_document:
        _print_json(found)
    else:
        _print_status(found)
    if not is_quiet:
        problems.print(f"Something is still in flight after {timeout:.0f} s.")
        raise typer.Exit(EXIT_PROBLEM)


@batches_app.command("list")
def batches_list(
    entity: Annotated[str | None, typer.Option(help="Only of this entity.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state: sealed, landed or loaded.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most batches shown.")] = 50,
    as_document: AsJson = False,
) -> None:
    """List batches, newest first."""
    with plain_errors(), _ledger(current_systems()) as ledger:
        found = list_batches(ledger, entity=entity, state=state, limit=limit)
    if as_document:
        _print_json(*found, is_list=True)
        return
    columns = ("batch", "entity", "state", "refresh", "files", "skipped", "rows", "attempt", "sealed at", "error")
    rows = [
        (
            *(b.batch_id[:12], b.entity, b.state, b.refresh_state, b.objects, b.skipped, b.rows, b.attempt),
            *(b.sealed_at.strftime("%H:%M:%S"), b.last_error),
        )
        for b in found
    ]
    print_rows(columns, rows)


@batches_app.command("show")
def batches_show(
    batch: Annotated[str, typer.Argument(help="The batch's id, or an unambiguous beginning of it.")],
    as_document: AsJson = False,
) -> None:
    """Show one batch: its files and everything that happened to it."""
    with plain_errors(), _ledger(current_systems()) as ledger:
        found = show_batch(ledger, batch)
    if as_document:
        _print_json(found)
        return
    one = found.batch
    out.print(
        f"Batch {one.batch_id} of {one.entity}: {one.state}, {one.rows} rows, attempt {one.attempt}", markup=False
    )
    print_rows(
        ("file", "bytes", "positions", "state", "skipped because"),
        [(o.key, o.size_bytes, f"{o.first_position}-{o.last_position}", o.state, o.reason) for o in found.objects],
    )
    _print_history(found.history)


@quarantine_app.command("list")
def quarantine_list(
    entity: Annotated[str | None, typer.Option(help="Only of this entity.")] = None, as_document: AsJson = False
) -> None:
    """List the refused files and why they were refused."""
    with plain_errors(), _ledger(current_systems()) as ledger:
        found = list_quarantine(ledger, entity=entity)
    if as_document:
        _print_json(*found, is_list=True)
        return
    print_rows(
        ("object", "entity", "file", "reason", "message"),
        [(item.object_id[:12], item.entity, item.key, item.reason, item.message) for item in found],
    )


@quarantine_app.command("show")
def quarantine_show(
    object_id: Annotated[str, typer.Argument(help="The object's id, or an unambiguous beginning of it.")],
    as_document: AsJson = False,
) -> None:
    """Show one refused file: why, and everything that happened to it."""
    with plain_errors(), _ledger(current_systems()) as ledger:
        found = show_quarantine(ledger, object_id)
    if as_document:
        _print_json(found)
        return
    item = found.item
    out.print(f"{item.key} ({item.object_id}, {item.size_bytes} bytes): {item.state}", markup=False)
    out.print(f"{item.reason}: {item.message}", markup=False)
    _print_history(found.history)


@quarantine_app.command("retry")
def quarantine_retry(
    object_id: Annotated[str, typer.Argument(help="The object's id, or an unambiguous beginning of it.")],
) -> None:
    """Put a refused file into a new batch, after its cause was removed."""
    with plain_errors(), _ledger(current_systems()) as ledger:
        batch_id = retry_quarantine(ledger, object_id, actor="cli")
    out.print(f"It is in batch {batch_id} now.", markup=False)


def _ledger(systems: Systems) -> Ledger:
    return Ledger(systems.ledger.dsn, lease_seconds=systems.ledger.lease_seconds)


def _print_json(*answers: Answer, is_list: bool = False) -> None:
    documents = [as_json(answer) for answer in answers]
    print(json.dumps(documents if is_list else documents[0], indent=2))


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


def _print_troubles(found: LedgerStatus) -> None:
    for one in found.entities:
        if one.last_error:
            out.print(f"{one.entity}, last error: {one.last_error}", markup=False)
        for named in one.quarantined:
            out.print(f"quarantined: {named}", markup=False)
    for item in found.unplaced:
        out.print(f"quarantined: {item.key}: {item.reason} {item.message or ''}", markup=False)
    for key in found.overwritten:
        out.print(f"overwritten: {key.key} ({key.former_state} -> {key.state})", markup=False)
    if found.rejected_messages:
        out.print(f"unreadable queue messages: {found.rejected_messages}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _print_history(history: tuple[TransitionLine, ...]) -> None:
    print_rows(
        ("at (UTC)", "from", "to", "by", "detail"),
        [
            (line.at.strftime("%Y-%m-%d %H:%M:%S"), line.from_state, line.to_state, line.actor, json.dumps(line.detail))
            for line in history
        ],
    )
