"""Steps of the sweep: account for every landing object, drive what stands still, free what dead runs hold."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Crashed

from slackwater.landing.sweep import SweepReport, sweep
from slackwater.settings import LandingSettings
from tasks.batch_claims import current_actor
from tasks.connections import open_event_bus, open_ledger, open_object_store
from tasks.retrying import retried_task

INGEST_FLOW = "ingest-batch"
SWEEP_FLOW_NAME = "sweep-landing"

MISSED_AFTER = timedelta(seconds=90)
"""A scheduled sweep that is so late was missed: the next one is due already."""

PENDING_LIMIT = timedelta(minutes=5)
"""A run that is pending for so long was lost between the worker and its process; it would hold its slot for ever."""


@retried_task()
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
def cancel_missed_sweeps() -> int:
    """Cancel sweeps whose time passed while no worker ran; one sweep makes up for all of them.

    Otherwise a system that was stopped for an hour would run sixty sweeps before anything else.

    Returns:
        How many were cancelled.
    """
    missed = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) - MISSED_AFTER),
    )
    flow = FlowFilter(name=FlowFilterName(any_=[SWEEP_FLOW_NAME]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=missed, flow_filter=flow)
        for run in runs:
            client.set_flow_run_state(run.id, Cancelled(message="A later sweep makes up for it."), force=True)
    return len(runs)


@task
def free_dead_runs() -> list[str]:
    """Mark runs as crashed that are dead without knowing it, so that they give their concurrency slot back.

    Dead is a run that never left `Pending`, and one that is `Running` although its process on this machine is gone
    (killed together with its worker; a living worker reports it itself). Work is not lost with them: the ledger's
    leases drive it again. Runs of other infrastructure, whose id is no process id, are left alone.

    Returns:
        Names of the freed runs.
    """
    freed = []
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=_unfinished()):
            reason = cause_of_death(run, now=datetime.now(UTC), is_alive=_is_alive)
            if reason is None:
                continue
            client.set_flow_run_state(run.id, Crashed(message=reason), force=True)
            get_run_logger().warning("Freed run %s: %s", run.name, reason)
            freed.append(run.name)
    return freed


def cause_of_death(run: FlowRun, *, now: datetime, is_alive: Callable[[int], bool]) -> str | None:
    """Say why a run is dead, or None when it may live.

    Args:
        run: A run that is pending or running.
        now: The present time, UTC.
        is_alive: Whether a process of this machine runs.
    """
    if run.state is None:
        return None
    since = run.state.timestamp
    if run.state.type is StateType.PENDING and now - since > PENDING_LIMIT:
        return f"Pending since {since:%Y-%m-%d %H:%M:%S}: its process was never started."
    pid = run.infrastructure_pid or ""
    if run.state.type is StateType.RUNNING and pid.isdecimal() and not is_alive(int(pid)):
        return f"Its process {pid} is gone."
    return None


def _unfinished() -> FlowRunFilter:
    types = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
    return FlowRunFilter(state=FlowRunFilterState(type=types))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
