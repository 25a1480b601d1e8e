"""Flow: find what events lost. Every minute: list the landing prefix, drive dead batches again, free dead runs."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from slackwater.runs.model import SWEEP_FLOW
from slackwater.runs.report import summary
from tasks.reconcile_runs import reconcile_runs
from tasks.sweep import sweep_landing_prefix
from tasks.verify_lake import reopen_lost_batches


@flow(name=SWEEP_FLOW, log_prints=True)
def sweep_landing(is_full: bool = False) -> State[None]:
    """Account for every object below the landing prefix and drive everything that stands still.

    Args:
        is_full: List the whole prefix although it is not time yet.
    """
    runs = reconcile_runs()
    verified = reopen_lost_batches()
    report = sweep_landing_prefix(is_full=is_full)
    return Completed(
        message=f"{report.summary}; {len(verified.reopened)} batches the lake lost opened again; {summary(runs)}."
    )
