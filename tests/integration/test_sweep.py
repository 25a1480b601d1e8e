"""The sweep finds what events lost, and sends again what stands still."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from slackwater.clients.s3 import ObjectStore, aws_client
from slackwater.clients.sqs import Queue
from slackwater.errors import ConfigurationError
from slackwater.landing.intake import open_intake, receive
from slackwater.landing.sweep import sweep
from slackwater.landing.wiring import Wiring
from slackwater.ledger import listings
from slackwater.ledger import status as answers
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_BATCH_SEALED, EVENT_REFRESH_DUE, MART_SET
from slackwater.settings import S3Settings
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench, RecordingBus

pytestmark = pytest.mark.integration


class Swept(Bench):
    """A bench whose landing bucket is swept; no bridge runs."""

    bus: RecordingBus
    wiring: Wiring
    s3: S3Settings

    def sweep(self, **arguments):
        return sweep(ledger=self.ledger, wiring=self.wiring, bus=self.bus, actor="sweep", **arguments)

    def forget_events(self):
        """Lose every event that is on its way."""
        queue = self.wiring.queues[0]
        while messages := queue.receive(wait_seconds=1):
            queue.delete([message.receipt for message in messages])

    def age_folders(self, hours):
        """As if so many hours had passed since the newest object of every day folder."""
        with self.ledger.transaction() as connection:
            connection.execute(
                "update ledger.landing_folder set newest_at = newest_at - make_interval(hours => %s)", (hours,)
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
        found.s3 = sandbox.s3
        found.wiring = Wiring.of(sandbox.s3, landing)
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
    (batch,) = listings.list_batches(swept.ledger)
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
    assert [(item.key, item.reason) for item in listings.list_quarantine(swept.ledger)] == [
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
    (batch,) = listings.list_batches(swept.ledger)
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
    (batch,) = listings.list_batches(swept.ledger)
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
        connection.execute("update ledger.work set raised_at = raised_at - interval '61 s'")
    assert swept.sweep().is_refresh_due_sent
    lease = swept.ledger.claim_work(MART_SET, actor="works")
    with swept.ledger.transaction() as connection:
        connection.execute("update ledger.work set raised_at = raised_at - interval '61 s'")
    assert not swept.sweep().is_refresh_due_sent
    swept.ledger.release_work(lease)


def test_a_rejected_refresh_is_not_announced_until_something_new_is_loaded(swept):
    swept.load(swept.seal("orders", swept.record(LandingFile().key(), "e", 9)), load_seq=1)
    lease = swept.ledger.claim_work(MART_SET, actor="a")
    refresh = swept.ledger.start_refresh(lease, bounds={"orders": 9}, as_of=None)
    swept.ledger.mark_rejected(lease, refresh.refresh_id, reasons=["x"])
    swept.ledger.release_work(lease)
    assert not swept.sweep().is_refresh_due_sent
    swept.load(swept.seal("orders", swept.record(LandingFile(first=3).key(), "e", 9)), load_seq=2)
    assert swept.sweep().is_refresh_due_sent


def test_the_first_sweep_lists_everything_and_the_next_only_what_is_recent_or_unknown(swept):
    old, recent, unknown = (LandingFile(first=3 * day, date=f"2010-12-0{day}") for day in (1, 2, 3))
    swept.write(old)
    assert (swept.sweep().kind, swept.sweep().kind) == ("full", "recent")
    swept.age_folders(25)
    swept.write(recent)
    swept.sweep()
    swept.write(LandingFile(first=100, date="2010-12-01"))  # into the old folder, and its event is lost
    swept.write(LandingFile(first=200, date="2010-12-02"))
    swept.write(unknown)
    report = swept.sweep()
    assert report.kind == "recent"
    assert report.folders == 2
    assert sorted(report.recorded_keys) == sorted([LandingFile(first=200, date="2010-12-02").key(), unknown.key()])
    later = swept.sweep(is_full=True)
    assert (later.kind, later.folders) == ("full", 3)
    assert later.recorded_keys == (LandingFile(first=100, date="2010-12-01").key(),)


def test_everything_is_listed_again_when_the_last_full_sweep_is_a_day_old(swept):
    assert [swept.sweep().kind for _ in range(3)] == ["full", "recent", "recent"]
    with swept.ledger.transaction() as connection:
        connection.execute("update ledger.sweep set started_at = started_at - interval '25 hours'")
    assert [swept.sweep().kind for _ in range(2)] == ["full", "recent"]


def test_a_sweep_that_could_not_list_to_the_end_is_not_remembered_as_a_full_one(swept):
    bucket = swept.landing.bucket
    gone = Wiring.of(swept.s3, swept.landing.model_copy(update={"bucket": f"{bucket}-gone", "wiring": "external"}))
    with pytest.raises(ConfigurationError, match="NoSuchBucket"):
        sweep(ledger=swept.ledger, wiring=gone, bus=swept.bus, actor="sweep")
    assert swept.sweep().kind == "full"


def test_an_object_older_than_everything_known_is_found_whatever_its_time_says(swept):
    """`LastModified` of a multipart upload is its start: here an upload that began before and ended after a sweep."""
    swept.write(LandingFile(first=100))
    swept.sweep()
    with swept.ledger.transaction() as connection:
        connection.execute("update ledger.object set last_modified = last_modified + interval '9 hours'")
    swept.write(LandingFile(first=0))
    assert swept.sweep().recorded_keys == (LandingFile(first=0).key(),)


def test_a_queue_that_is_gone_is_made_again_and_what_it_lost_is_found(swept):
    swept.write(LandingFile())
    settle(swept)
    swept.age_folders(48)
    queue = swept.wiring.queues[0]
    delete_queue(swept, queue.name)
    swept.write(LandingFile(first=3))
    assert not queue.exists()
    report = swept.sweep()
    assert report.kind == "full"
    assert f"queue {queue.name} was gone and was made again" in report.wiring.repairs
    assert report.recorded_keys == (LandingFile(first=3).key(),)
    swept.write(LandingFile(first=6))
    assert any("shop.orders" in message.body for message in drained(queue))
    assert swept.sweep().wiring.is_sound


def test_a_sweep_that_dies_after_its_repair_leaves_the_full_listing_to_the_next(swept):
    swept.write(LandingFile())
    settle(swept)
    swept.age_folders(48)
    swept.forget_events()
    delete_queue(swept, swept.wiring.queues[0].name)
    swept.write(LandingFile(first=3))

    class Dies(ObjectStore):
        def list(self, bucket, prefix=""):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(
            ledger=swept.ledger,
            wiring=replace(swept.wiring, store=Dies(swept.s3)),
            bus=swept.bus,
            actor="sweep",
        )
    assert swept.wiring.queues[0].exists()
    report = swept.sweep()
    assert (report.kind, report.wiring.is_sound) == ("full", True)
    assert report.recorded_keys == (LandingFile(first=3).key(),)


def test_a_notification_that_is_gone_is_made_again_and_said(swept):
    swept.sweep()
    swept.forget_events()
    client = aws_client("s3", swept.s3)
    client.put_bucket_notification_configuration(Bucket=swept.landing.bucket, NotificationConfiguration={})
    swept.write(LandingFile())
    report = swept.sweep()
    assert report.kind == "full"
    assert report.wiring.repairs == (f"the notification of bucket {swept.landing.bucket} was gone and was made again",)
    assert report.recorded_keys == (LandingFile().key(),)
    assert "the notification" in report.summary
    swept.write(LandingFile(first=3))
    assert any("shop.orders" in message.body for message in drained(swept.wiring.queues[0]))


def test_a_notification_that_is_there_is_left_as_it_is(swept):
    queue = swept.wiring.queues[0]
    swept.forget_events()
    for _ in range(3):
        assert swept.sweep().wiring.is_sound
    assert queue.depth() == (0, 0)  # S3 sends a test event each time a notification is put


def test_wiring_that_is_not_ours_is_reported_and_not_made(swept):
    landing = swept.landing.model_copy(
        update={"queue_name": f"{swept.landing.queue_name}-theirs", "wiring": "external"}
    )
    wiring = Wiring.of(swept.s3, landing)
    report = sweep(ledger=swept.ledger, wiring=wiring, bus=swept.bus, actor="sweep")
    assert report.wiring.problems == (f"queue {landing.queue_name} does not exist",)
    assert report.wiring.repairs == ()
    assert not wiring.queues[0].exists()


def test_a_missing_file_is_named_by_the_positions_nobody_brought(swept):
    swept.write(LandingFile(first=0, count=3))
    swept.write(LandingFile(first=10, count=3))
    report = swept.sweep()
    assert report.gap_count == 1
    assert "shop.orders+0+3-9" in report.gaps[0]
    swept.write(LandingFile(first=3, count=7))
    assert swept.sweep().gap_count == 0


def test_an_event_that_comes_after_the_sweep_changes_nothing(swept):
    swept.write(LandingFile())
    settle(swept)
    with open_intake(swept.wiring.queues, receivers=1) as intake:
        received = [
            receive(swept.ledger, intake, swept.landing, wait_seconds=1, max_messages=10, actor="late")
            for _ in range(2)
        ]
    assert sum(item.messages for item in received) >= 1
    assert sum(item.new_objects for item in received) == 0
    assert len(listings.list_batches(swept.ledger)) == 1
    assert len(swept.bus.sent) == 1


def test_more_objects_than_a_page_are_found_and_sealed_in_one_sweep(swept):
    wanted = 1_100
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: swept.store.put(swept.landing.bucket, LandingFile(first=3 * n).key(), b"x"), range(wanted)
            )
        )
    swept.wiring = Wiring.of(swept.s3, swept.landing.model_copy(update={"batch_max_objects": 100}))
    first, second = settle(swept)
    assert (first.listed_objects, first.recorded_objects) == (wanted, wanted)
    assert second.listed_objects == wanted
    sizes = [batch.objects for batch in listings.list_batches(swept.ledger, limit=100)]
    assert sum(sizes) == wanted
    assert max(sizes) == 100


def drained(queue):
    """Every message of a queue."""
    found = []
    while messages := queue.receive(wait_seconds=1):
        found += messages
    return found


def delete_queue(swept, name):
    client = aws_client("sqs", swept.s3)
    client.delete_queue(QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"])
    assert not Queue(swept.s3, name).exists()


def test_a_folder_that_was_listed_is_known_though_it_brought_nothing_new(swept):
    swept.write(LandingFile())
    swept.sweep()
    with swept.ledger.transaction() as connection:
        connection.execute("delete from ledger.landing_folder")  # as after a rebuild of the ledger
    assert swept.sweep().folders == 1
    swept.age_folders(25)
    assert swept.sweep().folders == 0
