"""Batches in the ledger: sealing, landing, loading, opening again. Functions over an open transaction.

Every write of a lease holder compares state, owner and attempt in SQL; a stale holder gets `LeaseLost`. Time is the
database's clock. The leases are in `batch_leases`; which batches' events are to be sent, in `emissions`.
"""

from collections.abc import Sequence

from psycopg.rows import class_row, dict_row

from slackwater.clients.postgres import Connection
from slackwater.errors import IllegalTransition, LeaseLost
from slackwater.ledger import model, object_days
from slackwater.ledger.frontier import forget_floor
from slackwater.ledger.journal import Change, Detail, record
from slackwater.ledger.model import Batch, BatchLease, BatchObject, BatchState, ObjectState, Skipped, Subject
from slackwater.ledger.object_days import ObjectDays


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


def mark_landed(
    connection: Connection,
    lease: BatchLease,
    *,
    snapshot_id: int | None,
    row_count: int,
    skipped: Sequence[Skipped],
    days: ObjectDays,
) -> None:
    """Record that the lake holds a batch, what its objects hold per event day, and set its bad objects aside.

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
    object_days.write(connection, days)
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


def reopen(connection: Connection, batch_id: str, *, reason: str, actor: str) -> BatchState:
    """Move a batch the lake does not hold any more back to `sealed`, due at once, and return the state it had.

    A holder that works on it right now loses its lease. The event's number goes on, since the bus drops an event whose
    id it has seen. A batch that was published stays so: the marts hold its rows; only the lake is filled again.

    Args:
        connection: Open transaction.
        batch_id: A batch in state `landed` or `loaded`.
        reason: Why, for the record.
        actor: Who does it.

    Raises:
        IllegalTransition: There is no such batch, or it is sealed already.
    """
    row = connection.execute(
        "select state, snapshot_id, load_seq from ledger.batch where batch_id = %s for update", (batch_id,)
    ).fetchone()
    if row is None:
        raise IllegalTransition(f"batch {batch_id} is not in the ledger")
    detail: Detail = {"reason": reason, "snapshot_id": row[1], "load_seq": row[2]}
    record(connection, [Change(Subject.BATCH, batch_id, row[0], BatchState.SEALED, detail)], actor=actor)
    connection.execute(
        "update ledger.batch set state = 'sealed', snapshot_id = null, load_seq = null, landed_at = null,"
        " loaded_at = null, folded_at = null, fold_snapshot_id = null, purged_at = null, lease_owner = null,"
        " leased_until = null, emitted_at = null, touched_at = clock_timestamp(), last_error = %s where batch_id = %s",
        (reason, batch_id),
    )
    return BatchState(row[0])


def drive_again(connection: Connection, batch_id: str) -> BatchState:
    """Make an unloaded batch's event due at once, taking away a lease that ran out; returns the batch's state.

    Raises:
        IllegalTransition: There is no such batch, it is loaded, or a live attempt works on it.
    """
    row = connection.execute(
        "select state, leased_until >= clock_timestamp(), lease_owner from ledger.batch where batch_id = %s for update",
        (batch_id,),
    ).fetchone()
    if row is None:
        raise IllegalTransition(f"batch {batch_id} is not in the ledger")
    if row[0] == BatchState.LOADED:
        raise IllegalTransition(f"batch {batch_id} is loaded; what is left to do is a refresh's work")
    if row[1]:
        raise IllegalTransition(f"batch {batch_id} is being worked on by {row[2]}; it is driven again should that fail")
    connection.execute(
        "update ledger.batch set emitted_at = null, lease_owner = null, leased_until = null where batch_id = %s",
        (batch_id,),
    )
    return BatchState(row[0])


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
    changed = connection.execute(
        "update ledger.batch_object set is_skipped = true, reason = %s"
        " where batch_id = %s and object_id = %s and not is_skipped",
        (item.reason, lease.batch_id, item.object_id),
    )
    if changed.rowcount == 0:
        return  # an earlier landing set it aside; it may be in another batch by now
    connection.execute(
        "update ledger.object set state = %s, reason = %s, message = %s, changed_at = clock_timestamp()"
        " where object_id = %s and batch_id = %s",
        (state, item.reason, item.message, item.object_id, lease.batch_id),
    )
    forget_floor(connection, item.object_id)
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
