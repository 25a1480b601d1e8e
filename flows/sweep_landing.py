"""Flow: find what events lost. Every minute: list the landing prefix, drive dead batches again, free dead runs."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.sweep import SWEEP_FLOW_NAME, cancel_missed_sweeps, free_dead_runs, sweep_landing_prefix


@flow(name=SWEEP_FLOW_NAME, log_prints=True)
def sweep_landing() -> State[None]:
    """Account for every object below the landing prefix and drive everything that stands still."""
    missed = cancel_missed_sweeps()
    freed = free_dead_runs()
    report = sweep_landing_prefix()
    return Completed(
        message=f"{report.listed_objects} objects listed, {report.recorded_objects} of them new; "
        f"{len(report.emitted_batches)} batches driven; {len(freed)} dead runs freed, {missed} missed sweeps cancelled."
    )
