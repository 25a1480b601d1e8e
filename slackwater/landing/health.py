"""What the bridge tells about itself: Prometheus metrics and a health document. It measures and changes nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from slackwater.clients.sqs import Queue
from slackwater.errors import SlackwaterError
from slackwater.landing.bridge import Tick
from slackwater.ledger.pending import Pending, pending
from slackwater.ledger.store import Ledger

LOOK_SECONDS = 5.0
"""Counting what waits costs a request per queue and a query, so it is not done in every round."""


@dataclass(frozen=True)
class QueueState:
    """One queue; `age_seconds` is about the age of its oldest message."""

    visible_messages: int
    hidden_messages: int
    age_seconds: float


@dataclass(frozen=True)
class HealthDocument:
    """What `/health` answers."""

    status: str
    seconds_since_success: float | None
    last_error: str | None
    is_held_back: bool
    unsent_events: int
    queues: Mapping[str, QueueState]
    dead_letters: int | None
    waiting_objects: Mapping[str, int]
    oldest_waiting_seconds: Mapping[str, float]
    unloaded_batches: Mapping[str, int]

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


def queue_age(before: float, *, elapsed: float, brought: float | None, messages: int) -> float:
    """Return about how old the oldest message of a queue is; SQS itself does not tell its consumers.

    Args:
        before: The last answer, seconds.
        elapsed: Seconds since then.
        brought: Age of the oldest message received since then; None when nothing was received.
        messages: Messages the queue holds now, hidden ones included.

    Returns:
        Nothing left: 0. Something received: its age. Messages there and nothing received: it grows.
    """
    if messages == 0:
        return 0.0
    return before + elapsed if brought is None else brought


class Health:
    """Counts rounds and looks around now and then; implements the bridge's `Observer`.

    Args:
        ledger: Asked what waits.
        queues: The bridge's queues.
        dead_letters: The dead-letter queue.
        stale_seconds: Unhealthy when no round succeeded for so long.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        queues: Sequence[Queue],
        dead_letters: Queue,
        *,
        stale_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry()
        self._ledger = ledger
        self._watched = (queues, dead_letters)
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._last_success: float | None = None
        self._looked_at: float | None = None
        self._error: str | None = None
        self._last_tick: Tick | None = None
        self._oldest: dict[str, datetime] = {}
        self._queues: dict[str, QueueState] = {}
        self._dead_letters: int | None = None
        self._pending = Pending({}, {})
        self._counters = {name: self._counter(name, text) for name, text in _COUNTERS.items()}
        self._gauges = {name: self._gauge(name, *rest) for name, rest in _GAUGES.items()}

    def observe(self, tick: Tick) -> None:
        """Count one round; one in which a queue did not answer is no success."""
        self._last_tick = tick
        if tick.received.error is None:
            self._last_success = self._clock()
            self._error = None
        amounts = {
            "messages": tick.received.messages,
            "objects": tick.received.new_objects,
            "rejected_messages": tick.received.rejected_messages,
            "sealed_batches": tick.sealed_batches,
            "emitted_events": tick.emitted_events,
            "emit_failures": int(tick.failed_events > 0),
        }
        for name, amount in amounts.items():
            self._counters[name].inc(amount)
        self._gauges["unsent_events"].set(tick.failed_events)
        self._gauges["held_back"].set(tick.is_held_back)
        for queue, sent_at in tick.received.oldest_sent_at.items():
            self._oldest[queue] = min(sent_at, self._oldest.get(queue, sent_at))

    def observe_failure(self, error: str) -> None:
        """Count a failed round."""
        self._error = error
        self._counters["failed_rounds"].inc()

    def look_around(self) -> None:
        """Count what waits, when the last look is long enough ago. What does not answer keeps its last count."""
        now = self._clock()
        elapsed = now - self._looked_at if self._looked_at is not None else LOOK_SECONDS
        if elapsed < LOOK_SECONDS:
            return
        self._looked_at = now
        queues, dead_letters = self._watched
        for queue in queues:
            self._look_at(queue, elapsed=elapsed)
        try:
            self._dead_letters = sum(dead_letters.depth())
            self._gauges["dead_letters"].set(self._dead_letters)
            with self._ledger.transaction() as connection:
                self._note(pending(connection))
        except SlackwaterError as exc:
            self._error = f"{type(exc).__name__}: {exc}"

    def is_healthy(self) -> bool:
        """Say whether a round succeeded lately."""
        return self._last_success is not None and self._clock() - self._last_success < self._stale_seconds

    def document(self) -> HealthDocument:
        """Return everything at once."""
        tick, success = self._last_tick, self._last_success
        return HealthDocument(
            status="ok" if self.is_healthy() else "no round succeeded lately",
            seconds_since_success=None if success is None else round(self._clock() - success, 1),
            last_error=self._error,
            is_held_back=tick is not None and tick.is_held_back,
            unsent_events=tick.failed_events if tick else 0,
            queues=dict(self._queues),
            dead_letters=self._dead_letters,
            waiting_objects={entity: found.objects for entity, found in self._pending.waiting.items()},
            oldest_waiting_seconds={entity: found.oldest_seconds for entity, found in self._pending.waiting.items()},
            unloaded_batches=self._pending.unloaded_batches,
        )

    def _look_at(self, queue: Queue, *, elapsed: float) -> None:
        sent_at = self._oldest.pop(queue.name, None)
        brought = None if sent_at is None else max(0.0, (datetime.now(UTC) - sent_at).total_seconds())
        try:
            visible, hidden = queue.depth()
        except SlackwaterError as exc:
            self._error = f"{type(exc).__name__}: {exc}"
            return
        before = self._queues[queue.name].age_seconds if queue.name in self._queues else 0.0
        age = queue_age(before, elapsed=elapsed, brought=brought, messages=visible + hidden)
        self._queues[queue.name] = QueueState(visible, hidden, round(age, 1))
        for name, value in (("visible_messages", visible), ("hidden_messages", hidden), ("age_seconds", age)):
            self._gauges[f"queue_{name}"].labels(queue.name).set(value)

    def _note(self, found: Pending) -> None:
        self._pending = found
        for name in ("waiting_objects", "oldest_waiting_seconds", "unloaded_batches"):
            self._gauges[name].clear()
        for entity, waiting in found.waiting.items():
            self._gauges["waiting_objects"].labels(entity).set(waiting.objects)
            self._gauges["oldest_waiting_seconds"].labels(entity).set(waiting.oldest_seconds)
        for entity, batches in found.unloaded_batches.items():
            self._gauges["unloaded_batches"].labels(entity).set(batches)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"slackwater_bridge_{name}", text, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(f"slackwater_bridge_{name}", text, labels, registry=self.registry)


_COUNTERS = {
    "messages": "Queue messages received.",
    "objects": "Objects recorded for the first time.",
    "rejected_messages": "Messages that could not be read.",
    "sealed_batches": "Batches made.",
    "emitted_events": "Events sent.",
    "emit_failures": "Rounds in which events could not be sent.",
    "failed_rounds": "Rounds that failed, wholly or because a queue did not answer.",
}
_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "unsent_events": ("Events that wait.", ()),
    "held_back": ("1 while nothing is received because too many objects wait for a batch.", ()),
    "dead_letters": ("Messages in the dead-letter queue.", ()),
    "queue_visible_messages": ("Messages that can be received.", ("queue",)),
    "queue_hidden_messages": ("Messages received and not deleted.", ("queue",)),
    "queue_age_seconds": ("About the age of the oldest message.", ("queue",)),
    "waiting_objects": ("Objects that wait for a batch.", ("entity",)),
    "oldest_waiting_seconds": ("Longest wait for a batch.", ("entity",)),
    "unloaded_batches": ("Batches that are not in the warehouse yet.", ("entity",)),
}
