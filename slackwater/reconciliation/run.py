"""One reconciliation: reads both sides at the ledger's published frontier, compares, reports, remembers.

Only reads, but for the report files and one row in OPS.RECONCILIATION. Whoever calls it decides what a difference
does; `require_equal` is the loud way.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import ReconciliationFailed
from slackwater.reconciliation.compare import compare_days
from slackwater.reconciliation.extract import read_clickhouse, read_coverage, read_marts, read_snowflake
from slackwater.reconciliation.metrics import load_metrics
from slackwater.reconciliation.report import write_reports
from slackwater.reconciliation.results import ReconciliationReport

RECONCILIATION_DDL = """create table if not exists OPS.RECONCILIATION (
    report_id varchar not null, compared_at timestamp_ntz(6) not null, is_equal boolean not null,
    days_compared number(38,0) not null, differences number(38,0) not null, partitions_missing number(38,0) not null,
    rows_in_flight number(38,0) not null)"""
"""One row per reconciliation."""


class FrontierSource(Protocol):
    """What is needed of the ledger."""

    def published_frontier(self) -> Mapping[tuple[str, str], int]:
        """Return per (entity, source partition) the last position below which everything is published."""


def ensure_reconciliation(warehouse: Warehouse) -> None:
    """Create OPS.RECONCILIATION; repeating is harmless."""
    warehouse.execute(RECONCILIATION_DDL)


def reconcile(
    *,
    warehouse: Warehouse,
    speed: SpeedStore,
    ledger: FrontierSource,
    reports_dir: Path,
    from_date: date | None = None,
    to_date: date | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ReconciliationReport:
    """Compare the daily metrics of ClickHouse, the warehouse's raw tables and the published mart.

    The frontier is read once, before anything else; what arrives later lies beyond it and is counted, not compared.
    Each call writes its own report and replaces `latest`.

    Args:
        warehouse: The exact side and the marts.
        speed: The fast side.
        ledger: Knows the frontier.
        reports_dir: Reports are written below `reconciliation/` in it.
        from_date: First UTC day to compare, inclusive; none for all.
        to_date: Last UTC day to compare, inclusive; none for all.
        clock: Returns the present moment in UTC.

    Raises:
        StoreUnavailable: A store did not answer; nothing is known then, so nothing is reported.
    """
    metrics = load_metrics()
    now = clock()
    frontier = dict(ledger.published_frontier())
    fast = read_clickhouse(speed, metrics, frontier, from_date=from_date, to_date=to_date)
    exact = read_snowflake(warehouse, metrics, frontier, from_date=from_date, to_date=to_date)
    marts, marts_note = read_marts(warehouse, metrics, frontier, from_date=from_date, to_date=to_date)
    coverage = read_coverage(speed, warehouse, frontier)
    report_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    folder = reports_dir / "reconciliation"
    report = ReconciliationReport(
        report_id=report_id,
        compared_at=now,
        frontier=frontier,
        days=tuple(sorted(fast.keys() | exact.keys() | (marts or {}).keys())),
        metrics=metrics.published_names,
        differences=compare_days(
            metrics.published_names, clickhouse=fast, snowflake=exact, marts=marts, coverage=coverage
        ),
        coverage=coverage,
        marts_note=marts_note,
        html=folder / f"{report_id}.html",
        json=folder / f"{report_id}.json",
    )
    write_reports(report)
    _remember(warehouse, report)
    return report


def require_equal(report: ReconciliationReport) -> None:
    """Raise when the sides differ.

    Raises:
        ReconciliationFailed: Names day, metric and both values of the first differences, and the report.
    """
    if not report.is_equal:
        raise ReconciliationFailed(f"{report.summary}\nReport: {report.html}")


def _remember(warehouse: Warehouse, report: ReconciliationReport) -> None:
    ensure_reconciliation(warehouse)
    warehouse.execute(
        "insert into OPS.RECONCILIATION (report_id, compared_at, is_equal, days_compared, differences,"
        " partitions_missing, rows_in_flight) values (?, ?, ?, ?, ?, ?, ?)",
        (
            report.report_id,
            report.compared_at.astimezone(UTC).replace(tzinfo=None),
            report.is_equal,
            len(report.days),
            len(report.differences),
            len(report.missing),
            report.in_flight,
        ),
    )
