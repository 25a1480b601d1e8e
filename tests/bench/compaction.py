"""What it costs to compare a rewrite before it counts: plan, rewrite and check against Iceberg's own rewrite alone.

`python tests/bench/compaction.py` makes a changelog and a state table of many small files, rewrites each plainly and
verified from the same snapshot, and prints both. Nothing here is a test. Wall times on shared cores vary with what else
runs: the CPU seconds of this process, its JVM and the emulated S3 stand beside them.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psutil
import pyarrow as pa
from bridge_speed import service_cpu
from results import Figure, render
from stacks import BenchStack, bench_stack

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_partition_files import table_files
from slackwater.entities.model import changelog_schema, load_entity, state_columns
from slackwater.lake.compaction import plan_compaction
from slackwater.lake.policy import TableKind, load_policy
from slackwater.lake.rewrite import Outcome, RewriteRequest, RewriteResult, rewrite_request
from slackwater.stack import bootstrap
from slackwater.stack.programs import STORES
from spark.job_main import session_of_environment
from spark.jobs import rewrite_files
from spark.rewriting import rewrite_statement
from spark.tables import current_snapshot_id

ENTITY = "order_items"
FIRST_DAY = date(2010, 12, 1)
OVERHEAD_BUDGET_PCT = 40.0


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds of one piece of work."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Compared:
    """The two rewrites of one table; `parts` are the wall seconds inside the verified one."""

    kind: TableKind
    file_count: int
    plain: Cost
    verified: Cost
    parts: dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=50, help="partitions (default 50)")
    parser.add_argument("--files", type=int, default=40, help="files per partition (default 40)")
    parser.add_argument("--rows", type=int, default=100, help="rows per file (default 100)")
    parser.add_argument("--rounds", type=int, default=2, help="measured rounds after the first, the best counts")
    options = parser.parse_args()
    with bench_stack(services=STORES) as stack:
        bootstrap.apply_stores(stack.profile)
        os.environ.update(stack.env)
        found = [
            measure(stack, kind, days=options.days, files=options.files, rows=options.rows, rounds=options.rounds)
            for kind in TableKind
        ]
    print(render([figure for one in found for figure in figures(one)]))


def measure(stack: BenchStack, kind: TableKind, *, days: int, files: int, rows: int, rounds: int) -> Compared:
    """Rewrite one table plainly and verified, each from the same snapshot, and keep the best of some rounds.

    Raises:
        RuntimeError: The verified rewrite did not end as rewritten.
    """
    table, costs = kind.table(ENTITY), dict[str, list[Cost]]()
    with closing(Lake(stack.systems.lake, stack.systems.s3)) as lake:
        session = session_of_environment("bench")
        for number in range(files):
            lake.load_table(table).append(small_files(kind, number, days=days, rows=rows))
        built = current_snapshot_id(session, table)
        last: list[RewriteResult] = []

        def plain() -> None:
            request = requested(lake, kind)
            session.sql(rewrite_statement(request, request.days, branch=None, catalog="lake"))

        def verified() -> None:
            last[:] = [rewrite_files.run(session, requested(lake, kind))]
            if last[0].outcome is not Outcome.REWRITTEN:
                raise RuntimeError(f"{table}: {last[0]}")

        for _ in range(rounds + 1):
            for name, work in (("plain", plain), ("verified", verified)):
                costs.setdefault(name, []).append(timed(stack, work))
                session.sql(f"call lake.system.set_current_snapshot('{table}', {built})")
    best = {name: min(found[1:], key=lambda cost: cost.cpu) for name, found in costs.items()}
    return Compared(kind, files * days, best["plain"], best["verified"], last[0].seconds)


def requested(lake: Lake, kind: TableKind) -> RewriteRequest:
    """Plan the whole table and return the request; the rule is the project's, but for the age of a closed partition."""
    rule = load_policy().of_table(kind, ENTITY, largest_file_bytes=16 * 2**20)
    rule = rule.model_copy(update={"closed_after_hours": 0.0})
    found = table_files(lake, kind.table(ENTITY))
    plan = plan_compaction(kind, ENTITY, found.partitions, policy=rule, now=datetime.now(UTC))
    return rewrite_request(
        kind,
        ENTITY,
        days=plan.days,
        policy=rule,
        rewrite_id=f"bench-{time.monotonic_ns()}",
        planned_snapshot_id=found.snapshot_id,
    )


def small_files(kind: TableKind, number: int, *, days: int, rows: int) -> pa.Table:
    """Return the rows of one append: one small file per day."""
    columns = state_columns(load_entity(ENTITY))
    of_state = pa.schema([pa.field(one.name, one.type.arrow, nullable=not one.required) for one in columns])
    schema = changelog_schema(load_entity(ENTITY)) if kind is TableKind.CHANGELOG else of_state
    return pa.Table.from_pylist(list(_rows(number, days=days, rows=rows)), schema=schema)


def _rows(number: int, *, days: int, rows: int) -> Iterator[dict[str, object]]:
    for day in range(days):
        at = datetime.combine(FIRST_DAY + timedelta(days=day), datetime.min.time())
        for row in range(rows):
            key = (number * days + day) * rows + row
            yield {
                "id": key, "order_id": key // 7, "product_id": key % 4_000, "quantity": key % 12,
                "unit_price": Decimal(key % 10_000) / 100, "created_at": at, "__op": "c", "__ts_ms": at,
                "__source_ts_ms": at, "__source_lsn": key, "_batch_id": f"batch-{number}",
                "_file_name": f"file-{number}", "_object_id": f"object-{number}", "_epoch": 0,
                "_source_partition": "p", "_position": key, "date": at.date(),
            }  # fmt: skip


def timed(stack: BenchStack, work: Callable[[], None]) -> Cost:
    """Do something and return what it took."""
    before, begin = _cpu(stack), time.monotonic()
    work()
    return Cost(time.monotonic() - begin, _cpu(stack) - before)


def _cpu(stack: BenchStack) -> float:
    own = psutil.Process(os.getpid())
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times) + service_cpu(stack)["ministack"]


def figures(found: Compared) -> list[Figure]:
    """Return what is printed of one table."""
    load, name = os.getloadavg()[0], f"{found.kind} of {found.file_count} files"
    overhead = {
        unit: 100 * (after / before - 1)
        for unit, before, after in (
            ("wall", found.plain.wall, found.verified.wall),
            ("CPU", found.plain.cpu, found.verified.cpu),
        )
    }
    parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in found.parts.items())
    return [
        Figure(f"{name}: plan and plain rewrite", "s", found.plain.wall, None, load, f"CPU-s {found.plain.cpu:.1f}"),
        Figure(
            f"{name}: plan and verified rewrite", "s", found.verified.wall, None, load,
            f"CPU-s {found.verified.cpu:.1f}; {parts}",
        ),
        Figure(
            f"{name}: overhead of the check", "%", overhead["wall"], OVERHEAD_BUDGET_PCT, load,
            f"of CPU {overhead['CPU']:.0f} %",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
