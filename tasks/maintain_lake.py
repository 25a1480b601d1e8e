"""Step of the daily upkeep of the lake: take away what is expired, tidy what readers pay for, and say what it gave."""

import os
from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.clients.spark import SparkJobs
from slackwater.lake.maintenance import MaintainRequest, MaintainResult
from slackwater.lake.maintenance_report import maintenance_markdown, reasons
from slackwater.lake.run_maintenance import MaintenanceReport, maintain
from slackwater.ledger.model import WorkLease
from slackwater.settings import LakeSettings, ProjectSettings, SparkSettings
from slackwater.spark_runtime.failures import error_of_document
from tasks.connections import open_lake, open_ledger
from tasks.retrying import retried_task


@retried_task()
def maintain_tables(lease: WorkLease | None) -> MaintenanceReport:
    """Keep every table of the lake within its retention.

    Args:
        lease: Of the lake; None only says what would go.

    Raises:
        SlackwaterError: Spark's part of a table failed; those that were done are in the artifact all the same.
    """
    jobs = SparkJobs(SparkSettings(), ProjectSettings(), os.environ)
    with open_ledger() as ledger:

        def run_spark(request: MaintainRequest) -> MaintainResult:
            check = (lambda: ledger.renew(lease)) if lease is not None else (lambda: None)
            return jobs.run("maintain_tables", request, MaintainResult, check=check)

        report = maintain(
            ledger=ledger,
            lake=open_lake(),
            settings=LakeSettings(),
            now=datetime.now(UTC),
            lease=lease,
            run_spark=run_spark,
        )
    create_markdown_artifact(key="lake-maintenance", markdown=maintenance_markdown(report))
    for reason in reasons(report):
        get_run_logger().info("%s", reason)
    for one in report.tables:
        if one.spark is not None and one.spark.error is not None:
            raise error_of_document({"error": one.spark.error})
    return report
