"""The sweep: finds what events lost. Lists the landing prefix, seals, sends events again. Safe at any time, and twice.

It reads state, never remembers any: the ledger says what was seen and what is due.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from slackwater.clients.s3 import ListedObject, ObjectStore
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.landing.s3_notice import Notice, seen_object
from slackwater.landing.sealing import Bus, emit_due, seal_due
from slackwater.ledger.model import SeenObject
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_REFRESH_DUE, MART_SET, mart_set_resource, refresh_due_event_id
from slackwater.settings import LandingSettings

CHUNK_OBJECTS = 1_000


@dataclass(frozen=True)
class SweepReport:
    """What a sweep found and did.

    Attributes:
        listed_objects: Objects below the landing prefix.
        recorded_objects: Of these, how many no event had brought.
        sealed_batches: Batches it made.
        emitted_batches: Batches whose event it sent, first ones and repeated ones.
        failed_emissions: Due events that could not be sent; they stay due.
        is_refresh_due_sent: True when it raised the refresh flag and sent the event.
        error: Why events could not be sent, None when all were.
    """

    listed_objects: int
    recorded_objects: int
    sealed_batches: tuple[str, ...]
    emitted_batches: tuple[str, ...]
    failed_emissions: int
    is_refresh_due_sent: bool
    error: str | None


def sweep(
    *,
    ledger: Ledger,
    store: ObjectStore,
    bus: Bus,
    settings: LandingSettings,
    actor: str,
    grace_seconds: float = 60.0,
    mart_set: str = MART_SET,
    awaited: Collection[str] = frozenset(),
) -> SweepReport:
    """Record what was never seen, seal what is due, and send the events of everything that stands still.

    Args:
        ledger: The ledger.
        store: Where the landing bucket lies.
        bus: The event bus; its failure is reported, not raised, since everything stays due.
        settings: Landing bucket, prefix, batch bounds.
        actor: Who sweeps, for the ledger.
        grace_seconds: How long a sent event is trusted before it is sent again; doubles per event of a batch.
        mart_set: Mart set whose refresh may be due.
        awaited: Ids of batches whose run is waiting to start; their event is not sent again.

    Raises:
        StoreUnavailable: The ledger or the object store does not answer.
    """
    listed, recorded = _record_unseen(ledger, store, settings, actor=actor)
    sealed = seal_due(ledger, settings, actor=actor)
    emission = emit_due(ledger, bus, grace_seconds=grace_seconds, is_first_only=False, awaited=awaited)
    error = emission.error
    is_sent = False
    if error is None:
        try:
            is_sent = _send_refresh_due(ledger, bus, mart_set, grace_seconds=grace_seconds)
        except (StoreUnavailable, ConfigurationError) as exc:
            error = str(exc)
    return SweepReport(
        listed_objects=listed,
        recorded_objects=recorded,
        sealed_batches=tuple(item.batch_id for item in sealed),
        emitted_batches=tuple(item.batch_id for item in emission.sent),
        failed_emissions=len(emission.failed),
        is_refresh_due_sent=is_sent,
        error=error,
    )


def _record_unseen(ledger: Ledger, store: ObjectStore, settings: LandingSettings, *, actor: str) -> tuple[int, int]:
    listed = recorded = 0
    listing = store.list(settings.bucket, settings.prefix)
    while chunk := list(islice(_seen(listing, settings), CHUNK_OBJECTS)):
        listed += len(chunk)
        unknown = ledger.unknown_ids([item.object_id for item in chunk])
        recorded += ledger.record_objects([item for item in chunk if item.object_id in unknown], actor=actor)
    return listed, recorded


def _seen(listing: Iterator[ListedObject], settings: LandingSettings) -> Iterator[SeenObject]:
    for item in listing:
        notice = Notice(item.bucket, item.key, item.etag, item.size_bytes, None, item.last_modified)
        yield seen_object(notice, prefix=settings.prefix, epoch=settings.epoch)


def _send_refresh_due(ledger: Ledger, bus: Bus, mart_set: str, *, grace_seconds: float) -> bool:
    number = ledger.reraise_refresh_flag(mart_set, grace_seconds=grace_seconds)
    if number is None:
        return False
    event_id = refresh_due_event_id(mart_set, number)
    bus.emit(EVENT_REFRESH_DUE, mart_set_resource(mart_set), {"mart_set": mart_set}, event_id=event_id)
    return True
