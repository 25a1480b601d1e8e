"""Steps of objects, batches and refreshes through a ledger, as its tests take them."""

from datetime import UTC, datetime

from slackwater.naming import MART_SET
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import seen

BOUNDS = {"orders": 10, "users": 10}


def record(ledger, *files):
    items = [seen(file) for file in files]
    ledger.record_objects(items, actor="test")
    return [item.object_id for item in items]


def sealed(ledger, first=0, entity="orders"):
    batch_id = ledger.seal(entity, record(ledger, LandingFile(entity=entity, first=first)), actor="test")
    assert batch_id is not None
    return batch_id


def loaded(ledger, first=0, *, load_seq=1, entity="orders"):
    batch_id = sealed(ledger, first, entity)
    lease = ledger.claim_batch(batch_id, actor="test")
    ledger.mark_landed(lease, snapshot_id=1, row_count=3)
    ledger.mark_loaded(lease, load_seq=load_seq)
    return batch_id


def expire_leases(ledger):
    with ledger.transaction() as connection:
        for table in ("batch", "work"):
            connection.execute(
                f"update ledger.{table} set leased_until = clock_timestamp() - interval '1 s'"
                " where leased_until is not null"
            )


def age_batches(ledger, seconds):
    with ledger.transaction() as connection:
        connection.execute(
            "update ledger.batch set emitted_at = emitted_at - make_interval(secs => %(s)s),"
            " touched_at = touched_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )


def due(ledger, **arguments):
    return [(item.batch_id, item.emission) for item in ledger.due_batches(grace_seconds=60, **arguments)]


def transitions(ledger, subject_id):
    with ledger.transaction() as connection:
        rows = connection.execute(
            "select from_state, to_state from ledger.transition where subject_id = %s order by transition_id",
            (subject_id,),
        ).fetchall()
    return [tuple(row) for row in rows]


def start(ledger, lease, bounds=BOUNDS, **arguments):
    return ledger.start_refresh(lease, bounds=bounds, as_of=datetime(2010, 12, 1, tzinfo=UTC), **arguments)


def publish_all(ledger):
    lease = ledger.claim_work(MART_SET, actor="a")
    refresh = start(ledger, lease)
    ledger.mark_tested(lease, refresh.refresh_id)
    ledger.mark_published(lease, refresh.refresh_id, publication_id="p")
    ledger.release_work(lease)
