"""Answers for people, read from the ledger: where everything is, what is in flight, what is quarantined.

The shapes are in `answers`. `retry_quarantine` is the one function that acts, through the ledger.
"""

from psycopg.rows import class_row, dict_row

from slackwater.clients.postgres import Connection
from slackwater.errors import ConfigurationError
from slackwater.ledger.answers import (
    Answer,
    BatchDetail,
    BatchLine,
    BatchObjectLine,
    EntityStatus,
    InFlight,
    LedgerStatus,
    OverwrittenKey,
    QuarantineDetail,
    QuarantinedObject,
    RefreshStatus,
    TransitionLine,
    as_json,
)
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, MART_SET

__all__ = [
    "Answer",
    "BatchDetail",
    "BatchLine",
    "BatchObjectLine",
    "EntityStatus",
    "InFlight",
    "LedgerStatus",
    "OverwrittenKey",
    "QuarantineDetail",
    "QuarantinedObject",
    "RefreshStatus",
    "TransitionLine",
    "as_json",
    "in_flight",
    "list_batches",
    "list_quarantine",
    "retry_quarantine",
    "show_batch",
    "show_quarantine",
    "status",
]


def status(ledger: Ledger, *, mart_set: str = MART_SET) -> LedgerStatus:
    """Read where everything is, in one snapshot."""
    with ledger.transaction() as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        return LedgerStatus(
            entities=tuple(_entity_status(connection, entity) for entity in ENTITIES),
            in_flight=_in_flight(connection),
            unplaced=_quarantine(connection, "o.state = 'quarantined' and o.entity is null"),
            overwritten=_overwritten(connection),
            rejected_messages=_count(connection, "select count(*) from ledger.rejected_message"),
            last_refresh=_last_refresh(connection, mart_set),
        )


def in_flight(ledger: Ledger) -> InFlight:
    """Count what is still on its way."""
    with ledger.transaction() as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        return _in_flight(connection)


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
        return _batches(connection, where + " order by b.sealed_at desc, b.batch_id limit %(limit)s", arguments)


def show_batch(ledger: Ledger, batch_id: str) -> BatchDetail:
    """Return a batch with its objects and history; an unambiguous beginning of its id is enough.

    Raises:
        ConfigurationError: No batch or several begin so.
    """
    with ledger.transaction() as connection:
        found = _batches(connection, "starts_with(b.batch_id, %(id)s) limit 2", {"id": batch_id})
        if len(found) != 1:
            raise ConfigurationError(f"{'several batches begin' if found else 'no batch begins'} with {batch_id!r}")
        with connection.cursor(row_factory=class_row(BatchObjectLine)) as cursor:
            cursor.execute(
                "select o.object_id, o.key, o.size_bytes, o.first_position, o.last_position, o.state, m.is_skipped,"
                " m.reason from ledger.batch_object m join ledger.object o using (object_id)"
                " where m.batch_id = %s order by o.key, o.object_id",
                (found[0].batch_id,),
            )
            objects = tuple(cursor.fetchall())
        return BatchDetail(found[0], objects, _history(connection, "batch", found[0].batch_id))


def list_quarantine(ledger: Ledger, *, entity: str | None = None) -> tuple[QuarantinedObject, ...]:
    """Return the quarantined objects, newest first; of one entity when given."""
    with ledger.transaction() as connection:
        where = "o.state = 'quarantined' and (%(entity)s::text is null or o.entity = %(entity)s)"
        return _quarantine(connection, where, {"entity": entity})


def show_quarantine(ledger: Ledger, object_id: str) -> QuarantineDetail:
    """Return one object that was set aside, with its history; an unambiguous beginning of its id is enough.

    Raises:
        ConfigurationError: No such object or several.
    """
    with ledger.transaction() as connection:
        where = "starts_with(o.object_id, %(id)s) and o.state in ('quarantined', 'superseded')"
        found = _quarantine(connection, where, {"id": object_id})
        if len(found) != 1:
            begins = "several objects in quarantine begin" if found else "no object in quarantine begins"
            raise ConfigurationError(f"{begins} with {object_id!r}")
        return QuarantineDetail(found[0], _history(connection, "object", found[0].object_id))


def retry_quarantine(ledger: Ledger, object_id: str, *, actor: str) -> str:
    """Put a quarantined object into a new batch and return that batch's id; the bridge or the sweep sends its event.

    Raises:
        ConfigurationError: No object or several begin with `object_id`.
        IllegalTransition: It is not in quarantine any more, or its key can never be read.
    """
    return ledger.retry_quarantine(show_quarantine(ledger, object_id).item.object_id, actor=actor)


