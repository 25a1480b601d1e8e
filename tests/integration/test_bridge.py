"""The bridge over a real queue and ledger: nothing is deleted before it is recorded, nothing is sealed twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import quote_plus

import pytest
from prometheus_client import generate_latest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.sqs import Queue
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.landing import bridge
from slackwater.landing.health import Health
from slackwater.landing.intake import open_intake, receive
from slackwater.landing.sealing import BATCHES_PER_LOOK
from slackwater.ledger import listings
from slackwater.ledger import status as answers
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_BATCH_SEALED
from slackwater.recovery.lost_ledger import refuse_lost_ledger
from slackwater.settings import BridgeSettings
from slackwater.stack.ports import find_free_port_base
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import RecordingBus, seen

pytestmark = pytest.mark.integration


class Yard:
    """A landing bucket with its queue, a ledger, a bus that remembers."""

    def __init__(self, sandbox):
        self.landing = sandbox.landing.model_copy(update={"batch_idle_seconds": 0.3, "batch_max_age_seconds": 2.0})
        self.s3 = sandbox.s3
        self.store = ObjectStore(sandbox.s3)
        self.queue = Queue(sandbox.s3, self.landing.queue_name)
        self.ledger = Ledger(sandbox.ledger.dsn)
        self.bus = RecordingBus()
        self.settings = BridgeSettings(receivers=2)
        self.queues = [self.queue]

    def put(self, file):
        return self.store.put(self.landing.bucket, file.key(), file.parquet())

    def notify(self, file, etag, queue=None):
        """Send what S3 sends, once more or to another queue."""
        item = {"key": quote_plus(file.key()), "size": 10, "eTag": etag}
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": self.landing.bucket}, "object": item}}
        (queue or self.queue).send(json.dumps({"Records": [record]}))

    def tick(self, *, ledger=None, **arguments):
        with open_intake(self.queues, receivers=self.settings.receivers) as intake:
            return bridge.tick(
                ledger or self.ledger, intake, self.bus, self.landing, self.settings, wait_seconds=1, **arguments
            )

    def settle_queue(self):
        """Take the test event a new notification sends."""
        while self.receive().messages:
            pass

    def receive(self):
        """Only receive and record: nothing is sealed."""
        with open_intake(self.queues, receivers=1) as intake:
            return receive(self.ledger, intake, self.landing, wait_seconds=1, max_messages=10, actor="test")

    def health(self, ledger=None):
        dead_letters = Queue(self.s3, self.landing.dead_letter_queue_name)
        return Health(ledger or self.ledger, self.queues, dead_letters, stale_seconds=60)

    def settle(self, *, rounds=20):
        """Tick until a round brings nothing and nothing waits."""
        for _ in range(rounds):
            done = self.tick()
            if not done.is_waiting and done.received.messages == 0:
                return
        raise AssertionError("the bridge did not settle")


@pytest.fixture
def yard(sandbox):
    found = Yard(sandbox)
    yield found
    found.ledger.close()


def test_objects_become_one_batch_per_entity_and_one_event_per_batch(yard):
    for number in range(5):
        yard.put(LandingFile(first=3 * number))
    yard.put(LandingFile(entity="users"))
    yard.settle()
    batches = {item.entity: item for item in listings.list_batches(yard.ledger)}
    assert {name: item.objects for name, item in batches.items()} == {"orders": 5, "users": 1}
    sent = {payload["entity"]: (event, resource, payload) for event, resource, payload, _ in yard.bus.sent}
    assert len(yard.bus.sent) == 2
    batch_id = batches["orders"].batch_id
    assert sent["orders"] == (
        EVENT_BATCH_SEALED,
        "slackwater.entity.orders",
        {"batch_id": batch_id, "entity": "orders", "object_count": 5},
    )
    assert yard.queue.depth() == (0, 0)


def test_a_key_with_spaces_and_utf8_arrives_as_it_was_put(yard):
    file = LandingFile(topic="shop ördérs")
    yard.put(file)
    yard.settle()
    detail = listings.show_batch(yard.ledger, yard.bus.sent[0][2]["batch_id"])
    assert [item.key for item in detail.objects] == [file.key()]


def test_the_same_notification_again_changes_nothing(yard):
    etag = yard.put(LandingFile())
    yard.settle()
    yard.notify(LandingFile(), etag)
    yard.settle()
    assert len(yard.bus.sent) == 1
    assert yard.queue.depth() == (0, 0)


def test_a_message_nobody_can_read_is_kept_in_the_ledger_and_deleted(yard):
    yard.queue.send("what is this")
    yard.put(LandingFile())
    yard.settle()
    found = answers.status(yard.ledger)
    assert found.rejected_messages == 1
    assert len(yard.bus.sent) == 1
    assert yard.queue.depth() == (0, 0)


def test_a_bad_key_is_quarantined_and_its_neighbour_sealed(yard):
    yard.store.put(yard.landing.bucket, "cdc/orders/readme.txt", b"hello")
    yard.store.put(yard.landing.bucket, LandingFile(first=9).key(), b"")
    yard.put(LandingFile())
    yard.settle()
    reasons = {item.key: item.reason for item in listings.list_quarantine(yard.ledger)}
    assert reasons == {"cdc/orders/readme.txt": "unparseable_key", LandingFile(first=9).key(): "empty"}
    assert [payload["object_count"] for _, _, payload, _ in yard.bus.sent] == [1]


def test_nothing_is_received_while_the_ledger_does_not_answer(yard):
    yard.put(LandingFile())
    away = Ledger("postgresql://nobody:x@127.0.0.1:1/none")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            yard.tick(ledger=away)
    assert yard.queue.depth()[1] == 0
    (message,) = [m for m in yard.queue.receive(wait_seconds=1) if "Records" in m.body]
    assert "shop.orders" in message.body


def refuse_objects(yard, *, errcode, position=None):
    """From now on PostgreSQL itself answers the insert of an object (of this first position) with an error."""
    which = "true" if position is None else f"new.first_position = {position}"
    with yard.ledger.transaction() as connection:
        connection.execute(
            "create function ledger.refuse() returns trigger language plpgsql as"
            f" $$ begin if {which} then raise exception 'refused by the test' using errcode = '{errcode}'; end if;"
            " return new; end $$"
        )
        connection.execute(
            "create trigger refuse before insert on ledger.object for each row execute function ledger.refuse()"
        )


TOO_MANY_CONNECTIONS = "53300"
VALUE_OUT_OF_RANGE = "22003"


def test_a_message_is_not_deleted_when_its_row_was_not_committed(yard):
    yard.receive()  # the test event
    yard.put(LandingFile())
    refuse_objects(yard, errcode=TOO_MANY_CONNECTIONS)
    while yard.queue.depth()[0] == 0:
        time.sleep(0.1)
    with pytest.raises(StoreUnavailable):
        yard.tick()
    assert yard.queue.depth()[1] >= 1
    assert yard.ledger.is_empty()


def test_an_event_that_was_not_sent_is_sent_when_the_bus_is_back(yard):
    yard.bus.is_down = True
    yard.put(LandingFile())
    yard.settle()
    assert yard.bus.sent == []
    assert yard.tick().failed_events == 1
    yard.bus.is_down = False
    assert yard.tick().emitted_events == 1
    assert yard.tick().emitted_events == 0


def test_a_batch_sealed_by_a_bridge_that_died_is_announced_by_the_next(yard):
    yard.put(LandingFile())
    while not yard.ledger.open_objects():
        yard.receive()
    yard.ledger.seal("orders", [yard.ledger.open_objects()[0].object_id], actor="bridge that died")
    yard.tick()
    assert len(yard.bus.sent) == 1


def test_two_bridges_at_once_seal_every_object_once(yard, sandbox):
    stopped = threading.Event()
    buses = [RecordingBus(), RecordingBus()]

    def serve(bus):
        queue = Queue(sandbox.s3, yard.landing.queue_name)
        with Ledger(sandbox.ledger.dsn) as ledger, open_intake([queue], receivers=2) as intake:
            observer = yard.health(ledger)
            bridge.run(ledger, intake, bus, yard.landing, yard.settings, stopped=stopped, observer=observer)

    threads = [threading.Thread(target=serve, args=(bus,)) for bus in buses]
    for thread in threads:
        thread.start()
    for number in range(30):
        yard.put(LandingFile(first=3 * number))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sum(b.objects for b in listings.list_batches(yard.ledger)) < 30:
        time.sleep(0.3)
    time.sleep(1)
    stopped.set()
    for thread in threads:
        thread.join()
    batches = listings.list_batches(yard.ledger)
    keys = [item.key for b in batches for item in listings.show_batch(yard.ledger, b.batch_id).objects]
    assert sorted(keys) == sorted(LandingFile(first=3 * number).key() for number in range(30))
    assert {payload["batch_id"] for bus in buses for _, _, payload, _ in bus.sent} == {b.batch_id for b in batches}


def test_a_bridge_with_an_empty_ledger_over_a_full_lake_refuses_to_start(yard, sandbox):
    lake = Lake(sandbox.lake, sandbox.s3)
    refuse_lost_ledger(yard.ledger, lake)
    table = lake.load_table("changes.users")
    table.append(table.scan().to_arrow())
    with pytest.raises(ConfigurationError, match="ledger is empty but the lake is not"):
        refuse_lost_ledger(yard.ledger, lake)
    yard.put(LandingFile())
    yard.settle()
    refuse_lost_ledger(yard.ledger, lake)
    lake.close()


def test_messages_of_one_round_are_one_transaction(yard):
    yard.settle()
    for number in range(40):
        yard.notify(LandingFile(first=3 * number), f"etag {number}")
    done = yard.tick()
    assert (done.received.messages, done.received.new_objects) == (40, 40)
    with yard.ledger.transaction() as connection:
        rows = connection.execute("select count(distinct xmin::text), count(*) from ledger.object").fetchone()
        # sealing touches a row again, so what was left alone says which transactions wrote
        transitions = connection.execute(
            "select count(distinct xmin::text), count(*) from ledger.transition where to_state = 'seen'"
        ).fetchone()
    assert rows[1] == 40
    assert transitions == (1, 40)
    assert yard.queue.depth() == (0, 0)


def test_a_round_ends_when_there_is_enough_and_the_next_takes_the_rest(yard):
    yard.settle()
    yard.settings = yard.settings.model_copy(update={"round_messages": 20})
    for number in range(50):
        yard.notify(LandingFile(first=3 * number), "etag")
    rounds = [yard.tick().received.messages for _ in range(4)]
    assert sum(rounds) == 50
    assert max(rounds) <= 20 + 10 * yard.settings.receivers
    assert rounds[1] > 0


def test_several_queues_are_served_and_one_that_is_gone_does_not_stop_the_others(yard):
    yard.settle()
    landing = yard.landing.model_copy(update={"further_queue_names": f"{yard.queue.name}-b,{yard.queue.name}-gone"})
    yard.queues = [Queue(yard.s3, name) for name in landing.queue_names]
    yard.queues[1].ensure()
    yard.notify(LandingFile(), "a")
    yard.notify(LandingFile(entity="users"), "b", queue=yard.queues[1])
    done = yard.tick()
    assert done.received.new_objects == 2
    assert f"{yard.queue.name}-gone" in done.received.error
    assert yard.queues[1].depth() == (0, 0)


def test_what_the_ledger_cannot_hold_is_kept_as_a_rejected_message_and_its_neighbours_are_recorded(yard):
    yard.settle()
    refuse_objects(yard, errcode=VALUE_OUT_OF_RANGE, position=12)
    for number in range(7):
        yard.notify(LandingFile(first=3 * number), "etag")
    done = yard.tick()
    assert (done.received.new_objects, done.received.rejected_messages) == (6, 1)
    assert yard.queue.depth() == (0, 0)
    with yard.ledger.transaction() as connection:
        ((body, reason),) = connection.execute("select body, reason from ledger.rejected_message").fetchall()
    assert quote_plus(LandingFile(first=12).key()) in body
    assert "refused by the test" in reason


@pytest.mark.parametrize(
    "item",
    [
        {"key": "cdc/orders/date=2010-12-01/hour=08/shop.orders%2B0%2B0-2.parquet", "size": 2**70, "eTag": "e"},
        {"key": "cdc/" + "x" * 5_000, "size": 1, "eTag": "e"},
        {"key": "cdc/\ud800", "size": 1, "eTag": "e"},
        {"key": "cdc/a", "size": 1, "eTag": "e" * 5_000},
    ],
    ids=["size", "long key", "half a surrogate", "long etag"],
)
def test_a_message_made_to_break_the_ledger_stops_nobody(yard, item):
    yard.settle()
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": item}}
    yard.queue.send(json.dumps({"Records": [record]}))
    yard.notify(LandingFile(), "etag")
    done = yard.tick()
    assert (done.received.new_objects, done.received.rejected_messages) == (1, 1)
    assert yard.queue.depth() == (0, 0)


def test_nothing_is_received_while_too_many_objects_wait_and_sealing_goes_on(yard):
    yard.settings = yard.settings.model_copy(update={"max_waiting_objects": 10})
    yard.landing = yard.landing.model_copy(update={"batch_max_objects": 6, "batch_idle_seconds": 60.0})
    yard.receive()
    for number in range(9):
        yard.notify(LandingFile(first=3 * number), "etag")
    while len(yard.ledger.open_objects()) < 9:
        yard.receive()
    yard.notify(LandingFile(first=999), "etag")
    yard.notify(LandingFile(first=1_999), "etag")
    yard.receive()
    assert len(yard.ledger.open_objects()) == 11
    yard.notify(LandingFile(first=2_999), "etag")
    held = yard.tick()
    assert (held.is_held_back, held.received.messages, held.sealed_batches) == (True, 0, 1)
    assert yard.queue.depth() == (1, 0)
    free = yard.tick()
    assert (free.is_held_back, free.received.new_objects) == (False, 1)


def test_a_hundred_times_more_waiting_objects_are_sealed_by_looks_of_the_same_size(yard):
    yard.landing = yard.landing.model_copy(update={"batch_max_objects": 10})
    seen_objects = [seen(LandingFile(first=3 * number), bucket=yard.landing.bucket) for number in range(205)]
    yard.ledger.record_objects(seen_objects, actor="test")
    done = yard.tick()
    assert (done.sealed_batches, done.has_more) == (BATCHES_PER_LOOK, True)
    for _ in range(20):
        yard.tick()
    assert [batch.objects for batch in listings.list_batches(yard.ledger)] == [10] * 20
    assert len(yard.ledger.open_objects()) == 5  # they gather: two batches are on their way


def test_health_tells_of_queues_waiting_objects_and_batches(yard):
    yard.landing = yard.landing.model_copy(update={"batch_idle_seconds": 60.0, "batch_max_age_seconds": 60.0})
    yard.settle_queue()
    health = yard.health()
    assert not health.is_healthy()
    yard.bus.is_down = True
    etag = yard.put(LandingFile())
    assert etag
    done = yard.tick()
    while done.received.new_objects == 0:
        done = yard.tick()
    yard.queue.send("what is this")
    health.observe(done)
    health.look_around()
    found = health.document()
    assert health.is_healthy()
    assert found.waiting_objects == {"orders": 1}
    assert found.queues[yard.queue.name].visible_messages == 1
    assert found.dead_letters == 0
    yard.ledger.seal("orders", [yard.ledger.open_objects()[0].object_id], actor="test")
    failing = yard.tick()
    later = yard.health()
    later.observe(failing)
    later.look_around()
    document = later.document()
    assert (document.unsent_events, document.unloaded_batches, document.waiting_objects) == (1, {"orders": 1}, {})
    text = generate_latest(later.registry).decode()
    assert "slackwater_bridge_emit_failures_total 1.0" in text
    assert f'slackwater_bridge_queue_visible_messages{{queue="{yard.queue.name}"}} 0.0' in text


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status, answer.read().decode()


def test_the_service_works_reports_its_health_and_stops_on_sigterm(yard, sandbox):
    assert sandbox.lake
    port = find_free_port_base()
    env = {
        **os.environ,
        **sandbox.env,
        "SLACKWATER_BRIDGE_HEALTH_PORT": str(port),
        "SLACKWATER_EVENTS_API_URL": "http://127.0.0.1:1/api",
        "SLACKWATER_LANDING_BATCH_IDLE_SECONDS": "0.3",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "slackwater.landing.bridge"], env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        yard.put(LandingFile())
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not listings.list_batches(yard.ledger):
            assert process.poll() is None
            time.sleep(0.3)
        assert [item.objects for item in listings.list_batches(yard.ledger)] == [1]
        deadline = time.monotonic() + 20
        while (
            time.monotonic() < deadline
            and "slackwater_bridge_sealed_batches_total 1.0" not in get(f"http://127.0.0.1:{port}/metrics")[1]
        ):
            time.sleep(0.3)
        assert "slackwater_bridge_sealed_batches_total 1.0" in get(f"http://127.0.0.1:{port}/metrics")[1]
        status, body = get(f"http://127.0.0.1:{port}/health")
        assert (status, json.loads(body)["status"]) == (200, "ok")
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "batch_sealed" in output
    assert "events_not_sent" in output
    assert "bridge_stopped" in output
