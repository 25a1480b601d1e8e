"""Reads objects, batches and refreshes from the ledger. Functions over an open, read-only transaction.

Ids are looked up by range on the primary key (they are hexadecimal), keys with their bucket, positions by the nearest
files: every query stays on an index however many objects there are.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from slackwater.clients.postgres import Connection
from slackwater.explain.facts import ObjectFacts, utc
from slackwater.explain.work_facts import BatchFacts, RefreshFacts

MOST_FOUND = 3
"""Ids looked at when a beginning is given: one is an answer, two are an ambiguity."""

NEAR_FILES = 20
"""Files looked at for a position: those that begin at or below it, nearest first; more never overlap in practice."""

_OBJECT = (
    "select o.object_id, o.bucket, o.key, o.entity, o.state, o.size_bytes, o.reason, o.message, o.source_partition,"
    " o.first_position, o.last_position, o.first_seen_at, o.changed_at, o.last_modified, o.overwrites,"
    " (select n.object_id from ledger.object n where n.bucket = o.bucket and n.key = o.key and n.overwrites ="
    "  o.object_id limit 1)"
    " from ledger.object o"
)


def objects_by_id(connection: Connection, object_ids: Sequence[str]) -> dict[str, ObjectFacts]:
    """Return the objects the ledger has of a list of ids, with their batches."""
    return _objects(connection, f"{_OBJECT} where o.object_id = any(%s)", (list(object_ids),))


def objects_of_key(connection: Connection, bucket: str, key: str) -> tuple[ObjectFacts, ...]:
    """Return every version of a landing key, newest first."""
    found = _objects(connection, f"{_OBJECT} where o.bucket = %s and o.key = %s", (bucket, key))
    return tuple(sorted(found.values(), key=lambda item: (item.first_seen_at, item.object_id), reverse=True))


def objects_beginning(connection: Connection, beginning: str) -> tuple[ObjectFacts, ...]:
    """Return the first few objects whose id begins so."""
    where = f"{_OBJECT} where o.object_id >= %s and o.object_id < %s order by o.object_id limit {MOST_FOUND}"
    return tuple(_objects(connection, where, (beginning, f"{beginning}g")).values())


def objects_at(connection: Connection, entity: str, source_partition: str, position: int) -> tuple[ObjectFacts, ...]:
    """Return the objects whose name promises a position, nearest beginning first."""
    near = (
        "select object_id from ledger.object where entity = %s and source_partition = %s and first_position <= %s"
        f" order by first_position desc limit {NEAR_FILES}"
    )
    found = _objects(
        connection, f"{_OBJECT} where o.object_id in ({near})", (entity, source_partition, position)
    ).values()
    holding = [item for item in found if item.holds(source_partition, position)]
    return tuple(sorted(holding, key=lambda item: (-(item.first_position or 0), item.object_id)))


def batches_beginning(connection: Connection, beginning: str) -> tuple[str, ...]:
    """Return the first few batch ids that begin so."""
    rows = connection.execute(
        "select batch_id from ledger.batch where batch_id >= %s and batch_id < %s"
        f" order by batch_id limit {MOST_FOUND}",
        (beginning, f"{beginning}g"),
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def objects_of_batch(connection: Connection, batch_id: str) -> tuple[ObjectFacts, ...]:
    """Return the objects of a manifest in key order."""
    found = _objects(
        connection,
        f"{_OBJECT} where o.object_id in (select object_id from ledger.batch_object where batch_id = %s)",
        (batch_id,),
    )
    return tuple(sorted(found.values(), key=lambda item: (item.key, item.object_id)))


def batches_by_id(connection: Connection, batch_ids: Sequence[str]) -> dict[str, BatchFacts]:
    """Return the batches the ledger has of a list of ids, with who brought them to each state."""
    actors: dict[str, dict[str, str]] = defaultdict(dict)
    for batch_id, state, actor in connection.execute(
        "select subject_id, to_state, actor from ledger.transition where subject = 'batch' and subject_id = any(%s)"
        " order by transition_id",
        (list(batch_ids),),
    ).fetchall():
        actors[batch_id][state] = actor
    rows = connection.execute(
        "select b.batch_id, b.entity, b.state, b.object_count,"
        " (select count(*) from ledger.batch_object m where m.batch_id = b.batch_id and m.is_skipped), b.row_count,"
        " b.snapshot_id, b.load_seq, b.attempt, coalesce(b.leased_until > clock_timestamp(), false), b.sealed_at,"
        " b.landed_at, b.loaded_at, b.last_error from ledger.batch b where b.batch_id = any(%s)",
        (list(batch_ids),),
    ).fetchall()
    return {row[0]: replace(BatchFacts(*row), actors=dict(actors[row[0]])) for row in rows}


def refreshes_of(connection: Connection, batch_ids: Sequence[str]) -> tuple[RefreshFacts, ...]:
    """Return every refresh that held one of the batches, oldest first; `batch_ids` of each are those asked for."""
    return _refreshes(
        connection,
        "r.refresh_id in (select refresh_id from ledger.refresh_batch where batch_id = any(%s))",
        list(batch_ids),
    )


def refreshes_since(connection: Connection, refresh_id: str) -> tuple[RefreshFacts, ...]:
    """Return a refresh and those of its mart set that started later, oldest first."""
    where = (
        "exists (select 1 from ledger.refresh s where s.refresh_id = any(%s) and s.mart_set = r.mart_set"
        " and s.started_at <= r.started_at)"
    )
    return _refreshes(connection, where, [refresh_id])


def unpublished_batches(connection: Connection) -> tuple[str, ...]:
    """Return the loaded batches that no published refresh holds, oldest first."""
    rows = connection.execute(
        "select batch_id from ledger.batch where state = 'loaded' and published_in is null order by loaded_at"
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def landed_batches(connection: Connection, entity: str) -> tuple[str, ...]:
    """Return an entity's batches that may be in the lake and are not loaded, oldest first."""
    rows = connection.execute(
        "select batch_id from ledger.batch where entity = %s and state <> 'loaded' order by sealed_at", (entity,)
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def quarantined_counts(connection: Connection) -> dict[str, int]:
    """Count the quarantined objects per entity; an entity without one is left out."""
    rows = connection.execute(
        "select entity, count(*) from ledger.object where state = 'quarantined' and entity is not null group by entity"
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def _refreshes(connection: Connection, where: str, ids: list[str]) -> tuple[RefreshFacts, ...]:
    rows = connection.execute(
        "select r.refresh_id, r.state,"
        " array(select batch_id from ledger.refresh_batch m where m.refresh_id = r.refresh_id"
        "  and m.batch_id = any(%s)),"
        " (select count(*) from ledger.refresh_batch m where m.refresh_id = r.refresh_id), r.as_of, r.started_at,"
        " r.ended_at, r.publication_id, r.reasons, r.report, r.dbt_invocation_id, r.dbt_built_at,"
        " (select t.actor from ledger.transition t where t.subject = 'refresh' and t.subject_id = r.refresh_id"
        "  order by t.transition_id desc limit 1)"
        f" from ledger.refresh r where {where} order by r.started_at",
        (ids, ids),
    ).fetchall()
    return tuple(
        RefreshFacts(
            refresh_id=row[0],
            state=row[1],
            batch_ids=frozenset(row[2]),
            batch_count=row[3],
            as_of=utc(row[4]),
            started_at=row[5],
            ended_at=row[6],
            publication_id=row[7],
            reasons=tuple(row[8]),
            report=row[9],
            dbt_invocation_id=row[10],
            dbt_built_at=row[11],
            actor=row[12],
        )
        for row in rows
    )


def _objects(connection: Connection, query: str, arguments: tuple[object, ...]) -> dict[str, ObjectFacts]:
    rows = connection.execute(query, arguments).fetchall()
    ids = [row[0] for row in rows]
    members: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for object_id, batch_id, is_skipped in connection.execute(
        "select m.object_id, m.batch_id, m.is_skipped from ledger.batch_object m join ledger.batch b using (batch_id)"
        " where m.object_id = any(%s) order by b.sealed_at, b.batch_id",
        (ids,),
    ).fetchall():
        members[object_id].append((batch_id, is_skipped))
    seen_by: dict[str, str] = dict(
        connection.execute(
            "select subject_id, min(actor) from ledger.transition where subject = 'object' and subject_id = any(%s)"
            " and from_state is null group by subject_id",
            (ids,),
        ).fetchall()
    )
    return {
        row[0]: replace(
            ObjectFacts(*row),
            batch_ids=tuple(batch_id for batch_id, _ in members[row[0]]),
            skipped_in=frozenset(batch_id for batch_id, is_skipped in members[row[0]] if is_skipped),
            seen_by=seen_by.get(row[0]),
        )
        for row in rows
    }
