"""What the upkeep of the lake took away: which batches may be purged, which were, and how far each partition is.

Functions over an open transaction. A purge is noted before its commit and confirmed after it; the commit names the
purge. One that was noted and never committed is dropped by the next upkeep, one that was committed and never confirmed
is confirmed by it.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import uuid4

from slackwater.clients.postgres import Connection
from slackwater.lake.maintenance import PurgePlan
from slackwater.ledger import work
from slackwater.ledger.model import WorkLease

_OLD = """
    b.state = 'loaded' and b.row_count > 0 and b.published_in is not null
    and b.landed_at < %(landed_before)s and b.folded_at < %(folded_before)s
"""

_WAITING_FROM = """
with waiting as (
    select source_partition, epoch, first_position from ledger.object where state = 'seen' and entity = %(entity)s
    union all
    select o.source_partition, o.epoch, o.first_position from ledger.batch b join ledger.object o using (batch_id)
    where b.entity = %(entity)s and b.folded_at is null and (b.state = 'sealed' or b.row_count > 0)
        and o.state = 'batched'),
waiting_from as (
    select distinct on (source_partition) source_partition, epoch, first_position from waiting
    order by source_partition, epoch, first_position)
"""
"""Per source partition the lowest place of what is not folded yet."""


@dataclass(frozen=True)
class PurgeAges:
    """Since when a batch must have been where it is before its rows may go.

    Attributes:
        landed_before: The greatest lateness ago.
        folded_before: So long ago that no snapshot of the state table lacks it: a rollback never has it folded again.
    """

    landed_before: datetime
    folded_before: datetime

    @classmethod
    def at(cls, now: datetime, *, changelog_days: int, snapshot_days: int) -> "PurgeAges":
        """Return the ages that two retentions mean at a time."""
        return cls(now - timedelta(days=changelog_days), now - timedelta(days=snapshot_days))


def unloaded_among(connection: Connection, batch_ids: Collection[str]) -> set[str]:
    """Return which batches are not loaded: they may still be read from the files their append added."""
    rows = connection.execute(
        "select batch_id from ledger.batch where batch_id = any(%s) and state <> 'loaded'", (sorted(batch_ids),)
    ).fetchall()
    return {row[0] for row in rows}


def purgeable_days(connection: Connection, entity: str, ages: PurgeAges) -> set[date]:
    """Return the dates on which some batch that may be purged has rows; a batch purged before may still have some."""
    rows = connection.execute(
        f"select distinct d.day from ledger.batch b join ledger.batch_object m on m.batch_id = b.batch_id"
        f" and not m.is_skipped join ledger.object_day d using (object_id) where b.entity = %(entity)s and {_OLD}",
        {"entity": entity, **_parameters(ages)},
    ).fetchall()
    return {row[0] for row in rows}


def purgeable_among(connection: Connection, batch_ids: Collection[str], ages: PurgeAges) -> set[str]:
    """Return which batches may be purged, or were."""
    rows = connection.execute(
        f"select b.batch_id from ledger.batch b where b.batch_id = any(%(ids)s) and {_OLD}",
        {"ids": sorted(batch_ids), **_parameters(ages)},
    ).fetchall()
    return {row[0] for row in rows}


def has_old_folds(connection: Connection, entity: str, *, folded_before: datetime) -> bool:
    """Say whether anything was folded so long ago that its tombstones may go."""
    row = connection.execute(
        "select exists (select 1 from ledger.batch where entity = %s and folded_at < %s)", (entity, folded_before)
    ).fetchone()
    return bool(row and row[0])


def buried_objects(
    connection: Connection, entity: str, object_ids: Collection[str], *, folded_before: datetime
) -> tuple[str, ...]:
    """Return which objects' tombstones may go: folded and published so long ago, and nothing older is on its way.

    A file that was accepted before the floor rises and is folded after the tombstone went would bring the row back.
    """
    rows = connection.execute(
        _WAITING_FROM + "select o.object_id from ledger.object o join ledger.batch b using (batch_id)"
        " left join waiting_from w using (source_partition)"
        " where o.object_id = any(%(ids)s) and b.state = 'loaded' and b.published_in is not null"
        " and b.folded_at < %(before)s"
        " and (w.source_partition is null or (o.epoch, o.last_position) < (w.epoch, w.first_position)) order by 1",
        {"entity": entity, "ids": sorted(object_ids), "before": folded_before},
    ).fetchall()
    return tuple(row[0] for row in rows)


def note_purge(connection: Connection, lease: WorkLease, entity: str, plan: PurgePlan) -> str:
    """Note that rows of batches go, before they do, and raise the floors below which a file comes too late.

    Args:
        connection: Open transaction.
        lease: Of the lake's upkeep.
        entity: Whose changelog.
        plan: At least one file.

    Returns:
        The id the commit is to name.

    Raises:
        LeaseLost: Somebody else keeps the lake now.
    """
    work.require_lease(connection, lease)
    purge_id = uuid4().hex
    days = {day.isoformat(): count for day, count in plan.rows_by_day.items()}
    connection.execute(
        "insert into ledger.purge (purge_id, entity, days, row_count, file_count, size_bytes, actor)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (purge_id, entity, json.dumps(days), plan.row_count, len(plan.files), plan.size_bytes, lease.actor),
    )
    connection.execute(
        "update ledger.batch set purged_at = clock_timestamp() where batch_id = any(%s) and purged_at is null",
        (list(plan.batch_ids),),
    )
    rows = connection.execute(
        "select object_id from ledger.batch_object where batch_id = any(%s) and not is_skipped", (list(plan.batch_ids),)
    ).fetchall()
    raise_floors(connection, [row[0] for row in rows])
    return purge_id


def raise_floors(connection: Connection, object_ids: Collection[str]) -> None:
    """Note that what these objects held is not kept any more: per source partition the greatest of their places."""
    connection.execute(
        "insert into ledger.purged_floor as f (entity, source_partition, epoch, position)"
        " select distinct on (entity, source_partition) entity, source_partition, epoch, last_position"
        " from ledger.object where object_id = any(%s) and entity is not null and last_position is not null"
        " order by entity, source_partition, epoch desc, last_position desc"
        " on conflict (entity, source_partition) do update set epoch = excluded.epoch, position = excluded.position,"
        " purged_at = clock_timestamp() where (excluded.epoch, excluded.position) > (f.epoch, f.position)",
        (sorted(object_ids),),
    )


def open_purges(connection: Connection, entity: str) -> tuple[str, ...]:
    """Return the ids of the purges that were noted and not confirmed."""
    rows = connection.execute(
        "select purge_id from ledger.purge where entity = %s and done_at is null order by planned_at", (entity,)
    ).fetchall()
    return tuple(row[0] for row in rows)


def settle_purge(connection: Connection, purge_id: str, *, is_committed: bool) -> None:
    """Confirm a purge the lake holds, or drop one it does not; a second call changes nothing."""
    statement = (
        "update ledger.purge set done_at = clock_timestamp() where purge_id = %s and done_at is null"
        if is_committed
        else "delete from ledger.purge where purge_id = %s"
    )
    connection.execute(statement, (purge_id,))


def purged_rows(connection: Connection) -> dict[tuple[str, date], int]:
    """Return per entity and event day how many rows were purged from the changelogs."""
    rows = connection.execute(
        "select p.entity, d.key::date, sum(d.value::bigint)::bigint from ledger.purge p, jsonb_each_text(p.days) d"
        " where p.done_at is not null group by 1, 2"
    ).fetchall()
    return {(entity, day): int(count) for entity, day, count in rows}


def record_action(
    connection: Connection, table: str, action: str, *, actor: str, reason: str, detail: dict[str, object]
) -> None:
    """Record what somebody did to a table of the lake, and why."""
    connection.execute(
        "insert into ledger.lake_action (table_name, action, actor, reason, detail) values (%s, %s, %s, %s, %s)",
        (table, action, actor, reason, json.dumps(detail, default=str)),
    )


def _parameters(ages: PurgeAges) -> dict[str, datetime]:
    return {"landed_before": ages.landed_before, "folded_before": ages.folded_before}
