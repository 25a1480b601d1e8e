"""Lists and details for people, and the few things a person may do: retry, discard, drive again. Through the ledger.

The shapes are in `answers`; where everything is at once is in `status`.
"""

from psycopg.rows import class_row

from slackwater.clients.postgres import Connection
from slackwater.errors import ConfigurationError
from slackwater.ledger import batches, objects
from slackwater.ledger.answers import (
    BatchDetail,
    BatchLine,
    BatchObjectLine,
    QuarantineDetail,
    QuarantinedObject,
    TransitionLine,
)
from slackwater.ledger.store import Ledger

_BEGINS = "{column} >= %(id)s and {column} <= %(id)s || 'z' and starts_with({column}, %(id)s)"
"""Ids are hex digits: the range is what an index can serve, whatever the database's collation."""

_SET_ASIDE = "o.state in ('quarantined', 'superseded', 'discarded')"


def list_batches(
    ledger: Ledger, *, entity: str | None = None, state: str | None = None, limit: int = 50
) -> tuple[BatchLine, ...]:
    """Return batches, newest first.

    Args:
        ledger: The ledger.
        entity: Only of this entity.
        state: Only in this state (`sealed`, `landed`, `loaded`).
        limit: Most batches returned, >= 1.
    """
    where = "(%(entity)s::text is null or b.entity = %(entity)s) and (%(state)s::text is null or b.state = %(state)s)"
    with ledger.transaction() as connection:
        arguments = {"entity": entity, "state": state, "limit": limit}
        return _batches(connection, where + " order by b.sealed_at desc, b.batch_id desc limit %(limit)s", arguments)


def show_batch(ledger: Ledger, batch_id: str) -> BatchDetail:
    """Return a batch with its objects and history; an unambiguous beginning of its id is enough.

    Raises:
        ConfigurationError: No batch or several begin so.
    """
    with ledger.transaction() as connection:
        found = _batches(connection, _BEGINS.format(column="b.batch_id") + " limit 2", {"id": batch_id})
        if len(found) != 1:
            raise ConfigurationError(f"{'several batches begin' if found else 'no batch begins'} with {batch_id!r}")
        with connection.cursor(row_factory=class_row(BatchObjectLine)) as cursor:
            cursor.execute(
                "select o.object_id, o.key, o.size_bytes, o.first_position, o.last_position, o.state, m.is_skipped,"
                " m.reason from ledger.batch_object m join ledger.object o using (object_id)"
                " where m.batch_id = %s order by o.key, o.object_id",
                (found[0].batch_id,),
            )
            manifest = tuple(cursor.fetchall())
        return BatchDetail(found[0], manifest, _history(connection, "batch", found[0].batch_id))


def drive_batch_again(ledger: Ledger, batch_id: str) -> BatchLine:
    """Make a batch's event due at once and return the batch; the bridge sends it within seconds.

    Raises:
        ConfigurationError: No batch or several begin with `batch_id`.
        IllegalTransition: The batch is loaded, or a live attempt works on it.
    """
    found = show_batch(ledger, batch_id).batch
    with ledger.transaction() as connection:
        batches.drive_again(connection, found.batch_id)
    return show_batch(ledger, found.batch_id).batch


def list_quarantine(
    ledger: Ledger, *, entity: str | None = None, state: str = "quarantined"
) -> tuple[QuarantinedObject, ...]:
    """Return the objects set aside, newest first.

    Args:
        ledger: The ledger.
        entity: Only of this entity.
        state: `quarantined`, or `discarded` for those somebody gave up.
    """
    with ledger.transaction() as connection:
        where = f"{_SET_ASIDE} and o.state = %(state)s and (%(entity)s::text is null or o.entity = %(entity)s)"
        return quarantined_objects(connection, where, {"entity": entity, "state": state})


def show_quarantine(ledger: Ledger, object_id: str) -> QuarantineDetail:
    """Return one object that was set aside, with its history; an unambiguous beginning of its id is enough.

    Raises:
        ConfigurationError: No such object or several.
    """
    with ledger.transaction() as connection:
        where = f"{_SET_ASIDE} and {_BEGINS.format(column='o.object_id')}"
        found = quarantined_objects(connection, where, {"id": object_id})
        if len(found) != 1:
            begins = "several objects in quarantine begin" if found else "no object in quarantine begins"
            raise ConfigurationError(f"{begins} with {object_id!r}")
        return QuarantineDetail(found[0], _history(connection, "object", found[0].object_id))


def retry_quarantine(ledger: Ledger, object_id: str, *, actor: str) -> str:
    """Put a quarantined or discarded object into a new batch and return that batch's id; its event is due at once.

    Raises:
        ConfigurationError: No object or several begin with `object_id`.
        IllegalTransition: It is not in quarantine any more, or its key can never be read.
    """
    return ledger.retry_quarantine(show_quarantine(ledger, object_id).item.object_id, actor=actor)


def discard_quarantine(ledger: Ledger, object_id: str, *, reason: str, actor: str) -> QuarantinedObject:
    """Give a quarantined object up, with a reason that is recorded; the frontier passes its positions.

    Raises:
        ConfigurationError: No object or several begin with `object_id`, or the reason is empty.
        IllegalTransition: It is not in quarantine.
    """
    found = show_quarantine(ledger, object_id).item.object_id
    with ledger.transaction() as connection:
        objects.discard(connection, found, reason=reason, actor=actor)
    return show_quarantine(ledger, found).item


def quarantined_objects(
    connection: Connection, where: str, arguments: dict[str, str | None] | None = None
) -> tuple[QuarantinedObject, ...]:
    """Return the objects `o` for which a fixed condition holds, newest first."""
    with connection.cursor(row_factory=class_row(QuarantinedObject)) as cursor:
        cursor.execute(
            "select object_id, key, entity, state, reason, message, size_bytes, first_position, last_position,"
            f" batch_id, overwrites, first_seen_at, changed_at from ledger.object o where {where}"
            " order by changed_at desc, key",
            arguments or {},
        )
        return tuple(cursor.fetchall())


def _batches(connection: Connection, where: str, arguments: dict[str, str | int | None]) -> tuple[BatchLine, ...]:
    with connection.cursor(row_factory=class_row(BatchLine)) as cursor:
        cursor.execute(
            "select b.batch_id, b.entity, b.state, b.object_count as objects, b.row_count as rows, b.load_seq,"
            " b.attempt, coalesce(b.leased_until > clock_timestamp(), false) as is_leased, b.sealed_at, b.landed_at,"
            " b.loaded_at, b.last_error,"
            " (select count(*) from ledger.batch_object m where m.batch_id = b.batch_id and is_skipped) as skipped,"
            " r.state as refresh_state, case when r.state = 'published' then r.ended_at end as published_at"
            " from ledger.batch b left join lateral ("
            "  select state, ended_at from ledger.refresh join ledger.refresh_batch m using (refresh_id)"
            f"  where m.batch_id = b.batch_id order by started_at desc limit 1) r on true where {where}",
            arguments,
        )
        return tuple(cursor.fetchall())


def _history(connection: Connection, subject: str, subject_id: str) -> tuple[TransitionLine, ...]:
    with connection.cursor(row_factory=class_row(TransitionLine)) as cursor:
        cursor.execute(
            "select subject, subject_id, from_state, to_state, actor, detail, at from ledger.transition"
            " where subject = %s and subject_id = %s order by transition_id",
            (subject, subject_id),
        )
        return tuple(cursor.fetchall())
