"""Batches in the ledger: sealing, leases, landing, loading, what to emit again. Functions over an open transaction.

Every write of a lease holder compares state, owner and attempt in SQL; a stale holder gets `LeaseLost`. Time is the
database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from psycopg.rows import class_row, dict_row

from slackwater.clients.postgres import Connection
from slackwater.errors import IllegalTransition, LeaseLost
from slackwater.ledger import model
from slackwater.ledger.journal import Change, Detail, record
from slackwater.ledger.model import Batch, BatchLease, BatchObject, BatchState, ObjectState, Skipped, Subject


@dataclass(frozen=True)
class DueBatch:
    """A batch whose event is to be sent (again); `emission` numbers the event, from 1."""

    batch_id: str
    entity: str
    object_count: int
    emission: int
    is_first: bool


def seal(connection: Connection, entity: str, object_ids: Sequence[str], *, actor: str) -> str | None:
    """Make a batch of waiting objects.

    Returns:
        The batch id; None when another process took one of the objects meanwhile (nothing is changed then).
    """
    manifest = sorted(set(object_ids))
    rows = connection.execute(
        "select object_id, size_bytes from ledger.object"
        " where object_id = any(%s) and state = 'seen' and entity = %s order by object_id for update",
        (manifest, entity),
    ).fetchall()
    if not manifest or len(rows) != len(manifest):
        return None
    batch_id = _free_id(connection, entity, manifest)
    connection.execute(
        "insert into ledger.batch (batch_id, entity, state, object_count, size_bytes)"
        " values (%s, %s, 'sealed', %s, %s)",
        (batch_id, entity, len(manifest), sum(row[1] for row in rows)),
    )
    connection.execute(
        "insert into ledger.batch_object (batch_id, object_id) select %s, unnest(%s::text[])", (batch_id, manifest)
    )
    connection.execute(
        "update ledger.object set state = 'batched', batch_id = %s, changed_at = clock_timestamp()"
        " where object_id = any(%s)",
        (batch_id, manifest),
    )
    changes = [
        Change(Subject.OBJECT, key, ObjectState.SEEN, ObjectState.BATCHED, {"batch_id": batch_id}) for key in manifest
    ]
    detail: Detail = {"entity": entity, "objects": len(manifest)}
    record(connection, [*changes, Change(Subject.BATCH, batch_id, None, BatchState.SEALED, detail)], actor=actor)
    return batch_id


def claim(connection: Connection, batch_id: str, *, actor: str, lease_seconds: float) -> BatchLease | None:
    """Take a batch's lease; None when it is loaded already or another live lease exists."""
    owner = f"{actor}/{uuid4().hex[:12]}"
    row = connection.execute(
        "update ledger.batch set lease_owner = %(owner)s, attempt = attempt + 1, touched_at = clock_timestamp(),"
        " leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)"
        " where batch_id = %(id)s and state <> 'loaded'"
        " and (leased_until is null or leased_until < clock_timestamp()) returning attempt, state",
        {"owner": owner, "seconds": lease_seconds, "id": batch_id},
    ).fetchone()
    return BatchLease(batch_id, owner, row[0], BatchState(row[1]), actor) if row else None


def renew(connection: Connection, lease: BatchLease, *, lease_seconds: float) -> None:
    """Extend a lease.

    Raises:
        LeaseLost: Somebody else holds it now.
    """
    found = connection.execute(
        "update ledger.batch set leased_until = clock_timestamp() + make_interval(secs => %s)"
        " where batch_id = %s and lease_owner = %s and attempt = %s and state <> 'loaded'",
        (lease_seconds, lease.batch_id, lease.owner, lease.attempt),
    )
    if found.rowcount != 1:
        raise LeaseLost(f"batch {lease.batch_id}: attempt {lease.attempt} of {lease.actor} lost its lease")


def release(connection: Connection, lease: BatchLease, *, error: str | None = None) -> None:
    """Give a lease back, keeping why the attempt failed; one that was lost meanwhile is no error."""
    connection.execute(
        "update ledger.batch set lease_owner = null, leased_until = null, touched_at = clock_timestamp(),"
        " last_error = %s where batch_id = %s and lease_owner = %s and attempt = %s",
        (error, lease.batch_id, lease.owner, lease.attempt),
    )


def mark_landed(
    connection: Connection, lease: BatchLease, *, snapshot_id: int | None, row_count: int, skipped: Sequence[Skipped]
) -> None:
    """Record that the lake holds a batch, and set its bad objects aside in the same transaction.

    Raises:
        LeaseLost: Somebody else holds the batch now.
        IllegalTransition: The batch is not `sealed`.
    """
    changed = connection.execute(
        "update ledger.batch set state = 'landed', snapshot_id = %s, row_count = %s, landed_at = clock_timestamp(),"
        " touched_at = clock_timestamp(), last_error = null"
        " where batch_id = %s and state = 'sealed' and lease_owner = %s and attempt = %s",
        (snapshot_id, row_count, lease.batch_id, lease.owner, lease.attempt),
    )
    if changed.rowcount != 1:
        _refuse(connection, lease, BatchState.LANDED)
    detail: Detail = {"rows": row_count, "snapshot_id": snapshot_id, "attempt": lease.attempt, "skipped": len(skipped)}
    change = Change(Subject.BATCH, lease.batch_id, BatchState.SEALED, BatchState.LANDED, detail)
    record(connection, [change], actor=lease.actor)
    for item in skipped:
        _skip(connection, lease, item)


