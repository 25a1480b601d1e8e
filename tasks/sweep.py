"""Steps of the sweep: account for every landing object, drive what stands still, free what dead runs hold."""

from datetime import UTC, datetime, timedelta

from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

from slackwater.landing.sweep import SweepReport, sweep
from slackwater.settings import LandingSettings
from tasks.batch_claims import current_actor
from tasks.connections import open_event_bus, open_ledger, open_object_store
from tasks.retrying import RETRY_DELAYS_SECONDS, RETRY_JITTER_FACTOR, is_transient

INGEST_FLOW = "ingest-batch"
PENDING_LIMIT = timedelta(minutes=5)
"""A run that is pending for so long was lost between the worker and its process; it would hold its slot for ever."""


@task(
    retries=len(RETRY_DELAYS_SECONDS),
    retry_delay_seconds=RETRY_DELAYS_SECONDS,
    retry_jitter_factor=RETRY_JITTER_FACTOR,
    retry_condition_fn=is_transient,
)
def sweep_landing_prefix() -> SweepReport:
    """List the landing prefix, record what no event told of, and send due events again.

    A batch whose run waits for a free slot is left alone: on a busy worker every sweep would add another run.
    """
    with open_ledger() as ledger, open_event_bus() as bus:
        report = sweep(
            ledger=ledger,
            store=open_object_store(),
            bus=bus,
            settings=LandingSettings(),
            actor=current_actor(),
            awaited=awaited_batches(),
        )
    get_run_logger().info("%s", report)
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


@task
def free_dead_runs() -> list[str]:
    """Mark runs as crashed that never left `Pending`, so that they give their concurrency slot back.

    Work is not lost with them: the ledger's leases drive it again.

    Returns:
        Names of the freed runs.
    """
    pending = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING])))
    freed = []
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=pending):
            since = run.state.timestamp if run.state else None
            if since is None or datetime.now(UTC) - since < PENDING_LIMIT:
                continue
            reason = f"Pending since {since:%Y-%m-%d %H:%M:%S}: its process was never started."
            client.set_flow_run_state(run.id, Crashed(message=reason), force=True)
            get_run_logger().warning("Freed run %s: %s", run.name, reason)
            freed.append(run.name)
    return freed
