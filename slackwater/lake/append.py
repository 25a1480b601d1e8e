"""Appends one batch to its entity's changelog in the lake, once. The ingest flow's first step.

Each object is opened once; a bad one is set aside with its reason and the batch goes on without it under the same id.
The rows become visible with one Iceberg commit whose summary holds the batch id, then the ledger says `landed`. Killed
between the two, the next attempt finds the batch held and only finishes the ledger.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.checkpoints import Checkpoint, reached
from slackwater.clients.iceberg import CommittedAppend, Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.entities.model import Entity, changelog_schema, load_entity
from slackwater.errors import LeaseHeld, MalformedObject, ObjectSuperseded, SlackwaterError
from slackwater.lake.event_days import OBJECT_DAY_COLUMNS, rows_per_object_day
from slackwater.landing.reader import read_object
from slackwater.ledger.model import Batch, BatchLease, BatchObject, BatchState, Skipped
from slackwater.ledger.object_days import ObjectDays
from slackwater.ledger.store import Ledger
from slackwater.settings import LandingSettings


@dataclass(frozen=True)
class AppendResult:
    """What the lake holds of a batch.

    Attributes:
        row_count: Rows of its objects that were not skipped.
        object_count: Objects in the manifest, skipped ones included.
        snapshot_id: None for a batch without rows.
        was_already_landed: True when the ledger said so before; nothing was done then.
    """

    batch_id: str
    entity: str
    row_count: int
    object_count: int
    skipped: tuple[Skipped, ...]
    snapshot_id: int | None
    data_files: tuple[str, ...]
    seconds: float
    was_already_landed: bool


def append_batch(
    batch_id: str,
    *,
    ledger: Ledger,
    lake: Lake,
    store: ObjectStore,
    landing: LandingSettings,
    actor: str,
    clock: Callable[[], float] = time.monotonic,
) -> AppendResult:
    """Append a batch to the lake and mark it landed; a second call returns what the first one did.

    Args:
        batch_id: A sealed batch.
        ledger: The ledger; its lease guards the work and is renewed meanwhile.
        lake: The lake.
        store: Where the objects lie.
        landing: Bounds the batch that fits in memory.
        actor: Who does it, for the ledger.
        clock: Measures the duration.

    Raises:
        LeaseHeld: Another live attempt works on this batch.
        LeaseLost: Another attempt took over meanwhile; it will finish.
        TransientError: A store did not answer or every commit lost the race; call again.
        ConfigurationError: There is no such batch.
    """
    started = clock()
    batch = ledger.batch(batch_id)
    if batch.state != BatchState.SEALED:
        return _result(batch, lake, seconds=clock() - started)
    lease = ledger.claim_batch(batch_id, actor=actor)
    if lease is None:
        batch = ledger.batch(batch_id)
        if batch.state != BatchState.SEALED:
            return _result(batch, lake, seconds=clock() - started)
        raise LeaseHeld(f"batch {batch_id} is being worked on by another run; it will finish it")
    error: str | None = None
    try:
        with ledger.renewing(lease) as check_lease:
            return append_claimed(
                lease, ledger=ledger, lake=lake, store=store, landing=landing, check_lease=check_lease, clock=clock
            )
    except SlackwaterError as exc:
        error = f"{type(exc).__name__}: {exc}"
        raise
    finally:
        _release(ledger, lease, error=error)


def append_claimed(
    lease: BatchLease,
    *,
    ledger: Ledger,
    lake: Lake,
    store: ObjectStore,
    landing: LandingSettings,
    check_lease: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> AppendResult:
    """Append a batch whose lease the caller holds, renews and gives back; otherwise as `append_batch`.

    Args:
        lease: The caller's lease of the batch.
        ledger: Refuses the mark when the lease was lost.
        lake: The lake.
        store: Where the objects lie.
        landing: Bounds the batch that fits in memory.
        check_lease: Raises `LeaseLost` when the lease is known to be lost; called before the commit.
        clock: Measures the duration.
    """
    started = clock()
    batch = ledger.batch(lease.batch_id)
    if batch.state != BatchState.SEALED:
        return _result(batch, lake, seconds=clock() - started)
    committed, skipped, days = _land(
        batch,
        attempt=lease.attempt,
        lake=lake,
        store=store,
        max_object_bytes=landing.batch_max_bytes,
        check_lease=check_lease,
    )
    reached(Checkpoint.AFTER_LAKE_COMMIT)
    row_count = committed.row_count if committed else 0
    snapshot_id = committed.snapshot_id if committed else None
    ledger.mark_landed(lease, snapshot_id=snapshot_id, row_count=row_count, skipped=skipped, days=days)
    return AppendResult(
        batch_id=batch.id,
        entity=batch.entity,
        row_count=row_count,
        object_count=len(batch.objects),
        skipped=skipped,
        snapshot_id=snapshot_id,
        data_files=committed.data_files if committed else (),
        seconds=clock() - started,
        was_already_landed=False,
    )


def changelog_rows(rows: pa.Table, entity: Entity, *, item: BatchObject, batch_id: str) -> pa.Table:
    """Add to an object's cast rows where they came from, in `changelog_schema` order."""
    count = rows.num_rows

    def repeated(value: str | int, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), count)

    added: dict[str, pa.Array | pa.ChunkedArray] = {
        "_batch_id": repeated(batch_id, pa.string()),
        "_file_name": repeated(item.key, pa.string()),
        "_object_id": repeated(item.object_id, pa.string()),
        "_epoch": repeated(item.epoch, pa.int32()),
        "_source_partition": repeated(item.source_partition, pa.string()),
        "_position": pa.array(range(item.first_position, item.first_position + count), pa.int64()),
        "date": pc.cast(rows["__source_ts_ms"], pa.date32(), safe=False),
    }
    schema = changelog_schema(entity)
    return pa.table([added[n] if n in added else rows[n] for n in schema.names], schema=schema)


