"""When is everything that was sent also through? Used by `slackwater status --wait` and `slackwater demo`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from slackwater.clients.s3 import ObjectStore
from slackwater.clients.sqs import Queue
from slackwater.errors import StoreUnavailable
from slackwater.ledger.answers import LedgerStatus
from slackwater.ledger.model import object_id
from slackwater.ledger.status import status
from slackwater.ledger.store import Ledger
from slackwater.stack.systems import Systems

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Progress:
    """Where the files are, in numbers a person can follow.

    Attributes:
        queued_messages: Events that the bridge has not taken yet.
        unseen_objects: Objects below the landing prefix that the ledger does not know; None when not counted.
        ledger: The ledger's own answer.
    """

    queued_messages: int
    unseen_objects: int | None
    ledger: LedgerStatus

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing is in flight, from the landing bucket to the marts."""
        return self.queued_messages == 0 and self.unseen_objects == 0 and self.ledger.in_flight.is_empty

    @property
    def line(self) -> str:
        """Return one line: the number of objects or batches at each stage."""
        batches: dict[str, int] = {}
        objects = 0
        for entity in self.ledger.entities:
            objects += sum(entity.objects.values())
            for state, count in entity.batches.items():
                batches[state] = batches.get(state, 0) + count
        flight, refresh = self.ledger.in_flight, self.ledger.last_refresh
        loaded = batches.get("loaded", 0) + batches.get("published", 0)
        total = sum(batches.values())
        refreshing = f"refresh {refresh.state}" if refresh else "no refresh yet"
        return (
            f"files seen {objects} ({flight.open_objects + self.queued_messages} waiting) | batches {total}: "
            f"{batches.get('sealed', 0)} sealed, {batches.get('landed', 0)} in the lake, {loaded} in the warehouse, "
            f"{batches.get('published', 0)} published | {refreshing}"
        )


def read_progress(systems: Systems, ledger: Ledger) -> Progress:
    """Read where everything is; the landing bucket is listed only when nothing else is in flight."""
    queued = sum(sum(Queue(systems.s3, name).depth()) for name in systems.landing.queue_names)
    found = status(ledger)
    unseen = None
    if queued == 0 and found.in_flight.is_empty:
        unseen = _count_unseen(systems, ledger)
    return Progress(queued, unseen, found)


def wait_until_quiet(
    systems: Systems,
    ledger: Ledger,
    *,
    timeout_seconds: float,
    say: Callable[[Progress], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Progress:
    """Return when nothing is in flight, or when the time is over (then `is_quiet` is False).

    Args:
        systems: Where everything is.
        ledger: The ledger.
        timeout_seconds: Longest wait, > 0.
        say: Told after every look.
        clock: Monotonic seconds.
        sleep: Waits for seconds.

    Raises:
        StoreUnavailable: A store still does not answer when the time is over.
    """
    deadline = clock() + timeout_seconds
    while True:
        try:
            progress = read_progress(systems, ledger)
        except StoreUnavailable:
            if clock() >= deadline:
                raise
        else:
            say(progress)
            if progress.is_quiet or clock() >= deadline:
                return progress
        sleep(_POLL_SECONDS)


def _count_unseen(systems: Systems, ledger: Ledger) -> int:
    listed = ObjectStore(systems.s3).list(systems.landing.bucket, systems.landing.prefix)
    ids = [object_id(item.bucket, item.key, item.etag) for item in listed]
    return len(ledger.unknown_ids(ids)) if ids else 0
