"""The bridge over a real queue and ledger: nothing is deleted before it is recorded, nothing is sealed twice."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from prometheus_client import generate_latest

from slackwater.clients.sqs import Queue
from slackwater.landing.sealing import BATCHES_PER_LOOK
from slackwater.ledger import listings
from slackwater.ledger import status as answers
from slackwater.naming import EVENT_BATCH_SEALED
from slackwater.stack.ports import find_free_port_base
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import seen

pytestmark = pytest.mark.integration


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