def _land(
    batch: Batch,
    *,
    attempt: int,
    lake: Lake,
    store: ObjectStore,
    max_object_bytes: int,
    check_lease: Callable[[], None],
) -> tuple[CommittedAppend | None, tuple[Skipped, ...], ObjectDays]:
    """Commit the batch's rows unless main holds them; returns None without rows, what was left out, rows per day."""
    entity = load_entity(batch.entity)
    if attempt > 1:  # an earlier attempt may have committed and died before it told the ledger
        held = lake.held(batch.entity, batch.id, sealed_at=batch.sealed_at)
        if held is not None:
            return held, *_found_in_lake(batch, entity, lake=lake, store=store)
    tables: list[pa.Table] = []
    skipped: list[Skipped] = []
    for item in _wanted(batch):
        try:
            rows = read_object(store, item, entity=entity, max_bytes=max_object_bytes)
        except (MalformedObject, ObjectSuperseded) as exc:
            skipped.append(_skip(item, exc))
        else:
            tables.append(changelog_rows(rows, entity, item=item, batch_id=batch.id))
    total = pa.concat_tables(tables) if tables else changelog_schema(entity).empty_table()
    tables.clear()
    if total.num_rows == 0:
        return None, tuple(skipped), {}
    ordered = total.sort_by([(name, "ascending") for name in ("date", entity.key, "__source_lsn", "_position")])
    check_lease()
    committed = lake.append_batch_rows(batch.entity, ordered, batch_id=batch.id, sealed_at=batch.sealed_at)
    if committed.was_held:
        return committed, *_found_in_lake(batch, entity, lake=lake, store=store)
    return committed, tuple(skipped), rows_per_object_day(ordered)


def _found_in_lake(
    batch: Batch, entity: Entity, *, lake: Lake, store: ObjectStore
) -> tuple[tuple[Skipped, ...], ObjectDays]:
    """Say which objects the committed rows do not hold; the lake decides, reading again only tells the reason."""
    present = rows_per_object_day(lake.scan(batch.entity, batch_id=batch.id, columns=OBJECT_DAY_COLUMNS))
    skipped: list[Skipped] = []
    for item in _wanted(batch):
        if item.object_id in present:
            continue
        try:
            rows = read_object(store, item, entity=entity)
        except (MalformedObject, ObjectSuperseded) as exc:
            skipped.append(_skip(item, exc))
        else:
            if rows.num_rows:
                message = "the committed batch does not hold it although it reads well now"
                skipped.append(Skipped(item.object_id, item.key, "not_landed", message))
    return tuple(skipped), present


def _wanted(batch: Batch) -> list[BatchObject]:
    """Return the objects a landing reads: one set aside before a batch was reopened may be in another batch by now."""
    return [item for item in batch.objects if not item.is_skipped]


def _skip(item: BatchObject, error: MalformedObject | ObjectSuperseded) -> Skipped:
    reason = error.reason if isinstance(error, MalformedObject) else "superseded"
    return Skipped(item.object_id, item.key, reason, str(error))


def _result(batch: Batch, lake: Lake, *, seconds: float) -> AppendResult:
    files = tuple(lake.files_of_batch(batch.entity, batch.id)) if batch.row_count else ()
    return AppendResult(
        batch_id=batch.id,
        entity=batch.entity,
        row_count=batch.row_count or 0,
        object_count=len(batch.objects),
        skipped=tuple(Skipped(o.object_id, o.key, o.reason or "unknown") for o in batch.objects if o.is_skipped),
        snapshot_id=batch.snapshot_id,
        data_files=files,
        seconds=seconds,
        was_already_landed=True,
    )


def _release(ledger: Ledger, lease: BatchLease, *, error: str | None) -> None:
    try:
        ledger.release(lease, error=error)
    except SlackwaterError:
        if error is None:
            raise
