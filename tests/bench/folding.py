"""What a fold costs as the table grows: 10,000 changes into 1 M and into 5 M rows, and the year from nothing.

Bytes read are what the JVM's process has read (`/proc/PID/io`): a table's files come over sockets and count. Beside it
what one would do without a fold: pyiceberg's `upsert`, and a Spark job that writes the whole table anew.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from stacks import BenchStack

from slackwater.clients.iceberg import Lake
from slackwater.entities.model import changelog_schema, load_entity, state_columns
from slackwater.lake.fold import FoldRequest
from slackwater.naming import changelog_table, state_table
from spark.jobs import fold_changes
from spark.tables import current_snapshot_id
from spark.transforms import newest

ENTITY = "order_items"
STATE, CHANGES = state_table(ENTITY), changelog_table(ENTITY)
FIRST_DAY = date(2010, 12, 1)
DAYS, TOUCHED_DAYS = 365, 10
CHANGED, ADDED = 8_000, 2_000
ROWS_PER_APPEND = 1_000_000


@dataclass(frozen=True)
class Work:
    """What one way of folding cost.

    Attributes:
        cpu: CPU seconds of this process and its JVM.
        read_bytes: Read by the JVM; None where none takes part.
        written_bytes: Data and delete files of the commit.
    """

    wall: float
    cpu: float
    read_bytes: int | None
    written_bytes: int


@dataclass(frozen=True)
class FoldCost:
    """The same changes folded into a table of so many rows, three ways.

    Attributes:
        key_scan: Only the reading of keys: where all of them are, then, as the MERGE does, in which rows of the days
            that are touched. It grows with the table.
        anew: The whole table written anew, None where it was left out.
        upsert: pyiceberg's, None where it was left out.
    """

    rows: int
    table_bytes: int
    fold: Work
    key_scan: Work
    anew: Work | None
    upsert: Work | None


def measure_folds(
    stack: BenchStack, session: SparkSession, sizes: tuple[int, ...], *, compared_upto: int, say: Callable[[str], None]
) -> Iterator[FoldCost]:
    """Grow the state table to each of some sizes and fold the same number of changes into it.

    Args:
        stack: Stores with empty tables.
        session: Spark.
        sizes: Rows, rising.
        compared_upto: Greatest table the other ways are tried on: writing 5 M rows anew runs out of the local profile's
            memory, an upsert of as many takes minutes.
        say: Progress.
    """
    held = 0
    with closing(Lake(stack.systems.lake, stack.systems.s3)) as lake:
        batch_id, days = land_changes(lake, keys_below=sizes[0])
        for size in sizes:
            for first in range(held, size, ROWS_PER_APPEND):
                lake.load_table(STATE).append(state_rows(first, min(ROWS_PER_APPEND, size - first)))
            held = size
            say(f"folds into {size:,} rows ...")
            yield _compare(lake, session, batch_id, days, rows=size, is_compared=size <= compared_upto)


def land_changes(lake: Lake, *, keys_below: int) -> tuple[str, tuple[date, ...]]:
    """Append the changes to the changelog: some rows of the last days change, others are new."""
    keys = np.arange(keys_below)
    recent = keys[keys % DAYS >= DAYS - TOUCHED_DAYS]
    changed = np.sort(np.random.default_rng(1).choice(recent, CHANGED, replace=False))
    added = 10**9 + np.arange(ADDED) * DAYS + DAYS - 1
    table = rows_of_keys(np.concatenate([changed, added]), lsn=2 * 10**9)
    columns = {
        "__op": pa.array(["u"] * CHANGED + ["c"] * ADDED),
        "_batch_id": pa.array(["bench-fold"] * (CHANGED + ADDED)),
        "_file_name": pa.array(["bench"] * (CHANGED + ADDED)),
    }
    lake.append_batch_rows(ENTITY, shaped(table, columns, changelog_schema(load_entity(ENTITY))), batch_id="bench-fold")
    days = sorted(set(table["date"].to_pylist()))
    return "bench-fold", tuple(days)


def state_rows(first: int, count: int) -> pa.Table:
    """Return rows of the state table, one year wide: key k lies on day k modulo 365."""
    columns = state_columns(load_entity(ENTITY))
    schema = pa.schema([pa.field(one.name, one.type.arrow, nullable=not one.required) for one in columns])
    return shaped(rows_of_keys(np.arange(first, first + count), lsn=1), {"__op": pa.array(["c"] * count)}, schema)


def rows_of_keys(keys: "np.ndarray[tuple[int], np.dtype[np.int64]]", *, lsn: int) -> pa.Table:
    """Return rows of some keys, in the columns a changelog and a state table share: key k lies on day k modulo 365."""
    days = np.datetime64(FIRST_DAY, "D") + (keys % DAYS)
    times = pa.array(days.astype("datetime64[us]"), pa.timestamp("us"))
    cents = pa.array(keys * 7919 % 100_000, pa.int64())
    price = pc.multiply(cents.cast(pa.decimal128(20, 0)), pa.scalar("0.01").cast(pa.decimal128(3, 2)))
    count = len(keys)
    return pa.table(
        {
            "id": pa.array(keys), "order_id": pa.array(keys // 7), "product_id": pa.array(keys * 31 % 4_000),
            "quantity": pa.array(keys * 17 % 12, pa.int32()), "unit_price": price.cast(pa.decimal128(10, 2)),
            "created_at": times, "__ts_ms": times, "__source_ts_ms": times,
            "__source_lsn": pa.array(lsn + keys % 10**9), "_epoch": pa.array([0] * count),
            "_position": pa.array(keys % 10**9),
            "_object_id": pa.array([f"object-{key % 500}" for key in keys]),
            "_source_partition": pa.array(["p"] * count), "date": pa.array(days.astype("datetime64[D]"), pa.date32()),
        }
    )  # fmt: skip


def shaped(table: pa.Table, more: dict[str, pa.Array], schema: pa.Schema) -> pa.Table:
    """Return a table in the columns of a schema, with columns it did not have."""
    every = {name: table[name] for name in table.column_names} | more
    return pa.table([every[one.name].cast(one.type) for one in schema], schema=schema)


def _compare(
    lake: Lake, session: SparkSession, batch_id: str, days: tuple[date, ...], *, rows: int, is_compared: bool
) -> FoldCost:
    entity = load_entity(ENTITY)
    before = current_snapshot_id(session, STATE)
    request = FoldRequest(entity=ENTITY, batch_ids=(batch_id,), dates=days, row_count=CHANGED + ADDED)

    def restored(work: Callable[[], object], *, reads: bool = True) -> Work:
        session.sql(f"call lake.system.set_current_snapshot('{STATE}', {before})")
        found = metered(work, reads=reads)
        summary = session.sql(
            f"select summary['added-files-size'] as size from {STATE}.snapshots"
            f" where snapshot_id = {current_snapshot_id(session, STATE)}"
        ).collect()
        return Work(found.wall, found.cpu, found.read_bytes, int(summary[0]["size"] or 0))

    fold_changes.run(session, request)  # warms up
    fold = restored(lambda: fold_changes.run(session, request))
    session.sql(f"call lake.system.set_current_snapshot('{STATE}', {before})")
    incoming = newest.newest_of_batch(session.table(CHANGES), entity).select("id").cache()
    incoming.count()
    places = newest.held_places(session.table(STATE), entity).join(f.broadcast(incoming), "id", "left_semi")
    touched = session.table(STATE).where(f.col("date").isin(*days)).select("id", "_file", "_pos")
    found = touched.join(f.broadcast(incoming), "id", "left_semi")

    def scan_keys() -> None:
        places.agg(f.max(newest.HELD_PLACE)).collect()
        found.agg(f.max("_pos")).collect()

    key_scan = metered(scan_keys)
    anew = restored(lambda: _write_anew(session)) if is_compared else None
    upsert = restored(lambda: _upsert(lake), reads=False) if is_compared else None
    session.sql(f"call lake.system.set_current_snapshot('{STATE}', {before})")
    size = sum(task.file.file_size_in_bytes for task in lake.load_table(STATE).scan().plan_files())
    return FoldCost(rows, size, fold, key_scan, anew, upsert)


def _write_anew(session: SparkSession) -> None:
    """Write the whole table: what it holds and was not changed, and the newest of what changed."""
    entity = load_entity(ENTITY)
    incoming = newest.newest_of_batch(session.table(CHANGES), entity).drop("_place")
    kept = session.table(STATE).join(f.broadcast(incoming.select("id")), "id", "left_anti")
    kept.unionByName(incoming.select(*kept.columns)).repartition("date").sortWithinPartitions("date", "id").writeTo(
        STATE
    ).overwrite(f.lit(True))


def _upsert(lake: Lake) -> None:
    rows = lake.load_table(CHANGES).scan().to_arrow()
    columns = state_columns(load_entity(ENTITY))
    schema = pa.schema([pa.field(one.name, one.type.arrow, nullable=not one.required) for one in columns])
    lake.load_table(STATE).upsert(shaped(rows, {}, schema), join_cols=["id"])


def metered(work: Callable[[], object], *, reads: bool = True) -> Work:
    """Do something and return what it cost; nothing is said of what it wrote."""
    own = psutil.Process(os.getpid())
    everyone = [own, *own.children(recursive=True)]
    before, begin = _used(everyone), time.monotonic()
    work()
    after = _used(everyone)
    return Work(time.monotonic() - begin, after[0] - before[0], after[1] - before[1] if reads else None, 0)


def _used(processes: list[psutil.Process]) -> tuple[float, int]:
    """Return CPU seconds of all, and bytes read by all but the first, which is this process."""
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times), sum(one.io_counters().read_chars for one in processes[1:])
