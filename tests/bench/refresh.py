"""What a refresh costs as the history grows: the same day's change on 1, 10 and 100 hundredths of the year.

The year's own changes, up to a moment, go through the real ledger, lake and warehouse without flows. The first refresh
builds everything; the second has one more day: orders nobody has placed. Rows and seconds are the warehouse's own
account of the statements that write tables.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from results import Figure, figure
from stacks import BenchStack

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.naming import ENTITIES
from slackwater.quality.gate import run_gate
from slackwater.replay.run import plan_sample
from slackwater.settings import ProjectSettings
from slackwater.stack import bootstrap
from slackwater.testing.warehouse_path import WarehousePath, run_dbt
from slackwater.warehouse.costs import read_costs
from slackwater.warehouse.dbt_cli import RUN_RESULTS, data_test_command, run_command
from slackwater.warehouse.publish import publish
from slackwater.warehouse.refresh import frozen_values

ROWS_PER_BATCH = 100_000
NEW_ORDERS, LINES_PER_ORDER = 70, 25
"""An average day of the sample: 1,750 order lines."""

FIRST_NEW_KEY = 10**9


@dataclass(frozen=True)
class RefreshCost:
    """What one refresh cost.

    Attributes:
        wall: Seconds from its start to its publication.
        build: Of it `dbt run`.
        start_up: What of that dbt takes to do nothing.
        tests: Of it `dbt test`.
        scan: Of it the gate: every contract, the verdict and its report.
        warehouse: Seconds of execution.
        scanned: Rows read.
        rewritten: Rows deleted and inserted.
        slowest: Tables that took longest, with their seconds and scanned rows.
    """

    wall: float
    build: float
    start_up: float
    tests: float
    scan: float
    warehouse: float
    scanned: int
    rewritten: int
    slowest: str


@dataclass(frozen=True)
class HistoryCost:
    """The first refresh of a history of so many order lines, and the refresh of one more day."""

    lines: int
    whole: RefreshCost
    day: RefreshCost


def measure_refreshes(
    start: Callable[[], AbstractContextManager[BenchStack]], shares: tuple[float, ...], *, say: Callable[[str], None]
) -> Iterator[HistoryCost]:
    """Measure both refreshes on histories of some shares of the year, each on a stack of its own.

    Args:
        start: Starts a stack.
        shares: Of the year's order lines, rising.
        say: Progress.
    """
    changes = {entity: one.table.combine_chunks() for entity, one in plan_sample().plan.changes.items()}
    moments = pc.sort_indices(changes["order_items"]["__source_ts_ms"])
    times = changes["order_items"]["__source_ts_ms"].take(moments)
    for share in shares:
        until = times[max(0, int(share * len(times)) - 1)]
        history = {name: table.filter(pc.less_equal(table["__source_ts_ms"], until)) for name, table in changes.items()}
        say(f"a history of {history['order_items'].num_rows:,} changes of order lines ...")
        with start() as stack:
            bootstrap.apply_stores(stack.profile)
            yield _measure(stack, history)


def refresh_figures(measured: Iterable[HistoryCost]) -> list[Figure]:
    """Compare a day's refresh with a whole one, on growing histories."""
    figures: list[Figure] = []
    for found in measured:
        lines, whole, day = f"{found.lines:,} lines", found.whole, found.day
        parts = f"dbt run {whole.build:.1f}, dbt test {whole.tests:.1f}"
        figures += [
            figure(f"{lines}: whole refresh", "s", whole.wall, 180, note=f"{parts}; {whole.slowest}"),
            figure(f"{lines}: scan of all contracts", "s", whole.scan, 30),
            figure(f"{lines}: dbt run of one more day, of dbt's start-up", "x", day.build / day.start_up, 2,
                   note=f"{day.build:.1f} s and {day.start_up:.1f} s; the whole refresh of a day {day.wall:.1f} s"),
            figure(f"{lines}: warehouse seconds of one more day", "s", day.warehouse, whole.warehouse / 10,
                   note=f"whole {whole.warehouse:.2f}; {day.slowest}"),
            figure(f"{lines}: rows scanned for one more day", "rows", day.scanned, whole.scanned / 10,
                   note=f"whole {whole.scanned:,}; rewritten {day.rewritten:,} and {whole.rewritten:,}"),
        ]  # fmt: skip
    return figures


