"""Alerts leave Prefect: an event of each kind reaches a local receiver as JSON, and none does without an address."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from slackwater.alerts import apply_alerts, load_alerts
from slackwater.clients.events import EventBus
from slackwater.clients.prefect_api import PrefectApi
from slackwater.clients.snowflake import Warehouse
from slackwater.naming import (
    EVENT_GATE_FAILED,
    EVENT_MARTS_STALE,
    EVENT_SCHEMA_CHANGED,
    mart_set_resource,
    table_resource,
)
from slackwater.settings import AlertSettings, EventSettings
from slackwater.stack.environment import full_environment
from slackwater.stack.profile import Profile
from slackwater.stack.systems import Systems
from slackwater.warehouse import audit

pytestmark = pytest.mark.e2e

ARRIVAL_SECONDS = 60
SILENCE_SECONDS = 8
RUN_SECONDS = 120

CASES = {
    "slackwater-gate-failed": (
        EVENT_GATE_FAILED,
        mart_set_resource("alerts-test"),
        {"refresh_id": "r1", "reasons": 'STAGING.STG_ORDERS: "amount" < 0', "report": "/scans/r1.html"},
        'Refresh r1 was rejected: STAGING.STG_ORDERS: "amount" < 0. Report: /scans/r1.html',
    ),
    "slackwater-mart-stale": (
        EVENT_MARTS_STALE,
        mart_set_resource("alerts-test"),
        {"mart_set": "alerts-test", "age_minutes": 1500, "cause": "nothing was loaded since"},
        "The marts alerts-test are 1500 minutes old: nothing was loaded since",
    ),
    "slackwater-schema-changed": (
        EVENT_SCHEMA_CHANGED,
        table_resource("RAW.PRODUCTS"),
        {"object": "RAW.PRODUCTS.BRAND", "what": "added", "actor": "cli:ada"},
        "Schema: RAW.PRODUCTS.BRAND: added",
    ),
}


class Receiver:
    """An HTTP server on a free local port that keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: queue.Queue[dict[str, Any]] = queue.Queue()
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posts.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_for(self, value: str, seconds: float, *, name: str = "marker") -> dict[str, Any] | None:
        """Return the post whose payload has the test's own value; others are of the system's life."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                post = self.posts.get(timeout=left)
            except queue.Empty:
                return None
            if post["payload"].get(name) == value:
                return post
        return None


@pytest.fixture(scope="module")
def events(live_stack: Profile) -> EventSettings:
    return Systems.from_environment(full_environment(live_stack)).events


@pytest.fixture
def receiver(events: EventSettings) -> Iterator[Receiver]:
    """A receiver all alerts are on for; they are off again afterwards."""
    listening = Receiver()
    with PrefectApi(events) as api:
        try:
            apply_alerts(api, load_alerts(), AlertSettings(webhook_url=SecretStr(listening.url)))
            yield listening
        finally:
            apply_alerts(api, load_alerts(), AlertSettings())
            listening.close()


def _sent(events: EventSettings, alert: str) -> str:
    """Send the event of an alert and return the mark its payload carries."""
    event, resource, payload, _ = CASES[alert]
    marker = uuid4().hex
    with EventBus(events) as bus:
        bus.emit(event, resource, {**payload, "marker": marker}, event_id=marker)
    return marker


@pytest.mark.parametrize("alert", CASES)
def test_event_reaches_the_webhook_as_json(events: EventSettings, receiver: Receiver, alert: str) -> None:
    event, resource, payload, text = CASES[alert]
    began = datetime.now(UTC)

    post = receiver.wait_for(_sent(events, alert), ARRIVAL_SECONDS)

    assert post is not None, f"nothing arrived within {ARRIVAL_SECONDS} s"
    assert (post["alert"], post["text"]) == (alert, text)
    assert (post["event"], post["resource"]) == (event, resource)
    assert {name: post["payload"][name] for name in payload} == payload
    assert abs(datetime.fromisoformat(post["occurred"]) - began) < timedelta(minutes=5)


def test_alerts_are_off_when_no_address_is_set(events: EventSettings, receiver: Receiver) -> None:
    assert receiver.wait_for(_sent(events, "slackwater-gate-failed"), ARRIVAL_SECONDS) is not None  # they were on
    with PrefectApi(events) as api:
        assert not any(one.is_enabled for one in apply_alerts(api, load_alerts(), AlertSettings()))

    assert receiver.wait_for(_sent(events, "slackwater-gate-failed"), SILENCE_SECONDS) is None


def test_applying_again_leaves_one_automation_of_each_name(events: EventSettings, receiver: Receiver) -> None:
    with PrefectApi(events) as api:
        apply_alerts(api, load_alerts(), AlertSettings(webhook_url=SecretStr(receiver.url)))
    marker = _sent(events, "slackwater-mart-stale")
    assert receiver.wait_for(marker, ARRIVAL_SECONDS) is not None
    assert receiver.wait_for(marker, SILENCE_SECONDS) is None  # a second automation would post it twice


def test_watch_announces_a_schema_change_and_reports_fresh_marts(
    events: EventSettings, live_stack: Profile, receiver: Receiver
) -> None:
    table = f"RAW.ALERTS_{uuid4().hex}"
    deed = audit.Deed(audit.SCHEMA_CHANGE, table, {"step": "add", "to": "varchar"})
    with Warehouse(Systems.from_environment(full_environment(live_stack)).warehouse) as warehouse:
        audit.begin(warehouse, deed, actor="cli:ada")
        audit.finish(warehouse, deed)

    with PrefectApi(events) as api:
        run = api.start_run("watch-marts/quarter-hourly", {})
        deadline = time.monotonic() + RUN_SECONDS
        while not run.is_finished and time.monotonic() < deadline:
            time.sleep(1)
            run = api.flow_run(run.id)

    assert run.state_type == "COMPLETED", run.state_message
    assert "The marts are fresh" in run.state_message
    post = receiver.wait_for(table, ARRIVAL_SECONDS, name="object")
    assert post is not None
    assert (post["alert"], post["payload"]["actor"]) == ("slackwater-schema-changed", "cli:ada")