def _entity_status(connection: Connection, entity: str) -> EntityStatus:
    objects = _counts(connection, "select state, count(*) from ledger.object where entity = %s group by 1", entity)
    batches = _counts(
        connection,
        "select case when p.batch_id is null then b.state else 'published' end, count(*) from ledger.batch b"
        " left join (select distinct batch_id from ledger.refresh_batch join ledger.refresh using (refresh_id)"
        "  where state = 'published') p using (batch_id) where b.entity = %s group by 1",
        entity,
    )
    oldest = connection.execute(
        "select extract(epoch from clock_timestamp() - min(o.first_seen_at))::float8 from ledger.object o"
        " where o.entity = %s and o.state in ('seen', 'batched') and not exists ("
        "  select 1 from ledger.refresh_batch m join ledger.refresh r using (refresh_id)"
        "  where m.batch_id = o.batch_id and r.state = 'published')",
        (entity,),
    ).fetchone()
    lag = connection.execute(
        "select extract(epoch from r.ended_at - min(o.first_seen_at))::float8 from ledger.refresh r"
        " join ledger.refresh_batch m using (refresh_id) join ledger.object o using (batch_id)"
        " where r.state = 'published' and o.entity = %s group by r.refresh_id, r.ended_at"
        " order by r.ended_at desc limit 1",
        (entity,),
    ).fetchone()
    error = connection.execute(
        "select last_error from ledger.batch where entity = %s and state <> 'loaded' and last_error is not null"
        " order by touched_at desc limit 1",
        (entity,),
    ).fetchone()
    bad = _quarantine(connection, "o.state = 'quarantined' and o.entity = %(entity)s", {"entity": entity})
    return EntityStatus(
        entity=entity,
        objects=objects,
        batches=batches,
        oldest_unpublished_age_seconds=oldest[0] if oldest else None,
        lag_seconds=lag[0] if lag else None,
        last_error=error[0] if error else None,
        quarantined=tuple(f"{item.key}: {item.reason}" for item in bad),
    )


def _in_flight(connection: Connection) -> InFlight:
    unheld = (
        "select count(*) from ledger.batch b where b.state = 'loaded' and {quantifier} exists ("
        " select 1 from ledger.refresh_batch m join ledger.refresh r using (refresh_id)"
        " where m.batch_id = b.batch_id and r.state = 'rejected') and not exists ("
        " select 1 from ledger.refresh_batch m join ledger.refresh r using (refresh_id)"
        " where m.batch_id = b.batch_id and r.state = 'published')"
    )
    return InFlight(
        open_objects=_count(connection, "select count(*) from ledger.object where state = 'seen'"),
        unloaded_batches=_count(connection, "select count(*) from ledger.batch where state <> 'loaded'"),
        unpublished_batches=_count(connection, unheld.format(quantifier="not")),
        open_refreshes=_count(connection, "select count(*) from ledger.refresh where state in ('building', 'tested')"),
        rejected_batches=_count(connection, unheld.format(quantifier="")),
    )


def _quarantine(
    connection: Connection, where: str, arguments: dict[str, str | None] | None = None
) -> tuple[QuarantinedObject, ...]:
    with connection.cursor(row_factory=class_row(QuarantinedObject)) as cursor:
        cursor.execute(
            "select object_id, key, entity, state, reason, message, size_bytes, first_position, last_position,"
            f" batch_id, overwrites, first_seen_at, changed_at from ledger.object o where {where}"
            " order by changed_at desc, key",
            arguments or {},
        )
        return tuple(cursor.fetchall())


def _overwritten(connection: Connection) -> tuple[OverwrittenKey, ...]:
    with connection.cursor(row_factory=class_row(OverwrittenKey)) as cursor:
        cursor.execute(
            "select n.key, f.object_id as former_object_id, n.object_id, f.state as former_state, n.state"
            " from ledger.object n join ledger.object f on f.object_id = n.overwrites order by n.first_seen_at desc"
        )
        return tuple(cursor.fetchall())


def _last_refresh(connection: Connection, mart_set: str) -> RefreshStatus | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "select refresh_id, mart_set, state, publication_id, reasons, report, started_at, ended_at,"
            " (select count(*) from ledger.refresh_batch m where m.refresh_id = r.refresh_id) as batches"
            " from ledger.refresh r where mart_set = %s order by started_at desc limit 1",
            (mart_set,),
        ).fetchone()
    return RefreshStatus(**{**row, "reasons": tuple(row["reasons"])}) if row else None


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


def _counts(connection: Connection, query: str, entity: str) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(query, (entity,)).fetchall()}


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
