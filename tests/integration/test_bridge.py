"""The bridge over a real queue and ledger: nothing is deleted before it is recorded, nothing is sealed twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.sqs import Queue
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.landing import bridge
from slackwater.ledger import status as answers
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_BATCH_SEALED
from slackwater.stack.ports import find_free_port_base
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import RecordingBus

pytestmark = pytest.mark.integration


class Yard:
    """A landing bucket with its queue, a ledger, a bus that remembers."""

    def __init__(self, sandbox):
        self.landing = sandbox.landing.model_copy(update={"batch_idle_seconds": 0.3, "batch_max_age_seconds": 2.0})
        self.store = ObjectStore(sandbox.s3)
        self.queue = Queue(sandbox.s3, self.landing.queue_name)
        self.ledger = Ledger(sandbox.ledger.dsn)
        self.bus = RecordingBus()

    def put(self, file):
        return self.store.put(self.landing.bucket, file.key(), file.parquet())

    def tick(self, *, ledger=None):
        return bridge.tick(ledger or self.ledger, self.queue, self.bus, self.landing, wait_seconds=1)

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
    batches = {item.entity: item for item in answers.list_batches(yard.ledger)}
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
    detail = answers.show_batch(yard.ledger, yard.bus.sent[0][2]["batch_id"])
    assert [item.key for item in detail.objects] == [file.key()]


def test_the_same_notification_again_changes_nothing(yard):
    etag = yard.put(LandingFile())
    yard.settle()
    item = {"key": LandingFile().key(), "size": 10, "eTag": etag}
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": yard.landing.bucket}, "object": item}}
    yard.queue.send(json.dumps({"Records": [record]}))
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
    reasons = {item.key: item.reason for item in answers.list_quarantine(yard.ledger)}
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


def test_a_message_is_not_deleted_when_its_row_was_not_committed(yard, sandbox):
    bridge.receive_once(yard.ledger, yard.queue, yard.landing, wait_seconds=1)  # the test event
    yard.put(LandingFile())

    class Failing(Ledger):
        def record_objects(self, seen, *, actor):
            raise StoreUnavailable("away between receive and commit")

    while yard.queue.depth()[0] == 0:
        time.sleep(0.1)
    with Failing(sandbox.ledger.dsn) as failing, pytest.raises(StoreUnavailable):
        yard.tick(ledger=failing)
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
        bridge.receive_once(yard.ledger, yard.queue, yard.landing, wait_seconds=1)
    yard.ledger.seal("orders", [yard.ledger.open_objects()[0].object_id], actor="bridge that died")
    yard.tick()
    assert len(yard.bus.sent) == 1


def test_two_bridges_at_once_seal_every_object_once(yard, sandbox):
    stopped = threading.Event()
    buses = [RecordingBus(), RecordingBus()]

    def serve(bus):
        with Ledger(sandbox.ledger.dsn) as ledger:
            queue = Queue(sandbox.s3, yard.landing.queue_name)
            bridge.run(ledger, queue, bus, yard.landing, stopped=stopped)

    threads = [threading.Thread(target=serve, args=(bus,)) for bus in buses]
    for thread in threads:
        thread.start()
    for number in range(30):
        yard.put(LandingFile(first=3 * number))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sum(b.objects for b in answers.list_batches(yard.ledger)) < 30:
        time.sleep(0.3)
    time.sleep(1)
    stopped.set()
    for thread in threads:
        thread.join()
    batches = answers.list_batches(yard.ledger)
    keys = [item.key for b in batches for item in answers.show_batch(yard.ledger, b.batch_id).objects]
    assert sorted(keys) == sorted(LandingFile(first=3 * number).key() for number in range(30))
    assert {payload["batch_id"] for bus in buses for _, _, payload, _ in bus.sent} == {b.batch_id for b in batches}


def test_a_bridge_with_an_empty_ledger_over_a_full_lake_refuses_to_start(yard, sandbox):
    lake = Lake(sandbox.lake, sandbox.s3)
    bridge.refuse_empty_ledger(yard.ledger, lake)
    table = lake.load_table("changes.users")
    table.append(table.scan().to_arrow())
    with pytest.raises(ConfigurationError, match="ledger is empty but the lake is not"):
        bridge.refuse_empty_ledger(yard.ledger, lake)
    yard.put(LandingFile())
    yard.settle()
    bridge.refuse_empty_ledger(yard.ledger, lake)
    lake.close()


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
        while time.monotonic() < deadline and not answers.list_batches(yard.ledger):
            assert process.poll() is None
            time.sleep(0.3)
        assert [item.objects for item in answers.list_batches(yard.ledger)] == [1]
        deadline = time.monotonic() + 20
        while (
            time.monotonic() < deadline
            and "slackwater_bridge_sealed_batches_total 1.0" not in get(f"http://127.0.0.1:{port}/metrics")[1]
        ):
            time.sleep(0.3)
        assert "slackwater_bridge_sealed_batches_total 1.0" in get(f"http://127.0.0.1:{port}/metrics")[1]
        assert get(f"http://127.0.0.1:{port}/health") == (200, "ok\n")
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "batch_sealed" in output
    assert "events_not_sent" in output
    assert "bridge_stopped" in output
