"""Ask the three witnesses about every run that matters: Prefect, the host or cluster, the ledger.

The order is part of the rule: runs are read before processes and pods. A run that was running when it was read had its
process then; if it ends in between, the state has changed too, and `act.py` sees that before it does anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from slackwater.clients.kubernetes import Cluster, ClusterScan
from slackwater.clients.postgres import Connection
from slackwater.clients.prefect_runs import PrefectRuns, RunRecord
from slackwater.clients.processes import ProcessScan, scan_processes
from slackwater.errors import SlackwaterError
from slackwater.ledger.run_leases import run_leases
from slackwater.ledger.store import Ledger
from slackwater.runs.infrastructure import judge_infrastructure
from slackwater.runs.model import SWEEP_FLOW, LeaseView, Limits, ObservedRun, RunState, Situation

_DEEPEST_NESTING = 10


@dataclass(frozen=True)
class Observation:
    """Every run looked at, and what could not be looked at."""

    situations: tuple[Situation, ...]
    notes: tuple[str, ...]


def observe(
    *, api: PrefectRuns, ledger: Ledger, cluster: Cluster | None, work_pool: str, limits: Limits, now: datetime
) -> Observation:
    """Collect the unfinished runs, the missed sweeps, and the ended runs of which something is left.

    Args:
        api: Prefect.
        ledger: The ledger, for the leases.
        cluster: Where pods are; None when there is no cluster to look at.
        work_pool: Only its runs.
        limits: For how long a doubtful state is trusted.
        now: The present time, UTC.

    Raises:
        StoreUnavailable: Prefect or the ledger does not answer; nothing may be decided then.
    """
    records = {one.id: one for one in api.unfinished_runs(work_pool)}
    missed = now - timedelta(seconds=limits.missed)
    records |= {one.id: one for one in api.late_runs(work_pool, SWEEP_FLOW, before=missed)}
    roots = _roots(api, records, work_pool=work_pool)
    processes = scan_processes()
    scan, notes = _scan_cluster(cluster)
    strangers = sorted(_ids_with_infrastructure(processes, scan) - set(records))
    records |= {one.id: one for one in api.runs_by_id(strangers, work_pool=work_pool)}
    silent = api.silent_workers(work_pool)
    with ledger.transaction() as connection:
        leases = _leases(connection)
    runs = _observed(api, records, roots)
    kept = kept_sweep(runs)
    situations = tuple(
        Situation(
            run,
            judge_infrastructure(run, processes, scan, silent_workers=silent),
            leases.get(run.root_id, ()),
            now,
            limits,
            has_substitute=kept is not None and run.id != kept.id,
        )
        for run in sorted(runs, key=lambda run: run.since)
    )
    return Observation(situations, notes)


def kept_sweep(runs: Sequence[ObservedRun]) -> ObservedRun | None:
    """Return the sweep that makes up for all late ones: one that is on its way, else the one that waits longest.

    The longest waiting is first in Prefect's queue. Were it cancelled, every sweep would be cancelled in its turn while
    the worker is busy, and none would ever run.
    """
    sweeps = [run for run in runs if run.flow == SWEEP_FLOW and (run.holds_slot or run.expected_start_at)]
    return min(sweeps, key=lambda run: (not run.holds_slot, run.expected_start_at or run.since), default=None)


def _roots(api: PrefectRuns, records: dict[str, RunRecord], *, work_pool: str) -> dict[str, RunRecord]:
    """Add the unfinished subflows of the pool's runs to `records`; return each subflow's root run."""
    subflows = {one.id: one for one in api.unfinished_subflows()}
    parents = _parents(api, subflows.values())
    for _ in range(_DEEPEST_NESTING):
        nested = {child: parents[parent] for child, parent in parents.items() if parent in parents}
        if not nested:
            break
        parents |= nested
    known = dict(records)
    known |= {one.id: one for one in api.runs_by_id(sorted(set(parents.values()) - set(known)), work_pool=work_pool)}
    roots = {child: known[parent] for child, parent in parents.items() if parent in known}
    records |= {child: subflows[child] for child in roots}
    return roots


def _parents(api: PrefectRuns, subflows: Iterable[RunRecord]) -> dict[str, str]:
    by_task = {one.parent_task_run_id: one.id for one in subflows if one.parent_task_run_id}
    return {by_task[task]: parent for task, parent in api.parent_runs(sorted(by_task)).items()}


def _scan_cluster(cluster: Cluster | None) -> tuple[ClusterScan | None, tuple[str, ...]]:
    if cluster is None:
        return None, ()
    try:
        return cluster.scan(), ()
    except SlackwaterError as exc:
        return None, (f"Pods were not looked at: {exc}",)


def _ids_with_infrastructure(processes: ProcessScan, scan: ClusterScan | None) -> set[str]:
    ids = {one.run_id for one in processes.processes}
    if scan is not None:
        ids |= {pod.run_id for pod in scan.pods if not pod.has_finished}
        ids |= {job.run_id for job in scan.jobs if not job.has_finished}
    return {one for one in ids if _is_uuid(one)}


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _leases(connection: Connection) -> dict[str, tuple[LeaseView, ...]]:
    held: dict[str, tuple[LeaseView, ...]] = {}
    for one in run_leases(connection):
        view = LeaseView(one.subject, one.run_id, one.attempt, one.seconds_left)
        held[one.run_id] = (*held.get(one.run_id, ()), view)
    return held


def _observed(
    api: PrefectRuns, records: Mapping[str, RunRecord], roots: Mapping[str, RunRecord]
) -> Sequence[ObservedRun]:
    flows = api.flow_names([one.flow_id for one in records.values()])
    deployments = api.deployment_names([one.deployment_id for one in records.values() if one.deployment_id])
    runs = []
    for record in records.values():
        root = roots.get(record.id, record)
        flow = flows.get(record.flow_id, record.flow_id)
        deployment = deployments.get(record.deployment_id or "")
        run = ObservedRun(
            id=record.id,
            name=record.name,
            root_id=root.id,
            flow=flow,
            deployment=f"{flow}/{deployment}" if deployment else None,
            state=RunState(record.state_type),
            state_name=record.state_name,
            state_id=record.state_id,
            since=record.state_at,
            expected_start_at=record.expected_start_at,
            parameters=record.parameters,
            infrastructure_pid=root.infrastructure_pid,
            worker_name=root.labels.get("prefect.worker.name"),
            worker_type=root.labels.get("prefect.worker.type"),
        )
        runs.append(run)
    return runs
