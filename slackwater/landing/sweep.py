"""The sweep: finds what events lost. Lists the landing prefix, seals, sends events again. Safe at any time, and twice.

Most sweeps list the day folders that brought something lately, and those the ledger does not know; once a day, and
whenever the notification was broken, all of them. *Lately* is the ledger's own clock. The objects' `LastModified` is
never a cursor: of a multipart upload it is the start, so a long upload would appear behind it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

from slackwater.clients.s3 import ListedObject
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.landing.folders import day_folder, find_folders, plan_folders, walk_folders
from slackwater.landing.intake import new_folders
from slackwater.landing.s3_notice import Notice, seen_object
from slackwater.landing.sealing import Bus, emit_due, seal_all_due
from slackwater.landing.wiring import Wiring, WiringReport
from slackwater.ledger import folders, objects
from slackwater.ledger.gaps import missing_ranges
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_REFRESH_DUE, MART_SET, mart_set_resource, refresh_due_event_id

CHUNK_OBJECTS = 1_000
NAMED_AT_MOST = 20
"""A report names so many of a kind; its numbers count all of them."""


@dataclass(frozen=True)
class SweepReport:
    """What a sweep found and did.

    Attributes:
        kind: `recent` or `full`.
        folders: Day folders it listed.
        listed_objects: Objects it saw.
        recorded_objects: Of these, how many no event had brought.
        recorded_keys: The first of them.
        sealed_batches: Batches it made.
        emitted_batches: Batches whose event it sent, first ones and repeated ones.
        failed_emissions: Due events that could not be sent; they stay due.
        is_refresh_due_sent: True when it raised the refresh flag and sent the event.
        wiring: What was wrong with queues and notification.
        gaps: Holes in the source positions, each naming the missing file; the first ones.
        gap_count: How many holes there are.
        error: Why events could not be sent, None when all were.
    """

    kind: str
    folders: int
    listed_objects: int
    recorded_objects: int
    recorded_keys: tuple[str, ...]
    sealed_batches: tuple[str, ...]
    emitted_batches: tuple[str, ...]
    failed_emissions: int
    is_refresh_due_sent: bool
    wiring: WiringReport
    gaps: tuple[str, ...]
    gap_count: int
    error: str | None

    @property
    def summary(self) -> str:
        """Return one sentence without its full stop."""
        parts = [
            f"{self.kind} sweep: {self.listed_objects} objects in {self.folders} day folders listed",
            f"{self.recorded_objects} of them new",
            f"{len(self.emitted_batches)} batches driven",
            *([f"{self.gap_count} gaps in the source positions"] if self.gap_count else []),
            *self.wiring.repairs,
            *self.wiring.problems,
        ]
        return ", ".join(parts)

    @property
    def troubles(self) -> tuple[str, ...]:
        """Return what somebody should look at, one text each."""
        lost = (f"no event came for {key}" for key in self.recorded_keys)
        unsent = (f"{self.failed_emissions} events could not be sent: {self.error}",) if self.error else ()
        return (*self.wiring.repairs, *self.wiring.problems, *self.gaps, *lost, *unsent)


@dataclass
class Listed:
    """What listing has come to so far."""

    objects: int = 0
    recorded: int = 0
    recorded_keys: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)


def sweep(
    *,
    ledger: Ledger,
    wiring: Wiring,
    bus: Bus,
    actor: str,
    grace_seconds: float = 60.0,
    mart_set: str = MART_SET,
    awaited: Collection[str] = frozenset(),
    is_full: bool = False,
) -> SweepReport:
    """Record what was never seen, seal what is due, and send the events of everything that stands still.

    Args:
        ledger: The ledger.
        wiring: The landing bucket, its queues and notification; what is gone of them is made again first.
        bus: The event bus; its failure is reported, not raised, since everything stays due.
        actor: Who sweeps, for the ledger.
        grace_seconds: How long a sent event is trusted before it is sent again; doubles per event of a batch.
        mart_set: Mart set whose refresh may be due.
        awaited: Ids of batches whose run is waiting to start; their event is not sent again.
        is_full: List everything even if it is not time yet.

    Raises:
        StoreUnavailable: The ledger or the object store does not answer.
    """
    checked = wiring.check(before_repair=lambda: _require_full(ledger))
    kind, listed = _account(ledger, wiring, actor=actor, is_full=is_full)
    sealed = seal_all_due(ledger, wiring.landing, actor=actor)
    emission = emit_due(ledger, bus, grace_seconds=grace_seconds, is_first_only=False, awaited=awaited)
    error, is_sent = emission.error, False
    if error is None:
        is_sent, error = _send_refresh_due(ledger, bus, mart_set, grace_seconds=grace_seconds)
    with ledger.transaction() as connection:
        gaps = missing_ranges(connection)
    return SweepReport(
        kind=kind,
        folders=len(listed.folders),
        listed_objects=listed.objects,
        recorded_objects=listed.recorded,
        recorded_keys=tuple(listed.recorded_keys),
        sealed_batches=tuple(item.batch_id for item in sealed),
        emitted_batches=tuple(item.batch_id for item in emission.sent),
        failed_emissions=len(emission.failed),
        is_refresh_due_sent=is_sent,
        wiring=checked,
        gaps=tuple(str(gap) for gap in gaps[:NAMED_AT_MOST]),
        gap_count=len(gaps),
        error=error,
    )


def _require_full(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        folders.require_full_sweep(connection)


def _account(ledger: Ledger, wiring: Wiring, *, actor: str, is_full: bool) -> tuple[str, Listed]:
    """List what is to be listed, record what the ledger does not know, and remember that it was done."""
    landing = wiring.landing
    with ledger.transaction() as connection:
        start = folders.begin_sweep(connection, full_hours=landing.sweep_full_hours)
        known = folders.known(connection, landing.bucket, recent_hours=landing.sweep_overlap_hours)
    kind = folders.FULL if is_full or start.is_full_due else folders.RECENT
    found = Listed()
    for chunk in _chunks(_list(wiring, kind, known, found)):
        _record(ledger, wiring, chunk, found, actor=actor)
    with ledger.transaction() as connection:
        folders.note_listed(connection, landing.bucket, sorted(found.folders - known.keys()))
        folders.record_sweep(
            connection,
            start,
            kind=kind,
            prefixes=len(found.folders),
            listed_objects=found.objects,
            recorded_objects=found.recorded,
            actor=actor,
        )
    return kind, found


def _list(wiring: Wiring, kind: str, known: Mapping[str, bool], found: Listed) -> Iterator[ListedObject]:
    """Yield what is to be looked at; afterwards `found.folders` holds the day folders that were listed to their end."""
    landing, store = wiring.landing, wiring.store
    if kind == folders.FULL:
        for item in store.list(landing.bucket, landing.prefix):
            folder = day_folder(item.key, prefix=landing.prefix)
            if folder is not None:
                found.folders.add(folder)
            yield item
        return
    there, loose = find_folders(store, landing.bucket, landing.prefix)
    found.folders |= set(plan_folders(there, known))
    pages = walk_folders(store, landing.bucket, landing.prefix, found.folders)
    yield from chain(loose, chain.from_iterable(pages))


def _chunks(listing: Iterator[ListedObject]) -> Iterator[list[ListedObject]]:
    while chunk := list(islice(listing, CHUNK_OBJECTS)):
        yield chunk


def _record(ledger: Ledger, wiring: Wiring, chunk: list[ListedObject], found: Listed, *, actor: str) -> None:
    landing = wiring.landing
    notices = (Notice(i.bucket, i.key, i.etag, i.size_bytes, None, i.last_modified) for i in chunk)
    seen = [seen_object(notice, prefix=landing.prefix, epoch=landing.epoch) for notice in notices]
    found.objects += len(seen)
    with ledger.transaction() as connection:
        unknown = objects.unknown_ids(connection, [item.object_id for item in seen])
        lost = [item for item in seen if item.object_id in unknown]
        if not lost:
            return
        new = set(objects.record_objects(connection, lost, actor=actor))
        folders.note_new(connection, new_folders(lost, new, landing=landing))
    found.recorded += len(new)
    room = NAMED_AT_MOST - len(found.recorded_keys)
    found.recorded_keys += [item.key for item in lost if item.object_id in new][:room]


def _send_refresh_due(ledger: Ledger, bus: Bus, mart_set: str, *, grace_seconds: float) -> tuple[bool, str | None]:
    """Send the event of a due refresh; returns whether it was sent, and why it could not be."""
    number = ledger.reraise_refresh_flag(mart_set, grace_seconds=grace_seconds)
    if number is None:
        return False, None
    event_id = refresh_due_event_id(mart_set, number)
    try:
        bus.emit(EVENT_REFRESH_DUE, mart_set_resource(mart_set), {"mart_set": mart_set}, event_id=event_id)
    except (StoreUnavailable, ConfigurationError) as exc:
        return False, str(exc)
    return True, None
