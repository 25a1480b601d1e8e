"""Takes messages off the queues and records them: several receives at a time, one ledger transaction, then the deletes.

The order never changes: received, committed, deleted. What fails in between comes again from the queue, and is known
to the ledger then. Nothing is kept from one round to the next.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from slackwater.checkpoints import Checkpoint, reached
from slackwater.clients.sqs import MAX_MESSAGES_PER_CALL, Message, Queue
from slackwater.errors import SlackwaterError, ValueRefused
from slackwater.landing.folders import day_folder
from slackwater.landing.s3_notice import UnreadableMessage, parse_notification, seen_object
from slackwater.ledger import folders, objects
from slackwater.ledger.model import SeenObject
from slackwater.ledger.store import Ledger
from slackwater.settings import LandingSettings

LOG = logging.getLogger("slackwater.bridge")
DELETE_CALLS_AT_ONCE = 4


@dataclass(frozen=True)
class QueuedMessage:
    """A message and the queue it came from."""

    queue: Queue
    message: Message


@dataclass(frozen=True)
class Received:
    """What came of one round of receiving.

    Attributes:
        messages: Messages received and dealt with.
        new_objects: Objects recorded for the first time.
        rejected_messages: Messages nobody could read, kept in the ledger.
        oldest_sent_at: Per queue that brought something, when the oldest of its messages was sent.
        error: The first queue that did not answer, None when all did; the others were served all the same.
    """

    messages: int = 0
    new_objects: int = 0
    rejected_messages: int = 0
    oldest_sent_at: dict[str, datetime] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Judged:
    """What a message says: objects, or why nobody can read it."""

    queued: QueuedMessage
    seen: tuple[SeenObject, ...] = ()
    reason: str | None = None


class Intake:
    """The queues of a bridge and the threads that speak to them.

    Args:
        queues: At least one.
        receivers: Receives at a time, >= 1.
    """

    def __init__(self, queues: Sequence[Queue], *, receivers: int) -> None:
        self._queues = tuple(queues)
        self._receivers = receivers
        self._pool = ThreadPoolExecutor(max(receivers, len(queues), DELETE_CALLS_AT_ONCE), thread_name_prefix="queue")

    @property
    def queues(self) -> tuple[Queue, ...]:
        """Return the queues."""
        return self._queues

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def take(self, *, wait_seconds: int, max_messages: int) -> tuple[list[QueuedMessage], str | None]:
        """Receive until the queues bring nothing or there is enough.

        One receive per queue waits; as long as something comes, so many more as there are receivers do not.

        Args:
            wait_seconds: Long poll of the first receives, 0 to 20.
            max_messages: Enough; a last wave may bring a few more.

        Returns:
            The messages, and the first failure. Messages of the other receives are not thrown away for it: they would
            stay hidden for their queue's visibility timeout.
        """
        taken, error = self._wave(self._queues, wait_seconds=wait_seconds)
        waves = taken
        while waves and error is None and len(taken) < max_messages:
            room = -(-(max_messages - len(taken)) // MAX_MESSAGES_PER_CALL)
            busy = list(dict.fromkeys(item.queue for item in waves))
            asked = [busy[number % len(busy)] for number in range(min(self._receivers, room))]
            waves, error = self._wave(asked, wait_seconds=0)
            taken += waves
        return taken, error

    def delete(self, items: Sequence[QueuedMessage]) -> str | None:
        """Delete messages; returns the first failure. What was not deleted comes again and is known then."""
        calls: list[Callable[[], int]] = []
        for queue in self._queues:
            receipts = [item.message.receipt for item in items if item.queue is queue]
            starts = range(0, len(receipts), MAX_MESSAGES_PER_CALL)
            calls += [_deletion(queue, receipts[start : start + MAX_MESSAGES_PER_CALL]) for start in starts]
        error = None
        for future in [self._pool.submit(call) for call in calls]:
            try:
                future.result()
            except SlackwaterError as exc:
                error = error or f"{type(exc).__name__}: {exc}"
        return error

    def _wave(self, queues: Sequence[Queue], *, wait_seconds: int) -> tuple[list[QueuedMessage], str | None]:
        futures = [(queue, self._pool.submit(queue.receive, wait_seconds=wait_seconds)) for queue in queues]
        taken: list[QueuedMessage] = []
        error = None
        for queue, future in futures:
            try:
                taken += [QueuedMessage(queue, message) for message in future.result()]
            except SlackwaterError as exc:
                error = error or f"{type(exc).__name__}: {exc}"
        return taken, error


@contextmanager
def open_intake(queues: Sequence[Queue], *, receivers: int) -> Iterator[Intake]:
    """Serve queues while the block runs."""
    intake = Intake(queues, receivers=receivers)
    try:
        yield intake
    finally:
        intake.close()


def receive(
    ledger: Ledger, intake: Intake, landing: LandingSettings, *, wait_seconds: int, max_messages: int, actor: str
) -> Received:
    """Receive one round of messages, record them in one transaction, then delete them.

    Raises:
        StoreUnavailable: The ledger does not answer; nothing is deleted and the messages come again.
    """
    taken, error = intake.take(wait_seconds=wait_seconds, max_messages=max_messages)
    if not taken:
        return Received(error=error)
    reached(Checkpoint.AFTER_RECEIVE)
    new, rejected = _record(ledger, [judge(item, landing) for item in taken], landing, actor=actor)
    reached(Checkpoint.AFTER_LEDGER_COMMIT)
    return Received(
        messages=len(taken),
        new_objects=new,
        rejected_messages=rejected,
        oldest_sent_at=_oldest(taken),
        error=intake.delete(taken) or error,
    )


def judge(queued: QueuedMessage, landing: LandingSettings) -> Judged:
    """Say what a message tells of."""
    try:
        notices = parse_notification(queued.message.body)
    except UnreadableMessage as exc:
        return Judged(queued, reason=str(exc))
    seen = tuple(seen_object(notice, prefix=landing.prefix, epoch=landing.epoch) for notice in notices)
    return Judged(queued, seen)


def _record(ledger: Ledger, judged: Sequence[Judged], landing: LandingSettings, *, actor: str) -> tuple[int, int]:
    """Record messages and return the numbers of new objects and of rejected messages.

    One message with a value PostgreSQL cannot hold must not keep its neighbours in the queue for ever, so what is
    refused is halved until the one is found and rejected by itself.
    """
    try:
        new = _commit(ledger, judged, landing, actor=actor)
    except ValueRefused as exc:
        if len(judged) == 1:
            refused = Judged(judged[0].queued, reason=str(exc))
            return _commit(ledger, [refused], landing, actor=actor), 1
        middle = len(judged) // 2
        halves = [_record(ledger, part, landing, actor=actor) for part in (judged[:middle], judged[middle:])]
        return sum(part[0] for part in halves), sum(part[1] for part in halves)
    return new, sum(1 for item in judged if item.reason)


def _commit(ledger: Ledger, judged: Sequence[Judged], landing: LandingSettings, *, actor: str) -> int:
    seen = [item for message in judged for item in message.seen]
    with ledger.transaction() as connection:
        new = set(objects.record_objects(connection, seen, actor=actor)) if seen else set()
        for message in judged:
            if message.reason:
                queued = message.queued
                objects.record_rejected_message(
                    connection, queued.queue.name, queued.message.body, reason=message.reason
                )
        folders.note_new(connection, new_folders(seen, new, landing=landing))
    _tell(judged)
    return len(new)


def new_folders(seen: Sequence[SeenObject], new: set[str], *, landing: LandingSettings) -> tuple[tuple[str, str], ...]:
    """Return bucket and day folder of the objects that are new."""
    places = {(item.bucket, day_folder(item.key, prefix=landing.prefix)) for item in seen if item.object_id in new}
    return tuple(sorted((bucket, folder) for bucket, folder in places if folder is not None))


def _tell(judged: Sequence[Judged]) -> None:
    for message in judged:
        if message.reason:
            LOG.warning("message_rejected reason=%s message_id=%s", message.reason, message.queued.message.message_id)
        for item in message.seen:
            if item.reason:
                LOG.warning("object_quarantined reason=%s key=%s object_id=%s", item.reason, item.key, item.object_id)


def _oldest(taken: Sequence[QueuedMessage]) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for item in taken:
        sent_at = item.message.sent_at or datetime.now(UTC)
        found[item.queue.name] = min(sent_at, found.get(item.queue.name, sent_at))
    return found


def _deletion(queue: Queue, receipts: Sequence[str]) -> Callable[[], int]:
    return lambda: queue.delete(receipts)
