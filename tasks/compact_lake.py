"""Step of the lake's upkeep: decide on every partition, have Spark rewrite what is worth it, keep what was decided."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.clients.spark import SparkJobs
from slackwater.errors import StoreUnavailable
from slackwater.lake.report import compaction_markdown
from slackwater.lake.rewrite import RewriteJob, RewriteJobResult, require_good
from slackwater.lake.run_compaction import CompactionReport, compact, plan_all
from slackwater.ledger.model import WorkLease
from slackwater.naming import ENTITIES, EVENT_REWRITE_REJECTED, LAKE_RESOURCE
from slackwater.settings import LakeSettings, ProjectSettings, SparkSettings
from slackwater.warehouse.compaction_log import log_rows, write_log
from tasks.connections import open_event_bus, open_lake, open_ledger, open_warehouse
from tasks.retrying import retried_task


@retried_task()
def compact_tables(lease: WorkLease, entity: str = "") -> CompactionReport:
    """Rewrite the partitions that are worth it; every partition's decision is kept in OPS.COMPACTION_LOG.

    A second call finds the rewritten partitions as they should be.

    Args:
        lease: Of the lake.
        entity: Only the tables of this entity; empty for all.

    Raises:
        RewriteRejected: A rewrite changed rows: main does not have them, and the message names the evidence.
    """
    run_id = uuid4().hex[:16]
    lake, jobs = open_lake(), SparkJobs(SparkSettings(), ProjectSettings(), os.environ)
    with open_ledger() as ledger, ledger.renewing(lease) as check:
        plans = plan_all(
            ledger, lake, LakeSettings(), now=datetime.now(UTC), entities=(entity,) if entity else ENTITIES
        )

        def run_spark(job: RewriteJob) -> RewriteJobResult:
            return jobs.run("rewrite_files", job, RewriteJobResult, check=check)

        report = compact(plans, lake, run_id=run_id, run_spark=run_spark)
    if report.ended:
        _keep(report)
    create_markdown_artifact(key="lake-compaction", markdown=compaction_markdown(report))
    for one in report.results:
        get_run_logger().info("%s: %s, %d files less", one.table, one.outcome.value, one.removed_files)
    if report.bad:
        _alert(report)
        require_good(report.bad[0])
    return report


def _alert(report: CompactionReport) -> None:
    """Say on the event bus which rewrites changed rows; the run fails all the same when the bus does not answer."""
    with suppress(StoreUnavailable), open_event_bus() as bus:
        for one in report.bad:
            payload = {"table": one.table, "reason": one.reason, "evidence_tag": one.evidence_tag or ""}
            event_id = f"{EVENT_REWRITE_REJECTED}:{one.rewrite_id}:{one.table}"
            bus.emit(EVENT_REWRITE_REJECTED, LAKE_RESOURCE, payload, event_id=event_id)


def _keep(report: CompactionReport) -> None:
    """Write what was decided and what came of it to the warehouse; a run that decided nothing is in its artifact."""
    logged_at = datetime.now(UTC).replace(tzinfo=None)
    rows = [
        row
        for one in report.plans
        for row in log_rows(one.plan, report.ended.get(one.plan.table, {}), run_id=report.run_id, logged_at=logged_at)
    ]
    with open_warehouse(f"compaction:{report.run_id}") as warehouse:
        write_log(warehouse, rows)
