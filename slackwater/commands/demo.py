"""`slackwater demo`: the whole way once, from real sales to a published, tested number."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slackwater.clients.prefect_api import FlowRun, PrefectApi
from slackwater.commands.context import EXIT_PROBLEM, out, plain_errors, problems
from slackwater.commands.query import print_rows
from slackwater.commands.replay import LAST_DAY_OF_DATA, play, print_report
from slackwater.commands.status import progress_lines
from slackwater.commands.waiting import Progress, wait_until_quiet
from slackwater.errors import StoreUnavailable
from slackwater.ledger.answers import LedgerStatus
from slackwater.ledger.store import Ledger
from slackwater.replay.run import DEFAULT_TO
from slackwater.settings import StackSettings
from slackwater.stack.control import start_stack
from slackwater.stack.environment import full_environment
from slackwater.stack.systems import Systems

UPKEEP_FLOW = "compact-table"
RECONCILE_DEPLOYMENT = "reconcile-layers/hourly"
DAILY_METRICS = """
select date, total_orders as orders, completed_orders as completed, cancelled_orders as cancelled,
    total_active_customers as customers, new_customers as new, returning_customers as returning,
    total_items_sold as items, unique_products_sold as products, avg_order_value as per_order,
    total_revenue as revenue, revenue_from_guests as from_guests
from marts.daily_business_metrics
order by date
"""
_FLOW_TIMEOUT_SECONDS = 600.0
_UPKEEP_SECONDS = 120.0
_PASSED = ("passed", "warned")


class Days(StrEnum):
    """How much of the year the demo replays."""

    DECEMBER = "december"
    ALL = "all"


def demo(
    days: Annotated[Days, typer.Option(help="december (42,481 invoice lines) or all (541,909).")] = Days.DECEMBER,
    timeout: Annotated[float, typer.Option(min=60, help="Longest wait for the marts, in seconds.")] = 3_600,
) -> None:
    """Start the system, replay real sales into it, and show the published numbers.

    S3 events drive everything after the replay: ingest, warehouse, dbt, quality gate, publication. Running it again on
    a running or stopped system works and changes no number.
    """
    begin = time.monotonic()
    with plain_errors():
        _headline("1. Start the services and deploy the flows")
        report = start_stack(
            StackSettings(), say=lambda text: out.print(f"  {time.monotonic() - begin:5.1f} s  {text}", markup=False)
        )
        environment = full_environment(report.profile)
        systems = Systems.from_environment(environment)
        _headline("2. Replay real sales: shop tables, change files into S3, the speed layer's feed")
        print_report(play(systems, from_date=None, to_date=DEFAULT_TO if days is Days.DECEMBER else LAST_DAY_OF_DATA))
        _headline("3. S3 events drive the rest: lake -> warehouse -> dbt -> quality gate -> publish")
        with Ledger(systems.ledger.dsn, lease_seconds=systems.ledger.lease_seconds) as ledger:
            progress = wait_until_quiet(systems, ledger, timeout_seconds=timeout, say=_progress_and_failures(systems))
        _headline("4. Reconcile ClickHouse with Snowflake")
        reconciliation = _reconcile(systems)
        upkeep = _upkeep(systems)
        is_good = _print_results(systems, progress.ledger, reconciliation, upkeep, is_quiet=progress.is_quiet)
        _print_addresses(systems, time.monotonic() - begin)
    if not is_good:
        raise typer.Exit(EXIT_PROBLEM)


def _headline(text: str) -> None:
    out.print(f"\n{text}", style="bold", markup=False)


def _progress_and_failures(systems: Systems) -> Callable[[Progress], None]:
    """Return a function that prints progress, and each failed flow run once."""
    since, named, say_progress = datetime.now(UTC), set[str](), progress_lines()

    def say(progress: Progress) -> None:
        say_progress(progress)
        with contextlib.suppress(StoreUnavailable), PrefectApi(systems.events) as api:
            for run in api.failed_runs(since=since):
                if run.id not in named:
                    named.add(run.id)
                    out.print(f"  run {run.name} {run.state_type.lower()}: {run.state_message}", markup=False)

    return say


def _reconcile(systems: Systems) -> FlowRun:
    """Start one run of the reconciliation and wait for its end."""
    with PrefectApi(systems.events) as api:
        run = api.start_run(RECONCILE_DEPLOYMENT, {})
        out.print(f"  run {run.name}: {systems.events.ui_url}/runs/flow-run/{run.id}", markup=False)
        run = _ended(api, run, timeout_seconds=_FLOW_TIMEOUT_SECONDS)
    out.print(f"  {run.state_type.lower()}: {run.state_message}", markup=False)
    return run


def _upkeep(systems: Systems) -> FlowRun | None:
    """Return the last run of the lake's upkeep, which starts by itself; one that is at work is waited for a while."""
    with PrefectApi(systems.events) as api:
        run = api.newest_run(UPKEEP_FLOW)
        return run and _ended(api, run, timeout_seconds=_UPKEEP_SECONDS)


