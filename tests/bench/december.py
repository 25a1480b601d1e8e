"""December from the start of `slackwater replay` to published marts, and what a burst of small files becomes."""

import json
import random
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import islice

from memory import MemoryWatch, Peaks
from stacks import REPOSITORY, BenchStack

from slackwater.ledger.listings import list_batches
from slackwater.replay.files import FileForm, SliceBy, landing_file, time_slices
from slackwater.replay.run import plan_sample
from slackwater.replay.synthetic import DAY_US

SETTLE_SECONDS = 900.0
BURST_FROM = date(2011, 1, 1)
PUT_THREADS = 8
ALL_BATCHES = 10_000
INGEST_FLOW = "ingest-batch"


@dataclass(frozen=True)
class DecemberResult:
    """What December cost.

    Attributes:
        replay_seconds: Wall time of `slackwater replay`, process start included.
        total_seconds: From its start until everything was published.
        publications: Refreshes that were published.
        batches: Ingest batches.
        peaks: Memory meanwhile.
        service_cpu: CPU seconds of each service meanwhile, its flow runs included.
        replay_cpu: CPU seconds of the command itself.
    """

    replay_seconds: float
    total_seconds: float
    publications: int
    batches: int
    peaks: Peaks
    service_cpu: Mapping[str, float]
    replay_cpu: float


def measure_december(stack: BenchStack) -> DecemberResult:
    """Replay December with the command and wait until it is published.

    Raises:
        RuntimeError: The replay failed or something was still in flight after the longest wait.
    """
    before, cpu_before = _batch_count(stack), _children_cpu()
    with MemoryWatch(stack.profile.home) as watch:
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "slackwater.cli", "replay"],
            env=stack.env,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the replay failed: {(done.stderr or done.stdout)[-2000:]}")
        replayed, replay_cpu = time.monotonic(), _children_cpu() - cpu_before
        progress = stack.settle(timeout_seconds=SETTLE_SECONDS)
        ended = time.monotonic()
    if not progress.is_quiet:
        raise RuntimeError(f"still in flight after {SETTLE_SECONDS:.0f} s: {progress.line}")
    return DecemberResult(
        replay_seconds=replayed - begin,
        total_seconds=ended - begin,
        publications=stack.count_publications(),
        batches=_batch_count(stack) - before,
        peaks=watch.peaks,
        service_cpu=watch.used_cpu,
        replay_cpu=replay_cpu,
    )


@dataclass(frozen=True)
class BurstResult:
    """What a burst became.

    Attributes:
        objects: Files put.
        put_seconds: How long putting them took.
        batches: Batches they became; each is one ingest run unless an attempt died.
        ingest_runs: Flow runs of the ingest.
        refreshes: Publications they needed.
        published_objects: Files whose batch is published.
        total_seconds: From the first put until everything was published.
    """

    objects: int
    put_seconds: float
    batches: int
    ingest_runs: int
    refreshes: int
    published_objects: int
    total_seconds: float


def measure_burst(stack: BenchStack, *, objects: int) -> BurstResult:
    """Put many small real files, an hour of January 2011 and later each, all entities mixed, and wait.

    The stack holds December already; the files follow it without a gap, so that the gate has nothing to reject.

    Raises:
        RuntimeError: Something was still in flight after the longest wait.
    """
    landing = stack.systems.landing
    files = list(islice(hourly_files(landing.prefix), objects))
    random.Random(1).shuffle(files)  # noqa: S311 - an order, no secret
    before, published, runs = _batch_count(stack), stack.count_publications(), _ingest_runs(stack)
    begin = time.monotonic()
    store = stack.store()
    with ThreadPoolExecutor(PUT_THREADS) as pool:
        list(pool.map(lambda file: store.put(landing.bucket, file[0], file[1]), files))
    put = time.monotonic()
    progress = stack.settle(timeout_seconds=SETTLE_SECONDS)
    ended = time.monotonic()
    if not progress.is_quiet:
        raise RuntimeError(f"still in flight after {SETTLE_SECONDS:.0f} s: {progress.line}")
    with stack.ledger() as ledger:
        batches = list_batches(ledger, limit=ALL_BATCHES)
    new = batches[: len(batches) - before]
    return BurstResult(
        objects=len(files),
        put_seconds=put - begin,
        batches=len(new),
        ingest_runs=_ingest_runs(stack) - runs,
        refreshes=stack.count_publications() - published,
        published_objects=sum(batch.objects for batch in new if batch.refresh_state == "published"),
        total_seconds=ended - begin,
    )


def hourly_files(prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yield key and bytes of the replay's hourly files from `BURST_FROM` on."""
    plan = plan_sample().plan
    start_us = (BURST_FROM - date(1970, 1, 1)).days * DAY_US
    for part in time_slices(start_us, plan.end_us, slice_by=SliceBy.HOUR):
        for changes in plan.changes.values():
            file = landing_file(changes, part, prefix=prefix, form=FileForm.PARQUET)
            if file is not None:
                yield file.key, file.data


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _batch_count(stack: BenchStack) -> int:
    with stack.ledger() as ledger:
        return len(list_batches(ledger, limit=ALL_BATCHES))


def _ingest_runs(stack: BenchStack) -> int:
    """Count the ingest's flow runs, those included that found nothing to do."""
    url = f"{stack.systems.events.api_url}/flow_runs/count"
    body = json.dumps({"flows": {"name": {"any_": [INGEST_FLOW]}}}).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.read())