def mark_loaded(connection: Connection, lease: BatchLease, *, load_seq: int) -> None:
    """Record that the warehouse holds a batch; its end state, the lease ends with it.

    Raises:
        LeaseLost: Somebody else holds the batch now.
        IllegalTransition: The batch is not `landed`.
    """
    changed = connection.execute(
        "update ledger.batch set state = 'loaded', load_seq = %s, loaded_at = clock_timestamp(),"
        " touched_at = clock_timestamp(), lease_owner = null, leased_until = null, last_error = null"
        " where batch_id = %s and state = 'landed' and lease_owner = %s and attempt = %s",
        (load_seq, lease.batch_id, lease.owner, lease.attempt),
    )
    if changed.rowcount != 1:
        _refuse(connection, lease, BatchState.LOADED)
    detail: Detail = {"load_seq": load_seq, "attempt": lease.attempt}
    change = Change(Subject.BATCH, lease.batch_id, BatchState.LANDED, BatchState.LOADED, detail)
    record(connection, [change], actor=lease.actor)


def batch(connection: Connection, batch_id: str) -> Batch | None:
    """Read a batch with its manifest in key order; None when there is none."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "select batch_id as id, entity, state, size_bytes, row_count, snapshot_id, load_seq, attempt, emissions,"
            " sealed_at, landed_at, loaded_at, last_error from ledger.batch where batch_id = %s",
            (batch_id,),
        ).fetchone()
    if row is None:
        return None
    with connection.cursor(row_factory=class_row(BatchObject)) as objects:
        objects.execute(
            "select o.object_id, bucket, key, etag, size_bytes, source_partition, first_position, last_position, epoch,"
            " m.is_skipped, m.reason from ledger.batch_object m join ledger.object o using (object_id)"
            " where m.batch_id = %s order by key, o.object_id",
            (batch_id,),
        )
        return Batch(**{**row, "state": BatchState(row["state"])}, objects=tuple(objects.fetchall()))


def unloaded_counts(connection: Connection) -> dict[str, int]:
    """Return per entity how many batches are not loaded yet."""
    rows = connection.execute("select entity, count(*) from ledger.batch where state <> 'loaded' group by 1").fetchall()
    return {row[0]: row[1] for row in rows}


def due_batches(connection: Connection, *, grace_seconds: float, is_first_only: bool = False) -> list[DueBatch]:
    """Return the unloaded batches whose event is to be sent.

    A batch is due when its event was never sent; when its holder died (the lease ran out after the last event); or when
    nobody holds it and nothing happened for the grace, which doubles with every event sent, up to 16 times.

    Args:
        connection: Open transaction.
        grace_seconds: How long a sent event is trusted.
        is_first_only: Only those whose event was never sent.
    """
    with connection.cursor(row_factory=class_row(DueBatch)) as cursor:
        cursor.execute(
            "select batch_id, entity, object_count, emissions + 1 as emission, emissions = 0 as is_first"
            " from ledger.batch where state <> 'loaded' and (emissions = 0 or not %(first_only)s) and ("
            " (emissions = 0 and lease_owner is null)"
            " or (leased_until < clock_timestamp() and coalesce(emitted_at <= leased_until, true))"
            " or ((leased_until is null or leased_until < clock_timestamp())"
            "  and greatest(emitted_at, touched_at) < clock_timestamp()"
            "   - make_interval(secs => %(grace)s * power(2, least(greatest(emissions - 1, 0), 4)))))"
            " order by sealed_at, batch_id",
            {"first_only": is_first_only, "grace": grace_seconds},
        )
        return cursor.fetchall()


def mark_emitted(connection: Connection, batch_id: str, *, emission: int) -> bool:
    """Note that an event was sent; False when another process noted the same one before."""
    changed = connection.execute(
        "update ledger.batch set emissions = %s, emitted_at = clock_timestamp()"
        " where batch_id = %s and emissions = %s - 1",
        (emission, batch_id, emission),
    )
    return changed.rowcount == 1


def _free_id(connection: Connection, entity: str, manifest: Sequence[str]) -> str:
    attempt = 0
    while True:
        candidate = model.batch_id(entity, manifest, attempt=attempt)
        if connection.execute("select 1 from ledger.batch where batch_id = %s", (candidate,)).fetchone() is None:
            return candidate
        attempt += 1


def _skip(connection: Connection, lease: BatchLease, item: Skipped) -> None:
    is_overwritten = item.reason == ObjectState.SUPERSEDED
    state = ObjectState.SUPERSEDED if is_overwritten else ObjectState.QUARANTINED
    connection.execute(
        "update ledger.batch_object set is_skipped = true, reason = %s where batch_id = %s and object_id = %s",
        (item.reason, lease.batch_id, item.object_id),
    )
    connection.execute(
        "update ledger.object set state = %s, reason = %s, message = %s, changed_at = clock_timestamp()"
        " where object_id = %s and batch_id = %s",
        (state, item.reason, item.message, item.object_id, lease.batch_id),
    )
    detail: Detail = {"key": item.key, "reason": item.reason, "batch_id": lease.batch_id}
    record(connection, [Change(Subject.OBJECT, item.object_id, ObjectState.BATCHED, state, detail)], actor=lease.actor)


def _refuse(connection: Connection, lease: BatchLease, wanted: BatchState) -> None:
    row = connection.execute(
        "select state, lease_owner = %s and attempt = %s from ledger.batch where batch_id = %s",
        (lease.owner, lease.attempt, lease.batch_id),
    ).fetchone()
    if row is not None and row[1]:
        raise IllegalTransition(f"batch {lease.batch_id} cannot go from {row[0]} to {wanted}")
    raise LeaseLost(f"batch {lease.batch_id}: attempt {lease.attempt} of {lease.actor} lost its lease")
