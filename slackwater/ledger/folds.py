"""Which batches were folded into the state tables. Functions over an open transaction.

Folding is beside a batch's way to the warehouse, not a state of it: a batch may be folded before or after it is loaded.
What the ledger notes here is a memory of what the table's snapshots say; folding a batch again changes nothing.
"""

from collections.abc import Collection, Sequence
from datetime import date

from slackwater.clients.postgres import Connection
from slackwater.errors import IllegalTransition
from slackwater.lake.fold import FoldBacklog, UnfoldedBatch
from slackwater.ledger import work
from slackwater.ledger.model import WorkLease

_UNFOLDED = "state <> 'sealed' and row_count > 0 and folded_at is null"


def unfolded_batches(connection: Connection, entity: str, *, limit: int) -> tuple[UnfoldedBatch, ...]:
    """Return landed batches with rows that no fold took in, oldest first.

    Args:
        connection: Open transaction.
        entity: Whose batches.
        limit: Most batches returned, >= 1.
    """
    rows = connection.execute(
        "select b.batch_id, b.row_count, array_agg(distinct d.day) filter (where d.day is not null),"
        " coalesce(sum(d.row_count), 0)"
        f" from (select batch_id, row_count, landed_at from ledger.batch where entity = %s and {_UNFOLDED}"
        "  order by landed_at, batch_id limit %s) b"
        " join ledger.batch_object m on m.batch_id = b.batch_id and not m.is_skipped"
        " left join ledger.object_day d on d.object_id = m.object_id"
        " group by b.batch_id, b.row_count, b.landed_at order by b.landed_at, b.batch_id",
        (entity, limit),
    ).fetchall()
    return tuple(
        UnfoldedBatch(batch_id, entity, count, frozenset(days) if counted == count else None)
        for batch_id, count, days, counted in rows
    )


def backlogs(connection: Connection) -> tuple[FoldBacklog, ...]:
    """Return what waits for a fold, one record per entity that has something waiting; ages by the database's clock."""
    rows = connection.execute(
        "select entity, count(*), sum(row_count), extract(epoch from clock_timestamp() - min(landed_at))::float8"
        f" from ledger.batch where {_UNFOLDED} group by 1 order by 1"
    ).fetchall()
    return tuple(FoldBacklog(entity, int(count), int(total), age) for entity, count, total, age in rows)


def claimed_days(connection: Connection, entity: str) -> frozenset[date] | None:
    """Return the days of batches that are landed and not loaded: they are loaded from the files they were appended in.

    A sealed batch claims nothing: it has no rows yet, and its append brings files of its own.

    Returns:
        None when the days of such a batch are not known.
    """
    rows = connection.execute(
        "select b.row_count, array_agg(distinct d.day) filter (where d.day is not null), coalesce(sum(d.row_count), 0)"
        " from ledger.batch b join ledger.batch_object m on m.batch_id = b.batch_id and not m.is_skipped"
        " left join ledger.object_day d on d.object_id = m.object_id"
        " where b.entity = %s and b.state = 'landed' and b.row_count > 0 group by b.batch_id, b.row_count",
        (entity,),
    ).fetchall()
    if any(count != counted for count, _, counted in rows):
        return None
    return frozenset(day for _, days, _ in rows for day in days)


def mark_folded(connection: Connection, lease: WorkLease, batch_ids: Sequence[str], *, snapshot_id: int | None) -> None:
    """Note that a fold took batches in; one that was noted before keeps its first note.

    Args:
        connection: Open transaction.
        lease: Of the lake's upkeep.
        batch_ids: The fold's batches.
        snapshot_id: What it committed; None when nothing in them was newer than what the table held.

    Raises:
        LeaseLost: Somebody else keeps the lake now; it finds the batches unfolded and folds them again.
    """
    work.require_lease(connection, lease)
    connection.execute(
        "update ledger.batch set folded_at = clock_timestamp(), fold_snapshot_id = %s"
        " where batch_id = any(%s) and state <> 'sealed' and folded_at is null",
        (snapshot_id, list(batch_ids)),
    )


def forget_folds(connection: Connection, entity: str, *, lost: Collection[int], batch_ids: Collection[str]) -> int:
    """Have batches folded again whose fold the state table loses by a rollback; those of expired folds are left alone.

    Args:
        connection: Open transaction.
        entity: Whose state table is rolled back.
        lost: Snapshots that main loses.
        batch_ids: Batches that the summaries of these name: the ledger may have been told without a snapshot.

    Returns:
        How many batches will be folded again.

    Raises:
        IllegalTransition: Rows of one of them were purged from the changelog: it could not be folded.
    """
    parameters = {"entity": entity, "lost": sorted(lost), "ids": sorted(batch_ids)}
    chosen = (
        "entity = %(entity)s and folded_at is not null"
        " and (fold_snapshot_id = any(%(lost)s) or batch_id = any(%(ids)s))"
    )
    purged = connection.execute(
        f"select batch_id from ledger.batch where {chosen} and purged_at is not null limit 1", parameters
    ).fetchone()
    if purged is not None:
        raise IllegalTransition(
            f"batch {purged[0]} of {entity} cannot be folded again: its rows were purged from the changelog; choose a"
            " later snapshot"
        )
    changed = connection.execute(
        f"update ledger.batch set folded_at = null, fold_snapshot_id = null where {chosen}", parameters
    )
    return changed.rowcount
