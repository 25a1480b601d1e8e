"""Objects in the ledger: what was seen, quarantine, supersession, retry. Functions over an open transaction."""

from collections.abc import Sequence

from psycopg.rows import class_row

from slackwater.clients.postgres import Connection
from slackwater.errors import ConfigurationError, IllegalTransition
from slackwater.ledger.frontier import forget_floor
from slackwater.ledger.journal import Change, record
from slackwater.ledger.model import ObjectState, OpenObject, SeenObject, Subject
from slackwater.naming import ENTITIES

_INSERT = """
insert into ledger.object (
    object_id, bucket, key, etag, version_id, size_bytes, last_modified, entity, source_partition,
    first_position, last_position, epoch, state, reason, message)
select * from unnest(
    %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[],
    %s::bigint[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[])
on conflict (object_id) do nothing
returning object_id
"""
"""One statement however many objects: one round trip, and the counts are kept once."""

_WAITING = """
select w.object_id, w.entity, w.size_bytes,
    extract(epoch from clock_timestamp() - greatest(w.first_seen_at, w.changed_at))::float8 as age_seconds
from unnest(%(entities)s::text[]) wanted cross join lateral (
    select object_id, entity, size_bytes, first_seen_at, changed_at, key from ledger.object
    where state = 'seen' and entity = wanted
    order by greatest(first_seen_at, changed_at), key limit %(limit)s) w
order by w.entity, greatest(w.first_seen_at, w.changed_at), w.key
"""

_FORMER = """
select distinct on (o.key) o.key, o.object_id, o.state,
    o.last_modified is not null and n.last_modified is not null and o.last_modified <= n.last_modified as is_older
from ledger.object o
join ledger.object n on n.bucket = o.bucket and n.key = o.key and n.object_id <> o.object_id
where n.object_id = any(%s)
order by o.key, o.last_modified desc nulls last, o.first_seen_at desc
"""

_LATE = """
select o.object_id, o.source_partition, o.first_position, o.last_position, f.position
from ledger.object o join ledger.purged_floor f using (entity, source_partition)
where o.object_id = any(%s) and o.state = 'seen' and o.last_position >= o.first_position
    and (o.epoch, o.last_position) <= (f.epoch, f.position)
order by o.object_id
"""


def record_objects(connection: Connection, seen: Sequence[SeenObject], *, actor: str) -> tuple[str, ...]:
    """Record object versions; one already known is only touched, one that was superseded and is back is opened again.

    Returns:
        Ids of the objects that were new.
    """
    unique = {item.object_id: item for item in seen}
    known = _touch(connection, sorted(unique), actor=actor)
    new = _insert(connection, [unique[key] for key in sorted(unique) if key not in known])
    changes = [
        Change(Subject.OBJECT, item.object_id, None, _first_state(item), {"key": item.key, "reason": item.reason})
        for item in new
    ]
    record(connection, changes, actor=actor)
    _note_overwritten(connection, new, actor=actor)
    _refuse_late(connection, [item.object_id for item in new], actor=actor)
    return tuple(item.object_id for item in new)


def unknown_ids(connection: Connection, object_ids: Sequence[str]) -> set[str]:
    """Return the ids a listing shows that need recording: never seen, or superseded and now back."""
    rows = connection.execute(
        "select object_id from ledger.object where object_id = any(%s) and state <> 'superseded'", (list(object_ids),)
    ).fetchall()
    return set(object_ids) - {row[0] for row in rows}


def open_objects(connection: Connection, entity: str | None = None, *, limit: int | None = None) -> list[OpenObject]:
    """Return the objects waiting for a batch, oldest first.

    Args:
        connection: Open transaction.
        entity: Only of this entity; None: of all.
        limit: Most objects of one entity, >= 1; None: all of them.
    """
    with connection.cursor(row_factory=class_row(OpenObject)) as cursor:
        cursor.execute(_WAITING, {"entities": [entity] if entity else sorted(ENTITIES), "limit": limit})
        return cursor.fetchall()


def set_aside(
    connection: Connection, object_id: str, to_state: ObjectState, *, reason: str, message: str, actor: str
) -> None:
    """Quarantine or supersede one object.

    Raises:
        IllegalTransition: It is unknown or in a state that does not allow it.
    """
    row = connection.execute(
        "select state, key, batch_id from ledger.object where object_id = %s for update", (object_id,)
    ).fetchone()
    if row is None:
        raise IllegalTransition(f"object {object_id} is not in the ledger")
    detail = {"key": row[1], "reason": reason, "batch_id": row[2]}
    record(connection, [Change(Subject.OBJECT, object_id, row[0], to_state, detail)], actor=actor)
    connection.execute(
        "update ledger.object set state = %s, reason = %s, message = %s, changed_at = clock_timestamp()"
        " where object_id = %s",
        (to_state, reason, message, object_id),
    )
    forget_floor(connection, object_id)


