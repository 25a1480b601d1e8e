"""The bridge under a steady stream of events, and its memory with many objects waiting.

The service itself runs, as a process, over a real queue and ledger; what it sends goes to a small HTTP server here that
answers as Prefect does. Nobody loads the batches. Events are those of S3 for objects that need not exist: the bridge
opens none.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote_plus

import psutil
from memory import service_processes
from stacks import REPOSITORY, BenchStack

from slackwater.clients.sqs import Queue
from slackwater.landing.s3_notice import parse_notification, seen_object
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES
from slackwater.stack import bootstrap

QUEUED_AT_MOST = 2_000
"""The emulated queue reads all of its messages for every request, so a deep one measures the emulator."""

RECORDED_AT_ONCE = 1_000
DAYS = 300
QUIET_SECONDS = 900.0


@dataclass(frozen=True)
class BridgeResult:
    """What a stream of events cost.

    Attributes:
        objects: Events sent, one object each.
        seconds: From the first event until the ledger held every object.
        batches: Batches made meanwhile.
        bridge_cpu: CPU seconds of the bridge.
        postgres_cpu: Of PostgreSQL.
        emulator_cpu: Of the S3 and SQS emulator.
        peak_rss_bytes: Greatest resident memory of the bridge.
    """

    objects: int
    seconds: float
    batches: int
    bridge_cpu: float
    postgres_cpu: float
    emulator_cpu: float
    peak_rss_bytes: int

    @property
    def objects_per_second(self) -> float:
        """Return the sustained rate."""
        return self.objects / self.seconds


@dataclass(frozen=True)
class OutstandingResult:
    """What many waiting objects cost.

    Attributes:
        objects: Objects that waited for a batch when the bridge started.
        seconds: Until all but the last, gathering batches were made.
        peak_rss_bytes: Greatest resident memory of the bridge meanwhile.
    """

    objects: int
    seconds: float
    peak_rss_bytes: int


def measure_bridge(stack: BenchStack, *, objects: int) -> BridgeResult:
    """Send events as fast as the bridge takes them.

    Args:
        stack: The stores.
        objects: How many events.
    """
    bootstrap.apply_stores(stack.profile)
    landing = stack.systems.landing
    queue = Queue(stack.systems.s3, landing.queue_name)
    bodies = [notification(landing.bucket, number) for number in range(objects)]
    with stack.ledger() as ledger, event_sink() as url, running_bridge(stack, url) as bridge:
        queue.send(notification(landing.bucket, objects))
        while _count(ledger, "ledger.object") == 0:  # it starts: imports, and a look at the lake
            time.sleep(0.1)
        before, own = service_cpu(stack), bridge.cpu_seconds()
        begin = time.monotonic()
        sent = 0
        while (recorded := _count(ledger, "ledger.object") - 1) < objects:
            bridge.look()
            room = min(QUEUED_AT_MOST - (sent - recorded), objects - sent)
            if room > 0:
                queue.send_many(bodies[sent : sent + room])
                sent += room
            else:
                time.sleep(0.1)
            if time.monotonic() - begin > QUIET_SECONDS:
                raise RuntimeError(f"{recorded} of {objects} objects after {QUIET_SECONDS:.0f} s")
        seconds = time.monotonic() - begin
        after = service_cpu(stack)
        return BridgeResult(
            objects=objects,
            seconds=seconds,
            batches=_count(ledger, "ledger.batch"),
            bridge_cpu=bridge.cpu_seconds() - own,
            postgres_cpu=after["postgres"] - before["postgres"],
            emulator_cpu=after["ministack"] - before["ministack"],
            peak_rss_bytes=bridge.peak_rss_bytes,
        )


def measure_outstanding(stack: BenchStack, *, objects: int) -> OutstandingResult:
    """Let a bridge start over a ledger in which many objects wait.

    Args:
        stack: The stores; the ledger may hold other objects.
        objects: How many wait.
    """
    landing = stack.systems.landing
    with stack.ledger() as ledger, event_sink() as url:
        already = _count(ledger, "ledger.object")
        for start in range(already, already + objects, RECORDED_AT_ONCE):
            bodies = (notification(landing.bucket, number) for number in range(start, start + RECORDED_AT_ONCE))
            notices = [notice for body in bodies for notice in parse_notification(body)]
            seen = [seen_object(notice, prefix=landing.prefix, epoch=0) for notice in notices]
            ledger.record_objects(seen, actor="bench")
        with running_bridge(stack, url) as bridge:
            begin = time.monotonic()
            while (waiting := _count(ledger, "ledger.object where state = 'seen'")) >= len(ENTITIES) * 500:
                bridge.look()
                if time.monotonic() - begin > QUIET_SECONDS:
                    raise RuntimeError(f"{waiting} objects still wait after {QUIET_SECONDS:.0f} s")
                time.sleep(0.2)
            return OutstandingResult(objects, time.monotonic() - begin, bridge.peak_rss_bytes)


def notification(bucket: str, number: int) -> str:
    """Return what S3 sends for one object: 4 entities, days and hours mixed, one position after the other."""
    entity = ENTITIES[number % len(ENTITIES)]
    chance = random.Random(number)  # noqa: S311 - a key, no secret
    day = date(2010, 12, 1) + timedelta(days=chance.randrange(DAYS))
    first = 100 * (number // len(ENTITIES))
    key = f"cdc/{entity}/date={day}/hour={chance.randrange(24):02}/shop.{entity}+0+{first}-{first + 99}.parquet"
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": datetime.now(UTC).isoformat(),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": f"{number:016X}", "x-amz-id-2": "x" * 76},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "slackwater-landing",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": quote_plus(key), "size": 20_000, "eTag": f"{number:032x}", "sequencer": f"{number:018X}"},
        },
    }
    return json.dumps({"Records": [record]})


class RunningBridge:
    """A bridge process that is looked at now and then."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = psutil.Process(process.pid)
        self.peak_rss_bytes = 0

    def look(self) -> None:
        """Note its memory."""
        self.peak_rss_bytes = max(self.peak_rss_bytes, self._process.memory_info().rss)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds since its start."""
        times = self._process.cpu_times()
        return times.user + times.system


@contextmanager
def running_bridge(stack: BenchStack, events_url: str) -> Iterator[RunningBridge]:
    """Run the service while the block runs."""
    env = {**stack.env, "SLACKWATER_EVENTS_API_URL": events_url}
    command = [sys.executable, "-m", "slackwater.landing.bridge"]
    with subprocess.Popen(command, env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
        try:
            yield RunningBridge(process)
        finally:
            process.terminate()


@contextmanager
def event_sink() -> Iterator[str]:
    """Serve an event API that takes everything, and give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
    finally:
        server.shutdown()


def _count(ledger: Ledger, source: str) -> int:
    with ledger.transaction() as connection:
        row = connection.execute(f"select count(*) from {source}".encode()).fetchone()
    return int(row[0]) if row else 0


def service_cpu(stack: BenchStack) -> dict[str, float]:
    """Return the CPU seconds of every service since its start."""
    found = {}
    for name, processes in service_processes(stack.profile.home).items():
        seconds = 0.0
        for process in processes:
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            seconds += times.user + times.system + times.children_user + times.children_system
        found[name] = seconds
    return found