def _measure(stack: BenchStack, history: dict[str, pa.Table]) -> HistoryCost:
    systems = stack.systems
    with (
        stack.ledger() as ledger,
        closing(Lake(systems.lake, systems.s3)) as lake,
        Warehouse(systems.warehouse, query_tag="bench") as warehouse,
        tempfile.TemporaryDirectory(prefix="slackwater-bench-dbt-") as folder,
    ):
        path, target = WarehousePath(ledger, lake, warehouse), Path(folder)
        for entity in ENTITIES:
            table = history[entity]
            for first in range(0, table.num_rows, ROWS_PER_BATCH):
                path.load_landed(path.land_table(entity, table.slice(first, ROWS_PER_BATCH)))
        whole = _refresh(stack, path, target)
        _load_a_day(path, history)
        day = _refresh(stack, path, target)
        lines = int(str(warehouse.scalar("select count(*) from STAGING.STG_ORDER_ITEMS")))
        return HistoryCost(lines, whole, day)


def _load_a_day(path: WarehousePath, history: dict[str, pa.Table]) -> None:
    """Load orders of the day after the history, of customers and products it knows."""
    newest: datetime = pc.max(history["orders"]["__source_ts_ms"]).as_py()
    at = newest + timedelta(hours=12)
    users, products = (history[name]["id"].unique().to_pylist() for name in ("users", "products"))
    orders, lines = [], []
    for number in range(NEW_ORDERS):
        key = FIRST_NEW_KEY + number
        amount = Decimal("2.50") * LINES_PER_ORDER
        orders.append({"id": key, "user_id": users[number * 31 % len(users)], "status": "processing",
                       "total_amount": amount, "created_at": at, "updated_at": at})  # fmt: skip
        lines += [
            {"id": key * 100 + line, "order_id": key, "product_id": products[(number * 17 + line) % len(products)],
             "quantity": 1, "unit_price": Decimal("2.50"), "created_at": at}
            for line in range(LINES_PER_ORDER)
        ]  # fmt: skip
    path.load("orders", *orders)
    path.load("order_items", *lines)


def _refresh(stack: BenchStack, path: WarehousePath, target: Path) -> RefreshCost:
    begin = time.monotonic()
    refresh, lease = path.start()
    frozen = frozen_values(refresh)
    run, test = run_command(frozen, target_dir=target), data_test_command(frozen, target_dir=target)
    build = _timed(lambda: run_dbt(run, env=stack.env, target_dir=target))
    tests = _timed(lambda: run_dbt(test, env=stack.env, target_dir=target))
    scan = _timed(lambda: _scan(stack, refresh.refresh_id, target))
    path.ledger.mark_tested(lease, refresh.refresh_id)
    publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease)
    wall = time.monotonic() - begin
    path.ledger.release_work(lease)
    nothing = replace(run, arguments=(*run.arguments, "--exclude", "path:models"))
    start_up = _timed(lambda: run_dbt(nothing, env=stack.env, target_dir=target))
    costs = read_costs(path.warehouse, refresh.refresh_id)
    slowest = sorted(costs, key=lambda one: -one.seconds)[:4]
    return RefreshCost(
        wall=wall,
        build=build,
        start_up=start_up,
        tests=tests,
        scan=scan,
        warehouse=float(sum(one.seconds for one in costs)),
        scanned=sum(one.rows_scanned for one in costs),
        rewritten=sum(one.rows_rewritten for one in costs),
        slowest=", ".join(f"{one.step} {one.table} {one.seconds:.2f} s {one.rows_scanned:,} rows" for one in slowest),
    )


def _scan(stack: BenchStack, refresh_id: str, target: Path) -> None:
    run_gate(
        refresh_id,
        warehouse_settings=stack.systems.warehouse,
        dbt_run_results=target / RUN_RESULTS,
        reports_dir=target / "reports",
        contracts_dir=ProjectSettings().contracts_dir / "contracts",
    )


def _timed(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin
