"""Decides what the lost ledger held. Pure.

An object is restored exactly when its rows are in the lake or in raw; everything else in the landing bucket is new to
the ledger, and the sweep takes it (again): bad files are quarantined once more, files without rows loaded once more.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from slackwater.clients.iceberg_contents import ObjectRows
from slackwater.ledger.model import BatchState, batch_id
from slackwater.ledger.rebuild import LedgerContents, RestoredBatch, RestoredObject, RestoredRefresh
from slackwater.recovery.evidence import Evidence

MOST_RETRIES = 8
"""So many seals of the same manifest are tried when a batch's id is compared with its objects."""

LAST_LOST_ATTEMPT = 100
"""Attempts of unfinished batches go on from here: the lost ledger counted fewer, so that a run it left behind and a new
one share no table of the warehouse."""


@dataclass(frozen=True)
class CountedBatch:
    """A batch of which lake and warehouse hold different numbers of rows."""

    batch_id: str
    entity: str
    lake_rows: int
    loaded_rows: int


@dataclass(frozen=True)
class Findings:
    """What could not be restored, or is wrong in the stores; ids and keys are sorted.

    Attributes:
        unlisted_keys: Objects whose rows exist but whose content is no longer in the landing bucket; etag and size are
            unknown.
        partly_known_batches: Their manifest held more objects than have rows: bad ones or ones without rows.
        raw_only_batches: Loaded, but main does not hold them: restored as sealed, so that they are appended again.
        different_batches: Lake and warehouse hold different numbers of rows.
        doubled_objects: Their rows are in more than one batch.
        batches_without_rows: Loaded batches of which nothing is left to restore.
        unpublished_refreshes: Started and never published: rejected, or open when the ledger was lost.
        unread_objects: Landing objects no store holds a row of; the sweep records them.
    """

    unlisted_keys: tuple[str, ...]
    partly_known_batches: tuple[str, ...]
    raw_only_batches: tuple[str, ...]
    different_batches: tuple[CountedBatch, ...]
    doubled_objects: tuple[str, ...]
    batches_without_rows: int
    unpublished_refreshes: int
    unread_objects: int


@dataclass(frozen=True)
class _Owned:
    """One batch's objects, and those whose rows another batch holds already."""

    rows: tuple[ObjectRows, ...]
    doubled: tuple[ObjectRows, ...]
    is_raw_only: bool

    @property
    def all_rows(self) -> tuple[ObjectRows, ...]:
        """Return both, at least one."""
        return (*self.rows, *self.doubled)


def plan_contents(evidence: Evidence, *, now: datetime) -> tuple[LedgerContents, Findings]:
    """Return what the ledger is to hold, and what a person should know.

    Args:
        evidence: What the stores prove.
        now: Present time; numbers the next refresh events above all earlier ones.
    """
    owned = _owned(evidence)
    batches = tuple(_batch(evidence, one) for one in owned)
    refreshes = _refreshes(evidence, batches)
    objects = _objects(evidence, owned, {one.batch_id: one for one in batches})
    flags = {refresh.mart_set: int(now.timestamp()) for refresh in refreshes}
    contents = LedgerContents(objects, batches, refreshes, flags)
    return contents, _findings(evidence, owned, contents)


def _owned(evidence: Evidence) -> list[_Owned]:
    """Give every object to one batch: of several the one that committed it first, those of the lake before raw's."""
    in_lake, in_raw = _by_batch(evidence.lake_rows), _by_batch(evidence.raw_rows)
    order = sorted(in_lake, key=lambda key: (_committed_at(evidence, in_lake[key][0]), key)) + sorted(in_raw)
    taken: set[str] = set()
    owned = []
    for key in order:
        rows = in_lake.get(key) or in_raw[key]
        fresh = tuple(item for item in rows if item.object_id not in taken)
        doubled = tuple(item for item in rows if item.object_id in taken)
        taken.update(item.object_id for item in rows)
        owned.append(_Owned(fresh, doubled, is_raw_only=key not in in_lake))
    return owned


def _by_batch(rows: Iterable[ObjectRows]) -> dict[str, list[ObjectRows]]:
    found: dict[str, list[ObjectRows]] = defaultdict(list)
    for item in rows:
        found[item.batch_id].append(item)
    return found


def _committed_at(evidence: Evidence, rows: ObjectRows) -> datetime:
    """Return when a batch was committed; of one whose snapshot expired a time before all known commits."""
    history = evidence.histories[rows.entity]
    snapshot = history.by_batch.get(rows.batch_id)
    if snapshot is not None:
        return snapshot.committed_at
    load = evidence.loads.get(rows.batch_id)
    known = [at for at in (history.oldest_at, load.loaded_at if load else None) if at is not None]
    # Strictly before: a later look must not mistake it for one that main lost.
    return min(known) - timedelta(microseconds=1)


