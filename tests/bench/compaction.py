"""What it costs to compare a rewrite before it counts, what a decision saves, and what readers gain.

Many small files: plan, rewrite and check against Iceberg's own rewrite of the same snapshot. A few bad partitions among
many good ones: the plan's rewrite against Iceberg's own of everything. Queries of the state table before and after.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import psutil
import pyarrow as pa
from bridge_speed import service_cpu
from folding import ENTITY, rows_of_keys, shaped
from pyspark.sql import SparkSession
from stacks import BenchStack

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_partition_files import table_files
from slackwater.entities.model import changelog_schema, load_entity, state_columns
from slackwater.lake.compaction import CompactionPlan, plan_compaction
from slackwater.lake.policy import TableKind, TablePolicy, load_policy
from slackwater.lake.rewrite import Outcome, RewriteRequest, RewriteResult, rewrite_request
from spark.jobs import rewrite_files
from spark.rewriting import rewrite_statement
from spark.tables import current_snapshot_id

DAYS, FILES, ROWS = 50, 40, 100
"""Partitions, files in each, rows in each file: 2,000 files and 200,000 rows."""

GOOD_DAYS, BAD_DAYS, BAD_FILES = 57, 3, 200
GOOD_ROWS = 40_000
"""Of each of the two files of a good partition, which together are more than one file of the target size."""

ROUNDS = 1
QUERIES = {
    "count": "select count(*) from {table}",
    "key look-up": "select * from {table} where id = 777",
    "day aggregate": "select date, sum(quantity * unit_price) from {table} group by date",
}


@dataclass(frozen=True)
class Cost:
    """Wall seconds, and CPU seconds of this process, its JVM and the emulated S3."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Compared:
    """The two rewrites of one table.

    Attributes:
        parts: Wall seconds inside the verified one.
        queries: Of a state table: wall seconds before and after it, the better of two.
    """

    kind: TableKind
    file_count: int
    plain: Cost
    verified: Cost
    parts: dict[str, float]
    queries: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Chosen:
    """A plan's rewrite beside a plain one of everything, both from the same snapshot; bytes are those rewritten."""

    partitions: int
    chosen: int
    plain_bytes: int
    planned_bytes: int
    plain_removed: int
    planned_removed: int


def measure_check(stack: BenchStack, session: SparkSession, kind: TableKind) -> Compared:
    """Rewrite a table of many small files plainly and verified, each from the same snapshot; the best round counts.

    Raises:
        RuntimeError: The verified rewrite did not end as rewritten.
    """
    table, costs = kind.table(ENTITY), dict[str, list[Cost]]()
    with closing(Lake(stack.systems.lake, stack.systems.s3)) as lake:
        empty(lake, kind)
        for number in range(FILES):
            lake.load_table(table).append(small_files(kind, number, range(DAYS), rows=ROWS))
        built = current_snapshot_id(session, table)
        last: list[RewriteResult] = []

        def plain() -> None:
            request = _requested(lake, kind)
            session.sql(rewrite_statement(request, request.days, branch=None, catalog="lake"))

        def verified() -> None:
            last[:] = [_rewritten(session, _requested(lake, kind))]

        asked = QUERIES if kind is TableKind.STATE else {}
        before = {name: _query_seconds(session, query, table) for name, query in asked.items()}
        for _ in range(ROUNDS + 1):
            for name, work in (("plain", plain), ("verified", verified)):
                session.sql(f"call lake.system.set_current_snapshot('{table}', {built})")
                costs.setdefault(name, []).append(_timed(stack, work))
        after = {name: _query_seconds(session, query, table) for name, query in asked.items()}
    best = {name: min(found[1:], key=lambda cost: cost.cpu) for name, found in costs.items()}
    queries = {name: (before[name], after[name]) for name in asked}
    return Compared(kind, FILES * DAYS, best["plain"], best["verified"], last[0].seconds, queries)


