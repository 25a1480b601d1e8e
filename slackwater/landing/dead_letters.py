"""The dead-letter queue: what is in it and why, and the way back. A backstop: the bridge deletes what nobody can read.

A message comes here when it was received as often as the queue allows and never deleted: the ledger was away for very
long, or a bridge died of it again and again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from slackwater.clients.sqs import MAX_MESSAGES_PER_CALL, Message, Queue
from slackwater.errors import SlackwaterError
from slackwater.landing.s3_notice import UnreadableMessage, parse_notification

SHOWN_CHARACTERS = 160
LOOK_SECONDS = 30
"""So long a message stays hidden while it is looked at; it is released at the end, so this matters to a killed look."""
WAIT_SECONDS = 1
"""A long poll asks every server of a queue; a short one may answer that there is nothing."""


@dataclass(frozen=True)
class DeadLetter:
    """One message that was given up.

    Attributes:
        message_id: SQS's id.
        source_queue: Where it goes back to.
        receive_count: How often it was received, looks at it included.
        age_seconds: Since it was first sent; None when the queue does not say.
        reason: Why nobody can read it; None for one that can be read.
        keys: Landing keys it tells of.
        body: Its beginning.
    """

    message_id: str
    source_queue: str
    receive_count: int
    age_seconds: float | None
    reason: str | None
    keys: tuple[str, ...]
    body: str


@dataclass(frozen=True)
class Redrive:
    """What was sent back.

    Attributes:
        moved: Messages per queue they went back to.
        error: Why it ended early; the rest is where it was. None when the dead-letter queue is empty now.
    """

    moved: Mapping[str, int]
    error: str | None


def list_dead_letters(dead_letters: Queue, *, default_source: str, limit: int) -> tuple[DeadLetter, ...]:
    """Look at the messages of a dead-letter queue; all of them stay there.

    SQS has no way to look without receiving: a message is hidden meanwhile and its receive count grows by one.

    Args:
        dead_letters: The dead-letter queue.
        default_source: Queue a message belongs to that does not say where it came from.
        limit: Most messages looked at, >= 1.

    Raises:
        StoreUnavailable: The queue does not answer.
    """
    found: dict[str, Message] = {}
    try:
        while len(found) < limit:
            wanted = min(MAX_MESSAGES_PER_CALL, limit - len(found))
            messages = dead_letters.receive(wanted, wait_seconds=WAIT_SECONDS, hidden_seconds=LOOK_SECONDS)
            new = {message.message_id: message for message in messages if message.message_id not in found}
            found |= {message.message_id: message for message in messages}
            if not new:
                break
    finally:
        dead_letters.release([message.receipt for message in found.values()])
    now = datetime.now(UTC)
    return tuple(_dead_letter(message, default_source=default_source, now=now) for message in found.values())


def redrive(dead_letters: Queue, *, open_queue: Callable[[str], Queue], default_source: str) -> Redrive:
    """Send every message back to the queue it came from.

    A message is deleted only after it was sent: one that dies in between is in both queues, which harms nobody.

    Args:
        dead_letters: The dead-letter queue.
        open_queue: Returns a queue by its name.
        default_source: Queue for a message that does not say where it came from.
    """
    moved: dict[str, int] = {}
    queues: dict[str, Queue] = {}
    try:
        while messages := dead_letters.receive(wait_seconds=WAIT_SECONDS):
            for message in messages:
                name = message.source_queue or default_source
                if name not in queues:
                    queues[name] = open_queue(name)
                queues[name].send(message.body)
                dead_letters.delete([message.receipt])
                moved[name] = moved.get(name, 0) + 1
    except SlackwaterError as exc:
        return Redrive(moved, str(exc))
    return Redrive(moved, None)


def _dead_letter(message: Message, *, default_source: str, now: datetime) -> DeadLetter:
    reason = None
    keys: tuple[str, ...] = ()
    try:
        keys = tuple(notice.key for notice in parse_notification(message.body))
    except UnreadableMessage as exc:
        reason = str(exc)
    return DeadLetter(
        message_id=message.message_id,
        source_queue=message.source_queue or default_source,
        receive_count=message.receive_count,
        age_seconds=None if message.sent_at is None else (now - message.sent_at).total_seconds(),
        reason=reason,
        keys=keys,
        body=message.body[:SHOWN_CHARACTERS],
    )
