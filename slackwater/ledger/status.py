"""Where everything is at one moment, and what is still on its way. The shapes are in `answers`.

No question here reads the whole history: counts come from the tally, the rest from what is in flight or set aside.
"""

from psycopg.rows import class_row, dict_row

from slackwater.clients.postgres import Connection
from slackwater.ledger.answers import EntityStatus, InFlight, LedgerStatus, OverwrittenKey, RefreshStatus
from slackwater.ledger.gaps import missing_ranges
from slackwater.ledger.listings import quarantined_objects
from slackwater.ledger.store import Ledger
from slackwater.ledger.tallies import Tally, read_tally
from slackwater.naming import ENTITIES, MART_SET

_OLDEST_UNPUBLISHED = """
select extract(epoch from clock_timestamp() - min(first_seen_at))::float8 from (
    (select first_seen_at from ledger.object
     where state = 'seen' and entity = %(entity)s order by first_seen_at limit 1)
    union all
    select o.first_seen_at from ledger.batch b join ledger.object o using (batch_id)
    where b.published_in is null and b.entity = %(entity)s and o.state = 'batched') waiting
"""

_LAG = """
with newest as (
    select published_in as refresh_id from ledger.batch
    where entity = %(entity)s and state = 'loaded' and published_in is not null order by load_seq desc limit 1)
select extract(epoch from r.ended_at - (
    select min(o.first_seen_at) from ledger.refresh_batch m join ledger.batch b using (batch_id)
    join ledger.object o using (batch_id) where m.refresh_id = r.refresh_id and b.entity = %(entity)s))::float8
from newest join ledger.refresh r using (refresh_id)
"""

_UNPUBLISHED = """
select count(*) from ledger.batch b
where b.state = 'loaded' and b.published_in is null and {quantifier} exists (
    select 1 from ledger.refresh_batch m join ledger.refresh r using (refresh_id)
    where m.batch_id = b.batch_id and r.state = 'rejected')
"""


def status(ledger: Ledger, *, mart_set: str = MART_SET) -> LedgerStatus:
    """Read where everything is, in one snapshot."""
    with ledger.transaction() as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        tally = read_tally(connection)
        return LedgerStatus(
            entities=tuple(_entity_status(connection, entity, tally) for entity in ENTITIES),
            in_flight=_in_flight(connection, tally),
            unplaced=quarantined_objects(connection, "o.state = 'quarantined' and o.entity is null"),
            overwritten=_overwritten(connection),
            gaps=missing_ranges(connection),
            rejected_messages=_count(connection, "select count(*) from ledger.rejected_message"),
            last_refresh=_last_refresh(connection, mart_set),
        )


def in_flight(ledger: Ledger) -> InFlight:
    """Count what is still on its way."""
    with ledger.transaction() as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        return _in_flight(connection, read_tally(connection))


def _entity_status(connection: Connection, entity: str, tally: Tally) -> EntityStatus:
    oldest = connection.execute(_OLDEST_UNPUBLISHED, {"entity": entity}).fetchone()
    lag = connection.execute(_LAG, {"entity": entity}).fetchone()
    error = connection.execute(
        "select last_error from ledger.batch where entity = %s and state <> 'loaded' and last_error is not null"
        " order by touched_at desc limit 1",
        (entity,),
    ).fetchone()
    bad = quarantined_objects(connection, "o.state = 'quarantined' and o.entity = %(entity)s", {"entity": entity})
    return EntityStatus(
        entity=entity,
        objects=dict(tally.objects.get(entity, {})),
        batches=dict(tally.batches.get(entity, {})),
        oldest_unpublished_age_seconds=oldest[0] if oldest else None,
        lag_seconds=lag[0] if lag else None,
        last_error=error[0] if error else None,
        quarantined=tuple(f"{item.key}: {item.reason}" for item in bad),
    )


def _in_flight(connection: Connection, tally: Tally) -> InFlight:
    return InFlight(
        open_objects=tally.objects_in("seen"),
        unloaded_batches=_count(connection, "select count(*) from ledger.batch where state <> 'loaded'"),
        unpublished_batches=_count(connection, _UNPUBLISHED.format(quantifier="not")),
        open_refreshes=_count(connection, "select count(*) from ledger.refresh where state in ('building', 'tested')"),
        rejected_batches=_count(connection, _UNPUBLISHED.format(quantifier="")),
    )


def _overwritten(connection: Connection) -> tuple[OverwrittenKey, ...]:
    with connection.cursor(row_factory=class_row(OverwrittenKey)) as cursor:
        cursor.execute(
            "select n.key, f.object_id as former_object_id, n.object_id, f.state as former_state, n.state"
            " from ledger.object n join ledger.object f on f.object_id = n.overwrites"
            " where n.overwrites is not null order by n.first_seen_at desc"
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


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
