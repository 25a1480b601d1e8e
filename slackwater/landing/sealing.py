"""Seals what is due and says so on the event bus, for the bridge and the sweep. The ledger commits before the event."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from slackwater.checkpoints import Checkpoint, reached
from slackwater.clients.events import Payload
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.landing.batching import SealRules, plan_seals
from slackwater.ledger import batches, objects
from slackwater.ledger.emissions import DueBatch
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_BATCH_SEALED, entity_resource
from slackwater.settings import LandingSettings

BATCHES_PER_LOOK = 2
"""So many full batches of an entity are made between two receives; their objects are all that is held in memory."""


class Bus(Protocol):
    """The one interaction with the event bus this package needs."""

    def emit(self, event: str, resource_id: str, payload: Payload, *, event_id: str) -> None:
        """Send one event; raises `StoreUnavailable` when it may not have arrived."""


@dataclass(frozen=True)
class SealedBatch:
    """A batch that was just made."""

    batch_id: str
    entity: str
    object_count: int
    cause: str


@dataclass(frozen=True)
class SealRound:
    """What one look at the waiting objects came to.

    Attributes:
        sealed: Batches that were made.
        has_waiting: Objects are left that go on waiting.
        is_cut_off: There were more objects than one look takes, and batches came of it: look again at once.
    """

    sealed: tuple[SealedBatch, ...]
    has_waiting: bool
    is_cut_off: bool


@dataclass(frozen=True)
class Emission:
    """What came of sending the events of due batches; `error` is the first failure."""

    sent: tuple[DueBatch, ...]
    failed: tuple[DueBatch, ...]
    error: str | None


def seal_due(ledger: Ledger, landing: LandingSettings, *, actor: str) -> SealRound:
    """Make the batches that are due among the oldest waiting objects of every entity.

    One look takes `BATCHES_PER_LOOK` full batches of an entity, so memory does not grow with what waits. Objects
    another process took meanwhile are left to it.
    """
    limit = BATCHES_PER_LOOK * landing.batch_max_objects
    with ledger.transaction() as connection:
        waiting = objects.open_objects(connection, limit=limit)
        unloaded = batches.unloaded_counts(connection) if waiting else {}
    rules = SealRules(
        max_objects=landing.batch_max_objects,
        max_bytes=landing.batch_max_bytes,
        max_age_seconds=landing.batch_max_age_seconds,
        idle_seconds=landing.batch_idle_seconds,
    )
    shown = Counter(item.entity for item in waiting)
    cut_off = {entity for entity, count in shown.items() if count >= limit}
    sealed: list[SealedBatch] = []
    taken = 0
    for plan in plan_seals(waiting, unloaded=unloaded, rules=rules, cut_off=cut_off):
        taken += len(plan.object_ids)
        batch_id = ledger.seal(plan.entity, plan.object_ids, actor=actor)
        if batch_id is not None:
            sealed.append(SealedBatch(batch_id, plan.entity, len(plan.object_ids), plan.cause))
            reached(Checkpoint.AFTER_SEAL)
    return SealRound(tuple(sealed), has_waiting=taken < len(waiting), is_cut_off=bool(cut_off and sealed))


def seal_all_due(ledger: Ledger, landing: LandingSettings, *, actor: str) -> tuple[SealedBatch, ...]:
    """Make every batch that is due, however many objects wait."""
    sealed: tuple[SealedBatch, ...] = ()
    while True:
        look = seal_due(ledger, landing, actor=actor)
        sealed += look.sealed
        if not look.is_cut_off:
            return sealed


def emit_due(
    ledger: Ledger, bus: Bus, *, grace_seconds: float, is_first_only: bool, awaited: Collection[str] = frozenset()
) -> Emission:
    """Send `batch.sealed` for every due batch; the first failure ends it, the rest stay due.

    The event's id is the batch and the event's number: a crash between sending and noting sends the same event again.

    Args:
        ledger: The ledger.
        bus: The event bus.
        grace_seconds: How long a sent event is trusted before it is sent again.
        is_first_only: Only batches whose event was never sent.
        awaited: Ids of batches whose run is waiting to start: their event did arrive, and a second run would only
            stand in the same queue and find nothing to do.
    """
    due = ledger.due_batches(grace_seconds=grace_seconds, is_first_only=is_first_only)
    due = [batch for batch in due if batch.batch_id not in awaited]
    for index, batch in enumerate(due):
        payload: dict[str, str | int | float | bool] = {
            "batch_id": batch.batch_id,
            "entity": batch.entity,
            "object_count": batch.object_count,
        }
        event_id = f"{EVENT_BATCH_SEALED}/{batch.batch_id}/{batch.emission}"
        try:
            bus.emit(EVENT_BATCH_SEALED, entity_resource(batch.entity), payload, event_id=event_id)
        except (StoreUnavailable, ConfigurationError) as exc:
            return Emission(tuple(due[:index]), tuple(due[index:]), str(exc))
        ledger.mark_emitted(batch.batch_id, emission=batch.emission)
    return Emission(tuple(due), (), None)
