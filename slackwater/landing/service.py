"""Runs the bridge as a process: settings, signals, logging, health endpoint. No logic of its own."""

import json
import logging
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from slackwater.clients.events import EventBus
from slackwater.clients.iceberg import Lake
from slackwater.clients.sqs import Queue
from slackwater.errors import SlackwaterError, TransientError
from slackwater.landing import bridge
from slackwater.landing.health import Health
from slackwater.landing.intake import open_intake
from slackwater.ledger.store import Ledger
from slackwater.recovery.lost_ledger import refuse_lost_ledger
from slackwater.settings import BridgeSettings, EventSettings, LakeSettings, LandingSettings, LedgerSettings, S3Settings

LOG = logging.getLogger("slackwater.bridge")
START_PAUSE_SECONDS = 2.0
LONGEST_EVENT_SECONDS = 10.0
"""Nothing is received while an event is sent; one that was given up is sent again under the same id."""


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (1: it refuses to start)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    for noisy in ("httpx", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set())
    settings, landing, ledger_settings = BridgeSettings(), LandingSettings(), LedgerSettings()
    s3, events = S3Settings(), EventSettings()
    queues = [Queue(s3, name) for name in landing.queue_names]
    ledger = Ledger(ledger_settings.dsn, lease_seconds=ledger_settings.lease_seconds)
    dead_letters = Queue(s3, landing.dead_letter_queue_name)
    health = Health(ledger, queues, dead_letters, stale_seconds=settings.health_stale_seconds)
    server = serve_health(health, settings.health_host, settings.health_port) if settings.health_port else None
    lake = Lake(LakeSettings(), s3)
    patience = events.model_copy(update={"timeout_seconds": min(events.timeout_seconds, LONGEST_EVENT_SECONDS)})
    with ledger, EventBus(patience) as bus, open_intake(queues, receivers=settings.receivers) as intake:
        try:
            if _may_start(ledger, lake, stopped):
                LOG.info("bridge_started queues=%s bucket=%s", ",".join(landing.queue_names), landing.bucket)
                bridge.run(ledger, intake, bus, landing, settings, stopped=stopped, observer=health)
        except SlackwaterError as exc:
            LOG.error("bridge_refuses_to_start %s", exc)  # noqa: TRY400 - the message is enough
            return 1
        finally:
            if server is not None:
                server.shutdown()
    LOG.info("bridge_stopped")
    return 0


def serve_health(health: Health, host: str, port: int) -> ThreadingHTTPServer:
    """Serve `/health` (JSON, 200 or 503) and `/metrics` (Prometheus) in a background thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(health.registry), CONTENT_TYPE_LATEST)
            elif self.path == "/health":
                body = json.dumps(health.document().as_dict(), indent=2).encode()
                self._answer(200 if health.is_healthy() else 503, body, "application/json")
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

    server = ThreadingHTTPServer((host, port), Handler)
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _may_start(ledger: Ledger, lake: Lake, stopped: Event) -> bool:
    """Wait until ledger and lake answer, then check them; False when stopped meanwhile."""
    while not stopped.is_set():
        try:
            refuse_lost_ledger(ledger, lake)
        except TransientError as exc:
            LOG.warning("waiting %s", exc)
            stopped.wait(START_PAUSE_SECONDS)
        else:
            lake.close()
            return True
    return False
