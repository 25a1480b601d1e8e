"""The bridge when something is not there, dies or lies: nothing is lost, nothing is sealed twice."""

import json
import threading
import time
from urllib.parse import quote_plus

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.sqs import Queue
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.landing import bridge
from slackwater.landing.intake import open_intake
from slackwater.ledger import listings
from slackwater.ledger.store import Ledger
from slackwater.recovery.lost_ledger import refuse_lost_ledger
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import RecordingBus

pytestmark = pytest.mark.integration


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