def discard(connection: Connection, object_id: str, *, reason: str, actor: str) -> None:
    """Give a quarantined object up: it counts as missing on purpose and the frontier passes its positions.

    Args:
        connection: Open transaction.
        object_id: A quarantined object.
        reason: Why, in the words of whoever decides; kept with the object and in its history.
        actor: Who decides.

    Raises:
        IllegalTransition: It is unknown or not in quarantine.
        ConfigurationError: The reason is empty.
    """
    if not reason.strip():
        raise ConfigurationError(f"object {object_id} is not discarded without a reason")
    row = connection.execute(
        "select state, key, reason, message from ledger.object where object_id = %s for update", (object_id,)
    ).fetchone()
    if row is None or row[0] != ObjectState.QUARANTINED:
        raise IllegalTransition(f"object {object_id} is not in quarantine; see `slackwater quarantine list`")
    detail = {"key": row[1], "reason": reason, "was": row[2], "message": row[3]}
    record(connection, [Change(Subject.OBJECT, object_id, row[0], ObjectState.DISCARDED, detail)], actor=actor)
    connection.execute(
        "update ledger.object set state = 'discarded', message = %s, changed_at = clock_timestamp()"
        " where object_id = %s",
        (reason, object_id),
    )


def reopen(connection: Connection, object_id: str, *, actor: str) -> str:
    """Move a quarantined or discarded object back to `seen` and return its entity.

    Raises:
        IllegalTransition: It is unknown, in neither state, or its key names no entity or positions.
    """
    row = connection.execute(
        "select state, entity, first_position, key, reason from ledger.object where object_id = %s for update",
        (object_id,),
    ).fetchone()
    if row is None or row[0] not in {ObjectState.QUARANTINED, ObjectState.DISCARDED}:
        raise IllegalTransition(f"object {object_id} is not in quarantine; see `slackwater quarantine list`")
    state, entity, first_position, key, reason = row
    if entity is None or first_position is None:
        raise IllegalTransition(f"object {object_id} ({key}) stays {state} as {reason}: put it under a valid key")
    record(connection, [Change(Subject.OBJECT, object_id, state, ObjectState.SEEN, {"was": reason})], actor=actor)
    connection.execute(
        "update ledger.object set state = 'seen', batch_id = null, reason = null, message = null,"
        " changed_at = clock_timestamp() where object_id = %s",
        (object_id,),
    )
    return str(entity)


def record_rejected_message(connection: Connection, queue: str, body: str, *, reason: str) -> None:
    """Keep a queue message nobody could read (NUL characters, which PostgreSQL cannot hold, are replaced)."""
    connection.execute(
        "insert into ledger.rejected_message (queue, body, reason) values (%s, %s, %s)",
        (queue, body.replace("\x00", "\N{REPLACEMENT CHARACTER}"), reason.replace("\x00", "")),
    )


def _first_state(item: SeenObject) -> ObjectState:
    return ObjectState.QUARANTINED if item.reason else ObjectState.SEEN


def _touch(connection: Connection, object_ids: list[str], *, actor: str) -> set[str]:
    rows = connection.execute(
        "update ledger.object set last_seen_at = clock_timestamp() where object_id = any(%s)"
        " returning object_id, state, entity is not null",
        (object_ids,),
    ).fetchall()
    back = [row[0] for row in rows if row[1] == ObjectState.SUPERSEDED and row[2]]
    changes = [Change(Subject.OBJECT, key, ObjectState.SUPERSEDED, ObjectState.SEEN, {"is_back": True}) for key in back]
    record(connection, changes, actor=actor)
    connection.execute(
        "update ledger.object set state = 'seen', batch_id = null, reason = null, message = null,"
        " changed_at = clock_timestamp() where object_id = any(%s)",
        (back,),
    )
    return {row[0] for row in rows}


def _insert(connection: Connection, items: Sequence[SeenObject]) -> list[SeenObject]:
    if not items:
        return []
    columns = [list(column) for column in zip(*(_row(item) for item in items), strict=True)]
    new = {row[0] for row in connection.execute(_INSERT, columns).fetchall()}
    return [item for item in items if item.object_id in new]


def _row(item: SeenObject) -> tuple[object, ...]:
    return (
        item.object_id, item.bucket, item.key, item.etag, item.version_id, item.size_bytes, item.last_modified,
        item.entity, item.source_partition, item.first_position, item.last_position, item.epoch,
        _first_state(item).value, item.reason, item.message,
    )  # fmt: skip


def _note_overwritten(connection: Connection, new: Sequence[SeenObject], *, actor: str) -> None:
    """Link a new version of a key to the one before; a quarantined one is thereby repaired and no gap any more."""
    by_key = {item.key: item.object_id for item in new}
    for key, former_id, state, is_older in connection.execute(_FORMER, (list(by_key.values()),)).fetchall():
        connection.execute(
            "update ledger.object set overwrites = %s where object_id = %s and overwrites is null",
            (former_id, by_key[key]),
        )
        if state == ObjectState.QUARANTINED and is_older:
            message = f"overwritten by object {by_key[key]}"
            set_aside(connection, former_id, ObjectState.SUPERSEDED, reason="overwritten", message=message, actor=actor)


def _refuse_late(connection: Connection, object_ids: list[str], *, actor: str) -> None:
    """Quarantine new objects whose positions all lie where the lake was purged: what they would change is not known."""
    for object_id, partition, first, last, floor in connection.execute(_LATE, (object_ids,)).fetchall():
        message = (
            f"positions {first} to {last} of {partition} came after everything up to {floor} was purged; its changes"
            " could bring deleted rows back"
        )
        set_aside(connection, object_id, ObjectState.QUARANTINED, reason="too_late", message=message, actor=actor)
