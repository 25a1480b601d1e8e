"""The bridge: SQS to ledger to batch to event. `python -m slackwater.landing.bridge` runs it as a service.

Order is the whole point: the ledger row is committed before the message is deleted, the batch before its event is sent.
All state is in the ledger and the queue, so it may be killed at any moment, and two bridges at once do no harm. While
the ledger does not answer nothing is received (the redrive policy would move good messages to the dead-letter queue),
nor while too many objects wait for a batch: they are safer in the queue than in memory.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from slackwater.errors import SlackwaterError
from slackwater.landing.intake import Intake, Received, receive
from slackwater.landing.sealing import Bus, Emission, emit_due, seal_due
from slackwater.ledger.pending import has_room
from slackwater.ledger.store import Ledger
from slackwater.recovery.lost_ledger import LedgerWatch
from slackwater.settings import BridgeSettings, LandingSettings

LOG = logging.getLogger("slackwater.bridge")
ACTOR = "bridge"
BUSY_WAIT_SECONDS = 1
IDLE_WAIT_SECONDS = 5
FAILURE_PAUSE_SECONDS = 5.0
FIRST_EMIT_PAUSE_SECONDS = 1.0
LONGEST_EMIT_PAUSE_SECONDS = 30.0
"""A bus that does not answer is asked less and less often: its timeout is time in which nothing is received."""


@dataclass(frozen=True)
class Tick:
    """What one round of the bridge did.

    Attributes:
        received: What the queues brought.
        sealed_batches: Batches made.
        emitted_events: Events sent.
        failed_events: Events that are due and could not be sent; 0 when none was tried.
        is_waiting: Objects go on waiting for a batch.
        has_more: More objects wait than one look takes: go on at once.
        is_held_back: Nothing was received, because too many objects wait.
    """

    received: Received
    sealed_batches: int
    emitted_events: int
    failed_events: int
    is_waiting: bool
    has_more: bool
    is_held_back: bool


class Observer(Protocol):
    """Who is told what the bridge does."""

    def observe(self, tick: Tick) -> None:
        """Take note of a round."""

    def observe_failure(self, error: str) -> None:
        """Take note of a round that failed, wholly or because a queue did not answer."""

    def look_around(self) -> None:
        """Called after every round, failed ones too: count what waits, if it is time."""


def tick(
    ledger: Ledger,
    intake: Intake,
    bus: Bus,
    landing: LandingSettings,
    settings: BridgeSettings,
    *,
    wait_seconds: int,
    is_emitting: bool = True,
) -> Tick:
    """Do one round: receive, seal what is due, send what was never sent.

    Args:
        ledger: The ledger; asked first, so that nothing is received while it does not answer.
        intake: The queues.
        bus: The event bus.
        landing: Prefix and batch bounds.
        settings: How much is taken at once, and how much may wait.
        wait_seconds: Longest wait for a first message.
        is_emitting: Whether events are tried.

    Raises:
        StoreUnavailable: The ledger does not answer.
    """
    with ledger.transaction() as connection:
        is_held_back = not has_room(connection, max_waiting_objects=settings.max_waiting_objects)
    received = Received()
    if not is_held_back:
        received = receive(
            ledger, intake, landing, wait_seconds=wait_seconds, max_messages=settings.round_messages, actor=ACTOR
        )
    look = seal_due(ledger, landing, actor=ACTOR)
    for batch in look.sealed:
        LOG.info(
            "batch_sealed batch_id=%s entity=%s objects=%d cause=%s",
            batch.batch_id, batch.entity, batch.object_count, batch.cause,
        )  # fmt: skip
    emission = Emission((), (), None)
    if is_emitting:
        emission = emit_due(ledger, bus, grace_seconds=0, is_first_only=True)
    if emission.error is not None:
        LOG.warning("events_not_sent count=%d error=%s", len(emission.failed), emission.error)
    return Tick(
        received=received,
        sealed_batches=len(look.sealed),
        emitted_events=len(emission.sent),
        failed_events=len(emission.failed),
        is_waiting=look.has_waiting,
        has_more=look.is_cut_off,
        is_held_back=is_held_back,
    )


def run(
    ledger: Ledger,
    intake: Intake,
    bus: Bus,
    landing: LandingSettings,
    settings: BridgeSettings,
    *,
    stopped: Event,
    observer: Observer,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Serve until `stopped` is set. A failing store is logged and tried again, never given up.

    Args:
        ledger: The ledger.
        intake: The queues.
        bus: The event bus.
        landing: Prefix and batch bounds.
        settings: How much is taken at once, and how much may wait.
        stopped: Ends the service after the current round.
        observer: Told every round's result.
        clock: Monotonic seconds.
    """
    wait_seconds = BUSY_WAIT_SECONDS
    pace = EmitPace(clock)
    watch = LedgerWatch(ledger)
    while not stopped.is_set():
        error, is_served = None, False
        try:
            watch.check()
            done = tick(ledger, intake, bus, landing, settings, wait_seconds=wait_seconds, is_emitting=pace.is_due())
        except SlackwaterError as exc:
            error = f"{type(exc).__name__}: {exc}"
        else:
            pace.note(done)
            observer.observe(done)
            error, is_served = done.received.error, done.received.messages > 0
            is_busy = done.is_waiting or is_served or len(intake.queues) > 1
            wait_seconds = 0 if done.has_more else BUSY_WAIT_SECONDS if is_busy else IDLE_WAIT_SECONDS
            if done.is_held_back and not done.has_more:
                stopped.wait(BUSY_WAIT_SECONDS)
        if error is not None:
            LOG.error("round_failed error=%s", error)
            observer.observe_failure(error)
        observer.look_around()
        if error is not None and not is_served:  # a queue that is gone must not slow down the others
            stopped.wait(FAILURE_PAUSE_SECONDS)


class EmitPace:
    """When events are tried again after the bus failed: a pause that doubles with every failure, and ends with success.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pause_seconds = FIRST_EMIT_PAUSE_SECONDS
        self._from = clock()

    def is_due(self) -> bool:
        """Say whether the pause is over."""
        return self._clock() >= self._from

    def note(self, done: Tick) -> None:
        """Learn from a round; one that tried nothing changes nothing."""
        if done.failed_events:
            self._from = self._clock() + self._pause_seconds
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_EMIT_PAUSE_SECONDS)
        elif done.emitted_events:
            self._pause_seconds = FIRST_EMIT_PAUSE_SECONDS


if __name__ == "__main__":
    from slackwater.landing.service import main

    raise SystemExit(main())
