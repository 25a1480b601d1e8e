"""Seals what is due and says so on the event bus, for the bridge and the sweep. The ledger commits before the event."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from slackwater.clients.events import Payload
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.landing.batching import SealRules, plan_seals
from slackwater.ledger.batches import DueBatch
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_BATCH_SEALED, entity_resource
from slackwater.settings import LandingSettings


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
class Emission:
    """What came of sending the events of due batches; `error` is the first failure."""

    sent: tuple[DueBatch, ...]
    failed: tuple[DueBatch, ...]
    error: str | None


def seal_due(ledger: Ledger, landing: LandingSettings, *, actor: str) -> tuple[SealedBatch, ...]:
    """Make every batch that is due; objects another process took meanwhile are left to it."""
    waiting = ledger.open_objects()
    if not waiting:
        return ()
    rules = SealRules(
        max_objects=landing.batch_max_objects,
        max_bytes=landing.batch_max_bytes,
        max_age_seconds=landing.batch_max_age_seconds,
        idle_seconds=landing.batch_idle_seconds,
    )
    sealed: list[SealedBatch] = []
    for plan in plan_seals(waiting, unloaded=ledger.unloaded_counts(), rules=rules):
        batch_id = ledger.seal(plan.entity, plan.object_ids, actor=actor)
        if batch_id is not None:
            sealed.append(SealedBatch(batch_id, plan.entity, len(plan.object_ids), plan.cause))
    return tuple(sealed)


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
