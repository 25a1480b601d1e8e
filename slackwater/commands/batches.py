"""`slackwater batches`: list them, look into one, drive one again."""

from typing import Annotated

import typer

from slackwater.commands.context import AsJson, current_systems, open_ledger, out, plain_errors
from slackwater.commands.printing import print_history, print_json
from slackwater.commands.query import print_rows
from slackwater.ledger.listings import drive_batch_again, list_batches, show_batch

app = typer.Typer(no_args_is_help=True, help="List batches, look into one, drive one again.")

BatchId = Annotated[str, typer.Argument(help="The batch's id, or an unambiguous beginning of it.")]


@app.command("list")
def batches_list(
    entity: Annotated[str | None, typer.Option(help="Only of this entity.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state: sealed, landed or loaded.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most batches shown.")] = 50,
    as_document: AsJson = False,
) -> None:
    """List batches, newest first."""
    with plain_errors(), open_ledger(current_systems()) as ledger:
        found = list_batches(ledger, entity=entity, state=state, limit=limit)
    if as_document:
        print_json(*found, is_list=True)
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


@app.command("show")
def batches_show(batch: BatchId, as_document: AsJson = False) -> None:
    """Show one batch: its files and everything that happened to it."""
    with plain_errors(), open_ledger(current_systems()) as ledger:
        found = show_batch(ledger, batch)
    if as_document:
        print_json(found)
        return
    one = found.batch
    out.print(
        f"Batch {one.batch_id} of {one.entity}: {one.state}, {one.rows} rows, attempt {one.attempt}", markup=False
    )
    print_rows(
        ("file", "bytes", "positions", "state", "skipped because"),
        [(o.key, o.size_bytes, f"{o.first_position}-{o.last_position}", o.state, o.reason) for o in found.objects],
    )
    print_history(found.history)


@app.command("retry")
def batches_retry(batch: BatchId, as_document: AsJson = False) -> None:
    """Drive an unloaded batch again now: its event is due at once, and a lease that ran out is taken away."""
    with plain_errors(), open_ledger(current_systems()) as ledger:
        found = drive_batch_again(ledger, batch)
    if as_document:
        print_json(found)
        return
    out.print(
        f"Batch {found.batch_id} of {found.entity} is {found.state}; the bridge sends its event now.", markup=False
    )
