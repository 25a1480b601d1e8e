"""One batch of a million order lines: CPU seconds of append and load outside the emulators.

Real values: the year's changes of order_items, taken again with new keys until there are enough rows, their times moved
into two days (a million changes that arrive within minutes are of one or two days). Files go through the object store,
the ledger, `append_batch` and `load_batch`; nothing else runs on that stack.
"""

import io
import resource
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from memory import service_processes
from stacks import BenchStack

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.lake.append import append_batch
from slackwater.landing.s3_notice import Notice, seen_object
from slackwater.replay.run import plan_sample
from slackwater.stack import bootstrap
from slackwater.warehouse.load import load_batch

ENTITY = "order_items"
FIRST_DAY = date(2011, 12, 1)
DAYS = 2
ACTOR = "bench"


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds of one step.

    Attributes:
        process_cpu: This process: our code and the client libraries.
        postgres_cpu: Ledger and Iceberg catalog.
        emulator_cpu: The S3 and Snowflake emulators; not part of the budget.
        wall: Wall seconds.
    """

    process_cpu: float
    postgres_cpu: float
    emulator_cpu: float
    wall: float

    @property
    def cpu(self) -> float:
        """Return the CPU seconds outside the emulators."""
        return self.process_cpu + self.postgres_cpu


@dataclass(frozen=True)
class IngestResult:
    """What the batch was and what its two steps cost."""

    rows: int
    objects: int
    bytes: int
    data_files: int
    append: Cost
    load: Cost
    peak_rss_bytes: int

    @property
    def cpu(self) -> float:
        """Return the CPU seconds of append and load outside the emulators."""
        return self.append.cpu + self.load.cpu


def measure_ingest(stack: BenchStack, *, rows: int, objects: int) -> IngestResult:
    """Put files of together `rows` rows, make one batch of them, append and load it.

    Args:
        stack: The stores; no bridge, so that nobody else takes the files.
        rows: Rows of the batch.
        objects: Files of the batch.
    """
    bootstrap.apply_stores(stack.profile)
    systems, store = stack.systems, stack.store()
    seen, size_bytes = [], 0
    for key, data in landing_files(systems.landing.prefix, rows=rows, objects=objects):
        etag = store.put(systems.landing.bucket, key, data)
        notice = Notice(systems.landing.bucket, key, etag, len(data), None, datetime.now(UTC))
        seen.append(seen_object(notice, prefix=systems.landing.prefix, epoch=systems.landing.epoch))
        size_bytes += len(data)
    with (
        stack.ledger() as ledger,
        closing(Lake(systems.lake, systems.s3)) as lake,
        Warehouse(systems.warehouse, query_tag=ACTOR) as warehouse,
    ):
        ledger.record_objects(seen, actor=ACTOR)
        batch_id = ledger.seal(ENTITY, [item.object_id for item in seen], actor=ACTOR)
        if batch_id is None:
            raise RuntimeError("the batch could not be made: somebody else took its files")
        meter = Meter(stack)
        appended = append_batch(batch_id, ledger=ledger, lake=lake, store=store, landing=systems.landing, actor=ACTOR)
        append_cost = meter.lap()
        lease = ledger.claim_batch(batch_id, actor=ACTOR)
        if lease is None:
            raise RuntimeError(f"batch {batch_id} cannot be claimed")
        loaded = load_batch(batch_id, ledger=ledger, lake=lake, warehouse=warehouse, lease=lease, actor=ACTOR)
        load_cost = meter.lap()
    if appended.row_count != rows or loaded.row_count != rows:
        raise RuntimeError(f"{rows} rows sent, {appended.row_count} appended, {loaded.row_count} loaded")
    return IngestResult(
        rows=rows,
        objects=len(seen),
        bytes=size_bytes,
        data_files=len(appended.data_files),
        append=append_cost,
        load=load_cost,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


class Meter:
    """Measures what one step cost: this process, PostgreSQL, the emulators."""

    def __init__(self, stack: BenchStack) -> None:
        self._stack = stack
        self._last = self._read()

    def lap(self) -> Cost:
        """Return what was used since the last call."""
        now = self._read()
        before, self._last = self._last, now
        return Cost(*(after - earlier for after, earlier in zip(now, before, strict=True)))

    def _read(self) -> tuple[float, float, float, float]:
        services = {name: _cpu_seconds(found) for name, found in service_processes(self._stack.profile.home).items()}
        own = resource.getrusage(resource.RUSAGE_SELF)
        return (
            own.ru_utime + own.ru_stime,
            services.get("postgres", 0.0),
            services.get("ministack", 0.0) + services.get("snowflake", 0.0),
            time.monotonic(),
        )


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    seconds = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def landing_files(prefix: str, *, rows: int, objects: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and bytes of the batch's files: contiguous positions, real values."""
    year = plan_sample().plan.changes[ENTITY].table.combine_chunks()
    per_file = -(-rows // objects)
    for first in range(0, rows, per_file):
        count = min(per_file, rows - first)
        table = _rows(year, first, count)
        day = FIRST_DAY.replace(day=FIRST_DAY.day + first * DAYS // rows)
        key = f"{prefix}{ENTITY}/date={day}/hour=00/shop.{ENTITY}+0+{first}-{first + count - 1}.parquet"
        sink = io.BytesIO()
        pq.write_table(_moved(table, first, rows), sink)
        yield key, sink.getvalue()


def _rows(year: pa.Table, first: int, count: int) -> pa.Table:
    """Return rows of the year by position, beginning again with new keys after its end."""
    parts = []
    while count:
        turn, at = divmod(first, year.num_rows)
        part = year.slice(at, min(count, year.num_rows - at))
        keys = pc.add(part["id"], pa.scalar(turn * 10_000_000, pa.int64()))
        parts.append(part.set_column(part.schema.get_field_index("id"), part.schema.field("id"), keys))
        first, count = first + part.num_rows, count - part.num_rows
    return pa.concat_tables(parts).combine_chunks()


def _moved(table: pa.Table, first: int, rows: int) -> pa.Table:
    """Give rows increasing LSNs, and times spread over the days."""
    count = table.num_rows
    positions = pa.array(range(first, first + count), pa.int64())
    start_ms = int(datetime.combine(FIRST_DAY, datetime.min.time(), UTC).timestamp() * 1000)
    times = pc.add(pc.multiply(positions, DAYS * 86_400_000 // rows), start_ms)
    for name in ("__ts_ms", "__source_ts_ms"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), times.cast(table.schema.field(name).type))
    place = table.schema.get_field_index("__source_lsn")
    return table.set_column(place, table.schema.field("__source_lsn"), pc.add(positions, 1_000))
