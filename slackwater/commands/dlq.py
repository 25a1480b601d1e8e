"""`slackwater dlq`: messages the bridge never dealt with. Look at them, and send them back to their queue."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from slackwater.clients.sqs import Queue
from slackwater.commands.context import EXIT_PROBLEM, AsJson, current_systems, out, plain_errors, problems
from slackwater.commands.query import print_rows
from slackwater.landing.dead_letters import list_dead_letters
from slackwater.landing.dead_letters import redrive as send_back

app = typer.Typer(no_args_is_help=True, help="The dead-letter queue: list its messages, send them back.")

Limit = Annotated[int, typer.Option(min=1, help="Most messages looked at.")]


@app.command("list")
def dlq_list(limit: Limit = 100, as_document: AsJson = False) -> None:
    """List the messages that were given up, and why nobody could read them.

    Looking receives them: each is hidden for a moment and its receive count grows by one. All of them stay.
    """
    systems = current_systems()
    landing = systems.landing
    with plain_errors():
        queue = Queue(systems.s3, landing.dead_letter_queue_name)
        found = list_dead_letters(queue, default_source=landing.queue_name, limit=limit)
    if as_document:
        print(json.dumps([asdict(letter) for letter in found], indent=2))
        return
    rows = [
        (
            *(letter.message_id[:8], letter.source_queue, letter.receive_count),
            "" if letter.age_seconds is None else f"{letter.age_seconds:.0f} s",
            letter.reason or ", ".join(letter.keys) or "tells of nothing new",
            letter.body,
        )
        for letter in found
    ]
    print_rows(("message", "queue", "received", "age", "cannot be read because, or tells of", "begins"), rows)


@app.command("redrive")
def dlq_redrive(as_document: AsJson = False) -> None:
    """Send every message back to the queue it came from; exit status 1 when some could not be.

    Each is sent before it is deleted here, so none is lost; one that arrives twice changes nothing.
    """
    systems = current_systems()
    landing = systems.landing
    with plain_errors():
        done = send_back(
            Queue(systems.s3, landing.dead_letter_queue_name),
            open_queue=lambda name: Queue(systems.s3, name),
            default_source=landing.queue_name,
        )
    if as_document:
        print(json.dumps({"moved": dict(done.moved), "error": done.error}, indent=2))
    else:
        for name, count in done.moved.items():
            out.print(f"{count} messages went back to {name}.", markup=False)
        if not done.moved and done.error is None:
            out.print("The dead-letter queue is empty.")
    if done.error is not None:
        problems.print(f"The rest stays where it is: {done.error}", markup=False)
        raise typer.Exit(EXIT_PROBLEM)