def _batch(evidence: Evidence, owned: _Owned) -> RestoredBatch:
    first = owned.all_rows[0]
    load = evidence.loads.get(first.batch_id)
    snapshot = evidence.histories[first.entity].by_batch.get(first.batch_id)
    listed = [evidence.listed[item.object_id] for item in owned.rows if item.object_id in evidence.listed]
    at = _committed_at(evidence, first)
    state = BatchState.LOADED if load else BatchState.LANDED
    if owned.is_raw_only:
        state = BatchState.SEALED
    is_landed, is_loaded = state is not BatchState.SEALED, state is BatchState.LOADED
    return RestoredBatch(
        batch_id=first.batch_id,
        entity=first.entity,
        state=state,
        object_ids=tuple(item.object_id for item in owned.rows),
        doubled_ids=tuple(item.object_id for item in owned.doubled),
        size_bytes=sum(item.size_bytes for item in listed),
        row_count=sum(item.row_count for item in owned.all_rows) if is_landed else None,
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        load_seq=load.load_seq if load and is_loaded else None,
        attempt=load.attempt if load and is_loaded else LAST_LOST_ATTEMPT,
        sealed_at=at,
        landed_at=at if is_landed else None,
        loaded_at=load.loaded_at if load and is_loaded else None,
    )


def _objects(
    evidence: Evidence, owned: Iterable[_Owned], batches: dict[str, RestoredBatch]
) -> tuple[RestoredObject, ...]:
    newest: dict[str, str] = {}
    objects = []
    for item in (rows for one in owned for rows in one.rows):
        listed = evidence.listed.get(item.object_id)
        sealed_at = batches[item.batch_id].sealed_at
        objects.append(
            RestoredObject(
                object_id=item.object_id,
                bucket=evidence.bucket,
                key=item.key,
                etag=listed.etag if listed else "",
                size_bytes=listed.size_bytes if listed else 0,
                last_modified=listed.last_modified if listed else None,
                entity=item.entity,
                source_partition=item.source_partition,
                first_position=item.first_position,
                last_position=item.last_position,
                epoch=item.epoch,
                batch_id=item.batch_id,
                overwrites=newest.get(item.key),
                first_seen_at=min(listed.last_modified, sealed_at) if listed else sealed_at,
                days=item.days,
            )
        )
        newest[item.key] = item.object_id
    return tuple(objects)


def _refreshes(evidence: Evidence, batches: Iterable[RestoredBatch]) -> tuple[RestoredRefresh, ...]:
    """Give every loaded batch to the first publication whose bound reached it."""
    waiting = [(evidence.loads[one.batch_id], one.batch_id) for one in batches if one.batch_id in evidence.loads]
    restored = []
    for refresh in evidence.refreshes:
        held = [key for load, key in waiting if load.load_seq <= refresh.bounds.get(load.entity, 0)]
        waiting = [(load, key) for load, key in waiting if load.load_seq > refresh.bounds.get(load.entity, 0)]
        restored.append(
            RestoredRefresh(
                refresh_id=refresh.refresh_id,
                mart_set=refresh.mart_set,
                bounds=refresh.bounds,
                as_of=refresh.as_of,
                publication_id=refresh.publication_id,
                started_at=refresh.started_at,
                published_at=refresh.published_at,
                batch_ids=tuple(sorted(held)),
            )
        )
    return tuple(restored)


def _findings(evidence: Evidence, owned: Iterable[_Owned], contents: LedgerContents) -> Findings:
    different = []
    for one in contents.batches:
        load = evidence.loads.get(one.batch_id)
        if load is not None and one.row_count is not None and load.row_count != one.row_count:
            different.append(CountedBatch(one.batch_id, one.entity, one.row_count, load.row_count))
    known = {one.batch_id for one in contents.batches}
    return Findings(
        unlisted_keys=tuple(sorted(item.key for item in contents.objects if item.object_id not in evidence.listed)),
        partly_known_batches=tuple(sorted(one.batch_id for one in contents.batches if not _is_whole(one))),
        raw_only_batches=tuple(sorted(one.all_rows[0].batch_id for one in owned if one.is_raw_only)),
        different_batches=tuple(different),
        doubled_objects=tuple(sorted({item.object_id for one in owned for item in one.doubled})),
        batches_without_rows=sum(1 for key in evidence.loads if key not in known),
        unpublished_refreshes=evidence.unpublished_refreshes,
        unread_objects=evidence.unread_objects,
    )


def _is_whole(batch: RestoredBatch) -> bool:
    """Say whether the restored objects are the whole manifest: the batch's id is their hash."""
    manifest = (*batch.object_ids, *batch.doubled_ids)
    return any(batch_id(batch.entity, manifest, attempt=attempt) == batch.batch_id for attempt in range(MOST_RETRIES))
