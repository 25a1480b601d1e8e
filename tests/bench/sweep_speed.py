"""Sweeps over a landing bucket of many objects: the first, which records all of them, a full one, a recent one.

The objects are written where the emulator keeps them and it is started again: a hundred thousand puts would take it a
quarter of an hour, and nothing of that is measured.
"""

import time
from dataclasses import dataclass

from bridge_speed import event_sink, notification, service_cpu
from memory import service_processes
from stacks import BenchStack

from slackwater.clients.events import EventBus
from slackwater.clients.s3 import ObjectStore
from slackwater.errors import SlackwaterError
from slackwater.landing.s3_notice import parse_notification
from slackwater.landing.sweep import SweepReport, sweep
from slackwater.landing.wiring import Wiring
from slackwater.stack import bootstrap

ACCOUNT_FOLDER = "000000000000"
START_SECONDS = 180.0


@dataclass(frozen=True)
class SweepCost:
    """What one sweep took: wall and CPU seconds of this process, PostgreSQL and the emulator."""

    wall: float
    process_cpu: float
    postgres_cpu: float
    emulator_cpu: float

    @property
    def cpu_line(self) -> str:
        """Return the CPU seconds as one text."""
        return f"CPU-s: {self.process_cpu:.1f}, PostgreSQL {self.postgres_cpu:.1f}, emulator {self.emulator_cpu:.1f}"


@dataclass(frozen=True)
class SweepResult:
    """Three sweeps over the same objects.

    Attributes:
        objects: Objects in the bucket.
        first: The sweep that records and seals all of them.
        full: A full sweep that finds every one known.
        recent: A sweep of what is recent, with nothing recent.
    """

    objects: int
    first: SweepCost
    full: SweepCost
    recent: SweepCost


def measure_sweep(stack: BenchStack, *, objects: int) -> SweepResult:
    """Sweep a bucket of so many objects.

    Raises:
        RuntimeError: A sweep did not find what is there.
    """
    bootstrap.apply_stores(stack.profile)
    _fill(stack, objects)
    with stack.ledger() as ledger, event_sink() as url:
        wiring = Wiring.of(stack.systems.s3, stack.systems.landing)
        bus = EventBus(stack.systems.events.model_copy(update={"api_url": url}))

        def timed(*, is_full: bool) -> tuple[SweepReport, SweepCost]:
            before, own, begin = service_cpu(stack), time.process_time(), time.monotonic()
            report = sweep(ledger=ledger, wiring=wiring, bus=bus, actor="bench", is_full=is_full)
            wall, used, after = time.monotonic() - begin, time.process_time() - own, service_cpu(stack)
            postgres, emulator = (after[name] - before[name] for name in ("postgres", "ministack"))
            return report, SweepCost(wall, used, postgres, emulator)

        first, first_cost = timed(is_full=True)
        full, full_cost = timed(is_full=True)
        with ledger.transaction() as connection:
            connection.execute("update ledger.landing_folder set newest_at = newest_at - interval '7 days'")
        recent, recent_cost = timed(is_full=False)
        bus.close()
    if (first.recorded_objects, full.listed_objects, recent.kind) != (objects, objects, "recent"):
        raise RuntimeError(f"expected {objects}: {first.summary}; {full.summary}; {recent.summary}")
    return SweepResult(objects, first_cost, full_cost, recent_cost)


def _fill(stack: BenchStack, objects: int) -> None:
    """Write objects below the emulator's data folder and start it again, so that it reads them."""
    bucket = stack.systems.landing.bucket
    folder = stack.profile.home / "data" / "s3" / ACCOUNT_FOLDER / bucket
    if not folder.is_dir():
        raise RuntimeError(f"the emulator keeps its objects elsewhere: there is no {folder}")
    for number in range(objects):
        (notice,) = parse_notification(notification(bucket, number))
        path = folder / notice.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(number).encode())
    (process, *_) = service_processes(stack.profile.home)["ministack"]
    process.terminate()  # it keeps queues and notification when it may end by itself; the supervisor starts it again
    process.wait(timeout=60)
    store = ObjectStore(stack.systems.s3)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            store.list_page(bucket, stack.systems.landing.prefix, start_after="")
        except SlackwaterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
        else:
            return
