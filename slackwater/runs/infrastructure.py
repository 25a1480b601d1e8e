"""What a look at this host's processes, or at a cluster's pods, says about one run. Pure.

`gone` is a strong word here: it is said only of a run whose worker is on this host (or whose namespace was listed), so
that a run of another machine is never taken for dead because its process id means nothing here.
"""

from collections.abc import Collection

from slackwater.clients.kubernetes import ClusterScan
from slackwater.clients.processes import ProcessScan
from slackwater.runs.model import Infrastructure, Life, ObservedRun, RunState

NO_CLUSTER = "its pod is not looked at (SLACKWATER_RUNS_KUBERNETES_NAMESPACE is not set, or the cluster did not answer)"


def judge_infrastructure(
    run: ObservedRun,
    processes: ProcessScan,
    cluster: ClusterScan | None,
    *,
    silent_workers: Collection[str] = (),
) -> Infrastructure:
    """Say what is known of the process or pod of a run.

    Args:
        run: The run; a subflow carries the worker and the process id of its root.
        processes: This host's processes, looked at after the run was read: one that starts later is not missed.
        cluster: The pods and jobs of the configured namespace, likewise; None when nothing could be listed.
        silent_workers: Workers that Prefect has not heard of for several of their heartbeats. That says nothing about
            a process one of them started, but it will start no other.
    """
    if run.worker_type == "kubernetes" or ":" in (run.infrastructure_pid or ""):
        return _judge_pods(run, cluster)
    return _judge_processes(run, processes, silent_workers)


def _judge_processes(run: ObservedRun, scan: ProcessScan, silent_workers: Collection[str]) -> Infrastructure:
    mine = [one for one in scan.processes if one.run_id == run.root_id]
    flow = [one.pid for one in mine if one.is_flow]
    ids = tuple(sorted(one.pid for one in mine))
    if flow:
        return Infrastructure(Life.ALIVE, f"process {flow[0]}", ids)
    life, detail = _judge_absence(run, scan, silent_workers)
    if ids:
        detail = f"{detail}, child processes {', '.join(map(str, ids))} are left"
    return Infrastructure(life, detail, ids)


def _judge_absence(run: ObservedRun, scan: ProcessScan, silent_workers: Collection[str]) -> tuple[Life, str]:
    pid = run.infrastructure_pid
    if not scan.is_supported:
        return Life.UNKNOWN, "this system does not show its processes"
    if run.worker_name is None:
        if pid is None and run.state is RunState.PENDING:
            return Life.GONE, "no worker started a process for it"
        return Life.UNKNOWN, "no worker signed for it"
    if run.worker_name not in scan.workers:
        if run.state is RunState.PENDING and pid is None and run.worker_name in silent_workers:
            return Life.GONE, f"its worker {run.worker_name} stopped answering before it started a process"
        return Life.UNKNOWN, f"its worker {run.worker_name} is not seen on this host"
    if pid is None:
        return Life.GONE, f"its worker {run.worker_name} has no process for it on this host"
    if pid.isdecimal() and int(pid) in scan.unreadable:
        return Life.UNKNOWN, f"process {pid} belongs to another account"
    return Life.GONE, f"its process {pid} is gone"


def _judge_pods(run: ObservedRun, scan: ClusterScan | None) -> Infrastructure:
    namespace = (run.infrastructure_pid or "").partition(":")[0]
    if scan is None:
        return Infrastructure(Life.UNKNOWN, NO_CLUSTER)
    if namespace and namespace != scan.namespace:
        return Infrastructure(Life.UNKNOWN, f"namespace {namespace} is not looked at")
    pods = [pod for pod in scan.pods if pod.run_id == run.root_id and not pod.has_finished]
    jobs = [job for job in scan.jobs if job.run_id == run.root_id and not job.has_finished]
    endable_jobs = tuple(job.name for job in jobs if not job.is_ending)
    endable_pods = tuple(pod.name for pod in pods if pod.job is None and not pod.is_ending)
    if pods:
        best = min(pods, key=lambda pod: _PHASES.get(pod.phase, len(_PHASES)))
        life = {"Running": Life.ALIVE, "Pending": Life.WAITING}.get(best.phase, Life.UNKNOWN)
        ending = ", being deleted" if best.is_ending else ""
        detail = f"pod {scan.namespace}/{best.name} is {best.phase}{ending}"
        return Infrastructure(life, detail, jobs=endable_jobs, pods=endable_pods)
    if jobs:
        return Infrastructure(Life.WAITING, f"job {scan.namespace}/{jobs[0].name} has no pod", jobs=endable_jobs)
    known = run.infrastructure_pid
    return Infrastructure(Life.GONE, f"its job {known} is gone" if known else "it has neither job nor pod")


_PHASES = {"Running": 0, "Pending": 1}
