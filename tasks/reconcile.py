"""Step: compare both layers at the published frontier, show the report, and fail loudly on a difference."""

from datetime import date

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.errors import ReconciliationFailed
from slackwater.naming import EVENT_RECONCILIATION_FAILED, MART_SET, mart_set_resource
from slackwater.reconciliation.report import markdown_summary
from slackwater.reconciliation.run import reconcile
from slackwater.settings import QualitySettings
from tasks.connections import open_event_bus, open_ledger, open_speed_store, open_warehouse
from tasks.retrying import retried_task


@retried_task(timeout_seconds=1_800)
def reconcile_daily_metrics(from_date: str | None, to_date: str | None) -> str:
    """Compare every daily metric exactly.

    Args:
        from_date: First day (YYYY-MM-DD) or None for all.
        to_date: Last day or None for all.

    Returns:
        One sentence: how much was compared and what is in flight.

    Raises:
        ReconciliationFailed: The layers differ; names day, metric and both values of the first differences.
    """
    with open_ledger() as ledger, open_speed_store() as speed, open_warehouse("reconcile") as warehouse:
        report = reconcile(
            warehouse=warehouse,
            speed=speed,
            ledger=ledger,
            reports_dir=QualitySettings().reports_dir,
            from_date=date.fromisoformat(from_date) if from_date else None,
            to_date=date.fromisoformat(to_date) if to_date else None,
        )
    create_markdown_artifact(key="reconciliation", markdown=markdown_summary(report))
    get_run_logger().info(report.summary)
    if not report.is_equal:
        with open_event_bus() as bus:
            bus.emit(
                EVENT_RECONCILIATION_FAILED,
                mart_set_resource(MART_SET),
                {"report_id": report.report_id, "report": str(report.html)},
                event_id=f"reconciliation-failed:{report.report_id}",
            )
        raise ReconciliationFailed(report.summary)
    return report.summary