def measure_choice(stack: BenchStack, session: SparkSession) -> Chosen:
    """Rewrite a state table of which one partition in twenty is worth it, by plan and plainly.

    A good partition has two files a bit below their target size: Iceberg's own rewrite joins them, to no gain.
    """
    kind = TableKind.STATE
    table = kind.table(ENTITY)
    with closing(Lake(stack.systems.lake, stack.systems.s3)) as lake:
        empty(lake, kind)
        for number in range(2):
            lake.load_table(table).append(small_files(kind, number, range(GOOD_DAYS), rows=GOOD_ROWS))
        for number in range(BAD_FILES):
            bad = range(GOOD_DAYS, GOOD_DAYS + BAD_DAYS)
            lake.load_table(table).append(small_files(kind, 10 + number, bad, rows=20))
        built = current_snapshot_id(session, table)
        sizes = [size for one in table_files(lake, table).partitions for size in one.file_bytes]
        # A file of a good partition is 70 % of the target, below the 75 % that count as good enough.
        target = int(max(sizes) / 0.70)
        plan = _planned(lake, kind, policy=_policy(kind, target=target))
        request = _request_of(lake, kind, plan)
        counted = [_rewritten(session, request)]
        planned_removed = counted[0].removed_files
        session.sql(f"call lake.system.set_current_snapshot('{table}', {built})")
        days = tuple(one.day for one in plan.decisions)
        everything = request.model_copy(update={"days": days, "min_inputs": 5})
        row = session.sql(rewrite_statement(everything, days, branch=None, catalog="lake")).collect()[0]
        return Chosen(
            partitions=len(days),
            chosen=len(plan.days),
            plain_bytes=int(row["rewritten_bytes_count"]),
            planned_bytes=sum(one.bytes_before for one in counted[0].counts),
            plain_removed=int(row["rewritten_data_files_count"]) - int(row["added_data_files_count"]),
            planned_removed=planned_removed,
        )


def empty(lake: Lake, kind: TableKind) -> None:
    """Make the bench's table anew."""
    lake.load_table(kind.table(ENTITY)).catalog.drop_table(kind.table(ENTITY))
    lake.ensure_tables([load_entity(ENTITY)])


def small_files(kind: TableKind, number: int, days: Sequence[int], *, rows: int) -> pa.Table:
    """Return the rows of one append: one small file per day."""
    columns = state_columns(load_entity(ENTITY))
    of_state = pa.schema([pa.field(one.name, one.type.arrow, nullable=not one.required) for one in columns])
    schema = changelog_schema(load_entity(ENTITY)) if kind is TableKind.CHANGELOG else of_state
    each = np.arange(rows) * 365 + number * rows * 365
    keys = np.concatenate([each + day for day in days])
    count = len(keys)
    told = {"__op": "c", "_batch_id": f"batch-{number}", "_file_name": f"file-{number}"}
    return shaped(rows_of_keys(keys, lsn=1), {name: pa.array([value] * count) for name, value in told.items()}, schema)


def _policy(kind: TableKind, *, target: int) -> TablePolicy:
    """Return the project's rule, but for the file size and the age of a closed partition."""
    rule = load_policy().of_table(kind, ENTITY)
    return rule.model_copy(update={"closed_after_hours": 0.0, "target_file_bytes": target})


def _planned(lake: Lake, kind: TableKind, *, policy: TablePolicy) -> CompactionPlan:
    found = table_files(lake, kind.table(ENTITY))
    return plan_compaction(kind, ENTITY, found.partitions, policy=policy, now=datetime.now(UTC))


def _requested(lake: Lake, kind: TableKind) -> RewriteRequest:
    return _request_of(lake, kind, _planned(lake, kind, policy=_policy(kind, target=16 * 2**20)))


def _request_of(lake: Lake, kind: TableKind, plan: CompactionPlan) -> RewriteRequest:
    return rewrite_request(
        kind,
        ENTITY,
        days=plan.days,
        policy=plan.policy,
        rewrite_id=f"bench-{time.monotonic_ns()}",
        planned_snapshot_id=table_files(lake, kind.table(ENTITY)).snapshot_id,
    )


def _rewritten(session: SparkSession, request: RewriteRequest) -> RewriteResult:
    result = rewrite_files.run(session, request)
    if result.outcome is not Outcome.REWRITTEN:
        raise RuntimeError(f"{request.table}: {result}")
    return result


def _query_seconds(session: SparkSession, query: str, table: str) -> float:
    def once() -> float:
        begin = time.monotonic()
        session.sql(query.format(table=table)).collect()
        return time.monotonic() - begin

    return min(once() for _ in range(2))


def _timed(stack: BenchStack, work: Callable[[], None]) -> Cost:
    before, begin = _cpu(stack), time.monotonic()
    work()
    return Cost(time.monotonic() - begin, _cpu(stack) - before)


def _cpu(stack: BenchStack) -> float:
    own = psutil.Process(os.getpid())
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times) + service_cpu(stack)["ministack"]