def _ended(api: PrefectApi, run: FlowRun, *, timeout_seconds: float) -> FlowRun:
    """Return a run when it has ended or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not run.is_finished and time.monotonic() < deadline:
        time.sleep(1.0)
        try:
            run = api.flow_run(run.id)
        except StoreUnavailable as exc:
            out.print(f"  {exc}", markup=False)
    return run


def _told_upkeep(run: FlowRun | None) -> tuple[bool, str]:
    """Return whether the lake's upkeep is well, and what it did: folded, compacted, or why it left something out."""
    if run is None:
        return True, "lake upkeep: not due yet"
    if not run.is_finished:
        return True, f"lake upkeep: run {run.name} is still at work"
    return run.state_type == "COMPLETED", f"lake upkeep: {run.state_message or run.state_type.lower()}"


def _print_results(
    systems: Systems, ledger: LedgerStatus, reconciliation: FlowRun, upkeep: FlowRun | None, *, is_quiet: bool
) -> bool:
    """Print the metrics and one line per check; return whether all is well."""
    _headline("Daily business metrics (marts.daily_business_metrics)")
    from slackwater.clients.snowflake import Warehouse  # half a second that no other command has to wait

    with Warehouse(systems.warehouse, query_tag="slackwater demo") as warehouse:
        names, rows = warehouse.select(DAILY_METRICS)
    print_rows([name.lower() for name in names], rows)
    _headline("Checks")
    checks = _read_checks(systems.quality.reports_dir / "scans" / "latest.json")
    for check in checks:
        where = f"{check['dataset']}{'.' + check['column'] if check['column'] else ''}"
        said = ": ".join(filter(None, (where, check["name"], check["message"])))
        out.print(f"  {_mark(check['outcome'] in _PASSED)} {said}", markup=False)
    is_published = ledger.last_refresh is not None and ledger.last_refresh.state == "published"
    is_reconciled = reconciliation.state_type == "COMPLETED"
    is_kept, told_upkeep = _told_upkeep(upkeep)
    quarantined = sum(len(entity.quarantined) for entity in ledger.entities) + len(ledger.unplaced)
    for is_well, text in (
        (is_quiet, "every file is accounted for, nothing is in flight"),
        (quarantined == 0, f"files in quarantine: {quarantined}"),
        (is_published, f"last refresh: {ledger.last_refresh.state if ledger.last_refresh else 'none'}"),
        (is_reconciled, f"reconciliation: {reconciliation.state_message or reconciliation.state_type.lower()}"),
        (is_kept, told_upkeep),
    ):
        out.print(f"  {_mark(is_well)} {text}", markup=False)
    if not is_quiet:
        problems.print("Something is still in flight: slackwater status; slackwater stack logs worker", markup=False)
    return is_quiet and is_published and is_reconciled and is_kept


def _read_checks(report: Path) -> list[Mapping[str, str]]:
    if not report.is_file():
        return []
    found = json.loads(report.read_text())["checks"]
    return [
        {name: str(check[name] or "") for name in ("dataset", "column", "name", "outcome", "message")}
        for check in found
    ]


def _mark(is_well: bool) -> str:
    return "ok  " if is_well else "FAIL"


def _print_addresses(systems: Systems, seconds: float) -> None:
    reports = systems.quality.reports_dir
    _headline(f"Done in {seconds:.0f} s")
    for title, path in (
        ("Scan report", reports / "scans" / "latest.html"),
        ("Reconciliation", _newest(reports, "recon*")),
    ):
        if path is not None and path.is_file():
            out.print(f"  {title + ':':<16}{path.resolve().as_uri()}", markup=False)
    out.print(f"  {'Prefect UI:':<16}{systems.events.ui_url}", markup=False)
    out.print("  Look around:    slackwater status; slackwater batches list; slackwater --help", markup=False)
    out.print("  Stop:           make down   (delete all data too: slackwater stack down --delete)", markup=False)


def _newest(folder: Path, pattern: str) -> Path | None:
    pages = [page for found in folder.glob(pattern) for page in found.rglob("*.html")]
    return max(pages, key=lambda page: page.stat().st_mtime, default=None)
