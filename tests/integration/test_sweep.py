"""The sweep finds what events lost, and sends again what stands still."""

import pytest

from slackwater.clients.s3 import ObjectStore
from slackwater.landing.sweep import sweep
from slackwater.ledger import status as answers
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_BATCH_SEALED, EVENT_REFRESH_DUE, MART_SET
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench, RecordingBus

pytestmark = pytest.mark.integration


class Swept(Bench):
    """A bench whose landing bucket is swept; no bridge runs."""

    bus: RecordingBus

    def sweep(self, **arguments):
        return sweep(
            ledger=self.ledger, store=self.store, bus=self.bus, settings=self.landing, actor="sweep", **arguments
        )

    def write(self, file):
        return self.store.put(self.landing.bucket, file.key(), file.parquet())

    def events(self, name):
        return [payload for event, _, payload, _ in self.bus.sent if event == name]


@pytest.fixture
def swept(sandbox):
    landing = sandbox.landing.model_copy(update={"batch_idle_seconds": 0.001, "batch_max_age_seconds": 0.001})
    with Ledger(sandbox.ledger.dsn) as ledger:
        found = Swept(ledger, None, ObjectStore(sandbox.s3), landing)
        found.bus = RecordingBus()
        yield found


def settle(swept):
    """Two sweeps: objects recorded by the first are old enough for a batch in the second."""
    return swept.sweep(), swept.sweep()


def test_an_object_no_event_brought_is_found_sealed_and_announced(swept):
    for number in range(3):
        swept.write(LandingFile(first=3 * number))
    first, second = settle(swept)
    assert (first.listed_objects, first.recorded_objects) == (3, 3)
    assert (second.listed_objects, second.recorded_objects) == (3, 0)
    (batch,) = answers.list_batches(swept.ledger)
    assert batch.objects == 3
    assert swept.events(EVENT_BATCH_SEALED) == [{"batch_id": batch.batch_id, "entity": "orders", "object_count": 3}]
    assert first.sealed_batches + second.sealed_batches == (batch.batch_id,)


def test_a_sweep_over_nothing_new_does_nothing(swept):
    swept.write(LandingFile())
    settle(swept)
    again = swept.sweep()
    assert (again.recorded_objects, again.sealed_batches, again.emitted_batches) == (0, (), ())
    assert len(swept.bus.sent) == 1


def test_an_object_outside_the_prefix_is_not_swept_and_a_bad_key_is_named(swept):
    swept.store.put(swept.landing.bucket, "notes/readme.txt", b"x")
    swept.store.put(swept.landing.bucket, "cdc/carts/x.parquet", b"x")
    report = swept.sweep()
    assert report.listed_objects == 1
    assert [(item.key, item.reason) for item in answers.list_quarantine(swept.ledger)] == [
        ("cdc/carts/x.parquet", "unparseable_key")
    ]


def test_overwritten_content_is_found_by_the_listing(swept):
    swept.write(LandingFile())
    settle(swept)
    swept.write(LandingFile().with_row(0, status="shipped"))
    swept.sweep()
    assert len(answers.status(swept.ledger).overwritten) == 1


def test_a_batch_whose_holder_died_is_announced_again_under_a_new_event_id(swept):
    swept.write(LandingFile())
    settle(swept)
    (batch,) = answers.list_batches(swept.ledger)
    swept.ledger.claim_batch(batch.batch_id, actor="dies")
    assert swept.sweep().emitted_batches == ()
    with swept.ledger.transaction() as connection:
        connection.execute("update ledger.batch set leased_until = clock_timestamp()")
    assert swept.sweep().emitted_batches == (batch.batch_id,)
    assert swept.sweep().emitted_batches == ()
    ids = [event_id for _, _, _, event_id in swept.bus.sent]
    assert len(ids) == len(set(ids)) == 2


def test_a_batch_whose_run_waits_for_a_slot_is_not_announced_again(swept):
    swept.write(LandingFile())
    settle(swept)
    (batch,) = answers.list_batches(swept.ledger)
    assert swept.sweep(grace_seconds=0, awaited={batch.batch_id}).emitted_batches == ()
    assert swept.sweep(grace_seconds=0, awaited={"another"}).emitted_batches == (batch.batch_id,)


def test_a_bus_that_is_down_is_reported_and_loses_nothing(swept):
    swept.bus.is_down = True
    swept.write(LandingFile())
    reports = settle(swept)
    assert reports[1].failed_emissions == 1
    assert "the bus is down" in reports[1].error
    swept.bus.is_down = False
    assert len(swept.sweep().emitted_batches) == 1


def test_a_loaded_batch_nobody_refreshes_is_announced_once_per_grace(swept):
    swept.load(swept.seal("orders", swept.record(LandingFile().key(), "e", 9)), load_seq=1)
    assert swept.sweep().is_refresh_due_sent
    assert not swept.sweep().is_refresh_due_sent
    assert swept.events(EVENT_REFRESH_DUE) == [{"mart_set": MART_SET}]
    with swept.ledger.transaction() as connection:
        connection.execute("update ledger.refresh_flag set raised_at = raised_at - interval '61 s'")
    assert swept.sweep().is_refresh_due_sent
    lease = swept.ledger.claim_refresh(MART_SET, actor="works")
    with swept.ledger.transaction() as connection:
        connection.execute("update ledger.refresh_flag set raised_at = raised_at - interval '61 s'")
    assert not swept.sweep().is_refresh_due_sent
    swept.ledger.release_refresh(lease)


def test_a_rejected_refresh_is_not_announced_until_something_new_is_loaded(swept):
    swept.load(swept.seal("orders", swept.record(LandingFile().key(), "e", 9)), load_seq=1)
    lease = swept.ledger.claim_refresh(MART_SET, actor="a")
    refresh = swept.ledger.start_refresh(lease, bounds={"orders": 9}, as_of=None)
    swept.ledger.mark_rejected(lease, refresh.refresh_id, reasons=["x"])
    swept.ledger.release_refresh(lease)
    assert not swept.sweep().is_refresh_due_sent
    swept.load(swept.seal("orders", swept.record(LandingFile(first=3).key(), "e", 9)), load_seq=2)
    assert swept.sweep().is_refresh_due_sent
