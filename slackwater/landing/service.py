"""Runs the bridge as a process: settings, signals, logging, health endpoint. No logic of its own."""

import logging
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from slackwater.clients.events import EventBus
from slackwater.clients.iceberg import Lake
from slackwater.clients.sqs import Queue
from slackwater.errors import SlackwaterError, TransientError
from slackwater.landing import bridge
from slackwater.ledger.store import Ledger
from slackwater.settings import BridgeSettings, EventSettings, LakeSettings, LandingSettings, LedgerSettings, S3Settings

LOG = logging.getLogger("slackwater.bridge")
START_PAUSE_SECONDS = 2.0


class Health:
    """What the health endpoint tells: when a round last succeeded, and counters."""

    def __init__(self, *, stale_seconds: float) -> None:
        self.registry = CollectorRegistry()
        self._stale_seconds = stale_seconds
        self._last_success: float | None = None
        self._messages = self._counter("messages", "Queue messages received.")
        self._objects = self._counter("objects", "Objects recorded for the first time.")
        self._rejected = self._counter("rejected_messages", "Messages that could not be read.")
        self._sealed = self._counter("sealed_batches", "Batches made.")
        self._emitted = self._counter("emitted_events", "Events sent.")
        self._failed = self._counter("failed_rounds", "Rounds that failed.")
        self._unsent = Gauge("slackwater_bridge_unsent_events", "Events that wait.", registry=self.registry)

    def observe(self, tick: bridge.Tick | None) -> None:
        """Count one round; None is a failed one."""
        if tick is None:
            self._failed.inc()
            return
        self._last_success = time.monotonic()
        self._messages.inc(tick.received.messages)
        self._objects.inc(tick.received.new_objects)
        self._rejected.inc(tick.received.rejected_messages)
        self._sealed.inc(tick.sealed_batches)
        self._emitted.inc(tick.emitted_events)
        self._unsent.set(tick.failed_events)

    def is_healthy(self) -> bool:
        """Say whether a round succeeded lately."""
        return self._last_success is not None and time.monotonic() - self._last_success < self._stale_seconds

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"slackwater_bridge_{name}", text, registry=self.registry)


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (1: it refuses to start)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    for noisy in ("httpx", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set())
    settings, landing, ledger_settings = BridgeSettings(), LandingSettings(), LedgerSettings()
    s3 = S3Settings()
    health = Health(stale_seconds=settings.health_stale_seconds)
    server = serve_health(health, port=settings.health_port) if settings.health_port else None
    lake = Lake(LakeSettings(), s3)
    ledger = Ledger(ledger_settings.dsn, lease_seconds=ledger_settings.lease_seconds)
    with ledger, EventBus(EventSettings()) as bus:
        try:
            if _may_start(ledger, lake, stopped):
                LOG.info("bridge_started queue=%s bucket=%s", landing.queue_name, landing.bucket)
                queue = Queue(s3, landing.queue_name)
                bridge.run(ledger, queue, bus, landing, stopped=stopped, observe=health.observe)
        except SlackwaterError as exc:
            LOG.error("bridge_refuses_to_start %s", exc)  # noqa: TRY400 - the message is enough
            return 1
        finally:
            if server is not None:
                server.shutdown()
    LOG.info("bridge_stopped")
    return 0


def serve_health(health: Health, *, port: int) -> ThreadingHTTPServer:
    """Serve `/health` (200 or 503) and `/metrics` (Prometheus) on loopback in a background thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(health.registry), CONTENT_TYPE_LATEST)
            elif self.path == "/health":
                is_healthy = health.is_healthy()
                self._answer(200 if is_healthy else 503, b"ok\n" if is_healthy else b"no round succeeded lately\n")
            else:
                self._answer(404, b"not found\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep requests out of the log."""

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _may_start(ledger: Ledger, lake: Lake, stopped: Event) -> bool:
    """Wait until ledger and lake answer, then check them; False when stopped meanwhile."""
    while not stopped.is_set():
        try:
            bridge.refuse_empty_ledger(ledger, lake)
        except TransientError as exc:
            LOG.warning("waiting %s", exc)
            stopped.wait(START_PAUSE_SECONDS)
        else:
            lake.close()
            return True
    return False
