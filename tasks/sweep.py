"""Step of the sweep: account for every landing object and drive what stands still."""

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from slackwater.landing.sweep import SweepReport, sweep
from slackwater.landing.wiring import Wiring
from slackwater.settings import LandingSettings, S3Settings
from tasks.batch_claims import current_actor
from tasks.connections import open_event_bus, open_ledger
from tasks.retrying import retried_task

INGEST_FLOW = "ingest-batch"


@retried_task()
def sweep_landing_prefix(*, is_full: bool = False) -> SweepReport:
    """List the recent part of the landing prefix, record what no event told of, and send due events again.

    Once a day, when queue or notification had to be made again, and when asked to, the whole prefix is listed.
    A batch whose run waits for a free slot is left alone: on a busy worker every sweep would add another run.
    """
    with open_ledger() as ledger, open_event_bus() as bus:
        report = sweep(
            ledger=ledger,
            wiring=Wiring.of(S3Settings(), LandingSettings()),
            bus=bus,
            actor=current_actor(),
            awaited=awaited_batches(),
            is_full=is_full,
        )
    get_run_logger().info("%s", report)
    for trouble in report.troubles:
        get_run_logger().warning("%s", trouble)
    return report


def awaited_batches() -> frozenset[str]:
    """Return the batches for which an ingest run is scheduled or pending; of more than 200 only the first."""
    waiting = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[INGEST_FLOW])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=waiting)),
        )
    return frozenset(str(run.parameters.get("batch_id")) for run in runs)
