"""`slackwater quarantine`: files that were refused. See why, try again, or give one up with a reason."""

from typing import Annotated

import typer

from slackwater.commands.context import AsJson, current_systems, open_ledger, operator, out, plain_errors
from slackwater.commands.printing import print_history, print_json
from slackwater.commands.query import print_rows
from slackwater.ledger.listings import (
    discard_quarantine,
    list_quarantine,
    retry_quarantine,
    show_batch,
    show_quarantine,
)

app = typer.Typer(no_args_is_help=True, help="Files that were refused: list them, see why, try again, give one up.")

ObjectId = Annotated[str, typer.Argument(help="The object's id, or an unambiguous beginning of it.")]


@app.command("list")
def quarantine_list(
    entity: Annotated[str | None, typer.Option(help="Only of this entity.")] = None,
    is_discarded: Annotated[bool, typer.Option("--discarded", help="Those somebody gave up instead.")] = False,
    as_document: AsJson = False,
) -> None:
    """List the refused files and why they were refused."""
    with plain_errors(), open_ledger(current_systems()) as ledger:
        found = list_quarantine(ledger, entity=entity, state="discarded" if is_discarded else "quarantined")
    if as_document:
        print_json(*found, is_list=True)
        return
    print_rows(
        ("object", "entity", "file", "reason", "message"),
        [(item.object_id[:12], item.entity, item.key, item.reason, item.message) for item in found],
    )


@app.command("show")
def quarantine_show(object_id: ObjectId, as_document: AsJson = False) -> None:
    """Show one refused file: why, and everything that happened to it."""
    with plain_errors(), open_ledger(current_systems()) as ledger:
        found = show_quarantine(ledger, object_id)
    if as_document:
        print_json(found)
        return
    item = found.item
    out.print(f"{item.key} ({item.object_id}, {item.size_bytes} bytes): {item.state}", markup=False)
    out.print(f"{item.reason}: {item.message}", markup=False)
    print_history(found.history)


@app.command("retry")
def quarantine_retry(object_id: ObjectId, as_document: AsJson = False) -> None:
    """Put a refused or discarded file into a new batch, after its cause was removed."""
    with plain_errors(), open_ledger(current_systems()) as ledger:
        batch = show_batch(ledger, retry_quarantine(ledger, object_id, actor=operator())).batch
    if as_document:
        print_json(batch)
        return
    out.print(f"It is in batch {batch.batch_id} now.", markup=False)


@app.command("discard")
def quarantine_discard(
    object_id: ObjectId,
    reason: Annotated[str, typer.Option("--reason", help="Why its rows may be missing for good; it is recorded.")],
    as_document: AsJson = False,
) -> None:
    """Give a refused file up: its rows stay missing, and nothing waits for them any more. A retry takes it back."""
    with plain_errors(), open_ledger(current_systems()) as ledger:
        found = discard_quarantine(ledger, object_id, reason=reason, actor=operator())
    if as_document:
        print_json(found)
        return
    out.print(f"{found.key} is discarded: {found.message}", markup=False)
