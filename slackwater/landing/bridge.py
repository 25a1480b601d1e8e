"""The bridge: SQS to ledger to batch to event. `python -m slackwater.landing.bridge` runs it as a service.

Order is the whole point: the ledger row is committed before the message is deleted, the batch before its event is sent.
All state is in the ledger and the queue, so it may be killed at any moment, and two bridges at once do no harm. While
the ledger does not answer nothing is received (the redrive policy would move good messages to the dead-letter queue).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from slackwater.clients.iceberg import Lake
from slackwater.clients.sqs import Message, Queue
from slackwater.errors import ConfigurationError, SlackwaterError
from slackwater.landing.s3_notice import UnreadableMessage, parse_notification, seen_object
from slackwater.landing.sealing import Bus, emit_due, seal_due
from slackwater.ledger.model import SeenObject
from slackwater.ledger.store import Ledger
from slackwater.settings import LandingSettings

LOG = logging.getLogger("slackwater.bridge")
ACTOR = "bridge"
BUSY_WAIT_SECONDS = 1
IDLE_WAIT_SECONDS = 5
FAILURE_PAUSE_SECONDS = 5.0
RECEIVES_PER_ROUND = 20
"""Up to ten messages each; between rounds batches are sealed and events sent."""


@dataclass(frozen=True)
class Received:
    """What came of one receive."""

    messages: int
    new_objects: int
    rejected_messages: int


@dataclass(frozen=True)
class Tick:
    """What one round of the bridge did."""

    received: Received
    sealed_batches: int
    emitted_events: int
    failed_events: int
    is_waiting: bool


def refuse_empty_ledger(ledger: Ledger, lake: Lake) -> None:
    """Stop a bridge whose ledger was lost: it would take every object for new.

    Raises:
        ConfigurationError: The ledger holds no object although the lake holds rows.
    """
    if ledger.is_empty() and not lake.is_empty():
        raise ConfigurationError(
            "the ledger is empty but the lake is not: it was lost or is the wrong one."
            " Restore its database from a backup, or check SLACKWATER_LEDGER_DSN"
        )


def receive_once(ledger: Ledger, queue: Queue, landing: LandingSettings, *, wait_seconds: int) -> Received:
    """Receive one round of messages, record them, then delete them; a failure before the delete leaves them queued.

    Raises:
        StoreUnavailable: Queue or ledger does not answer; the messages come again.
    """
    messages = queue.receive(wait_seconds=wait_seconds)
    seen: list[SeenObject] = []
    rejected = 0
    for message in messages:
        try:
            notices = parse_notification(message.body)
        except UnreadableMessage as exc:
            rejected += 1
            ledger.record_rejected_message(queue.name, message.body, reason=str(exc))
            LOG.warning("message_rejected reason=%s message_id=%s", exc, message.message_id)
        else:
            seen += [seen_object(notice, prefix=landing.prefix, epoch=landing.epoch) for notice in notices]
    new = ledger.record_objects(seen, actor=ACTOR) if seen else 0
    _delete(queue, messages)
    for item in seen:
        if item.reason:
            LOG.warning("object_quarantined reason=%s key=%s object_id=%s", item.reason, item.key, item.object_id)
    return Received(len(messages), new, rejected)


def drain(ledger: Ledger, queue: Queue, landing: LandingSettings, *, wait_seconds: int) -> Received:
    """Receive until the queue is empty or the round is long enough; only the first receive waits."""
    total = receive_once(ledger, queue, landing, wait_seconds=wait_seconds)
    last = total
    for _ in range(RECEIVES_PER_ROUND - 1):
        if last.messages == 0:
            break
        last = receive_once(ledger, queue, landing, wait_seconds=0)
        total = Received(
            total.messages + last.messages,
            total.new_objects + last.new_objects,
            total.rejected_messages + last.rejected_messages,
        )
    return total


def tick(ledger: Ledger, queue: Queue, bus: Bus, landing: LandingSettings, *, wait_seconds: int) -> Tick:
    """Do one round: receive, seal what is due, send what was never sent."""
    ledger.unloaded_counts()  # asks whether the ledger answers, before anything is received
    received = drain(ledger, queue, landing, wait_seconds=wait_seconds)
    sealed = seal_due(ledger, landing, actor=ACTOR)
    for batch in sealed:
        LOG.info(
            "batch_sealed batch_id=%s entity=%s objects=%d cause=%s",
            batch.batch_id, batch.entity, batch.object_count, batch.cause,
        )  # fmt: skip
    emission = emit_due(ledger, bus, grace_seconds=0, is_first_only=True)
    if emission.error is not None:
        LOG.warning("events_not_sent count=%d error=%s", len(emission.failed), emission.error)
    is_waiting = bool(ledger.open_objects())
    return Tick(received, len(sealed), len(emission.sent), len(emission.failed), is_waiting)


def run(
    ledger: Ledger,
    queue: Queue,
    bus: Bus,
    landing: LandingSettings,
    *,
    stopped: Event,
    observe: Callable[[Tick | None], None] = lambda _tick: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Serve until `stopped` is set. A failing store is logged and tried again, never given up.

    Args:
        ledger: The ledger.
        queue: The landing queue.
        bus: The event bus.
        landing: Prefix and batch bounds.
        stopped: Ends the service after the current round.
        observe: Told every round's result, None for a failed round.
        clock: Measures how long events have failed.
    """
    wait_seconds = BUSY_WAIT_SECONDS
    while not stopped.is_set():
        started = clock()
        try:
            done = tick(ledger, queue, bus, landing, wait_seconds=wait_seconds)
        except SlackwaterError as exc:
            LOG.error("round_failed error=%s: %s", type(exc).__name__, exc)  # noqa: TRY400 - the message is enough
            observe(None)
            stopped.wait(FAILURE_PAUSE_SECONDS)
            continue
        observe(done)
        is_busy = done.is_waiting or done.received.messages > 0
        wait_seconds = BUSY_WAIT_SECONDS if is_busy else IDLE_WAIT_SECONDS
        if done.failed_events and clock() - started < BUSY_WAIT_SECONDS:
            stopped.wait(BUSY_WAIT_SECONDS)


def _delete(queue: Queue, messages: list[Message]) -> None:
    if messages:
        queue.delete([message.receipt for message in messages])


if __name__ == "__main__":
    from slackwater.landing.service import main

    raise SystemExit(main())
