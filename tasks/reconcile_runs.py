"""Step of the sweep: free what dead runs hold, end what ended runs left behind, and explain each decision."""

from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.runs.model import RunsReport
from slackwater.runs.reconcile import reconcile
from slackwater.runs.report import line, markdown, noteworthy
from slackwater.settings import EventSettings, RunSettings
from tasks.connections import open_ledger
from tasks.retrying import retried_task


@retried_task()
def reconcile_runs() -> RunsReport:
    """Look at every run that may be dead; the rules are in `slackwater/runs/decide.py`.

    Nothing is lost with a run that is freed: the ledger's leases drive its work again. The artifact appears when there
    is something to tell, not every minute.
    """
    with PrefectRuns(EventSettings()) as api, open_ledger() as ledger:
        report = reconcile(api=api, ledger=ledger, settings=RunSettings(), now=datetime.now(UTC))
    told = noteworthy(report)
    for outcome in told:
        get_run_logger().warning("%s", line(outcome))
    if told or report.notes:
        create_markdown_artifact(key="runs", markdown=markdown(report))
    return report
