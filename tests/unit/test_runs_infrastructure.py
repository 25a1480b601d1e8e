"""What a look at processes or pods says about a run: `gone` only where the eye reaches."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from slackwater.clients.kubernetes import ClusterScan, RunJob, RunPod
from slackwater.clients.processes import ProcessScan, RunProcess
from slackwater.runs.infrastructure import judge_infrastructure
from slackwater.runs.model import Life, ObservedRun, RunState

RUN = ObservedRun(
    id="r-1",
    name="n",
    root_id="r-1",
    flow="f",
    deployment=None,
    state=RunState.RUNNING,
    state_name="Running",
    state_id="s",
    since=datetime(2026, 1, 1, tzinfo=UTC),
    infrastructure_pid="17",
    worker_name="here",
    worker_type="process",
)
EMPTY = ProcessScan(True, (), frozenset({"here"}), frozenset())
FLOW = RunProcess(17, "r-1", "here", is_flow=True)
CHILD = RunProcess(18, "r-1", "here", is_flow=False)
OTHER = RunProcess(17, "r-2", "here", is_flow=True)


def scan(*processes: RunProcess) -> ProcessScan:
    return replace(EMPTY, processes=processes)


@pytest.mark.parametrize(
    ("run", "seen", "life", "ids"),
    [
        pytest.param(RUN, scan(FLOW, CHILD), Life.ALIVE, (17, 18), id="its process lives"),
        pytest.param(RUN, scan(), Life.GONE, (), id="its process is gone"),
        pytest.param(RUN, scan(OTHER), Life.GONE, (), id="its number was given to another run's process"),
        pytest.param(RUN, scan(CHILD), Life.GONE, (18,), id="a child is no flow, but it is left over"),
        pytest.param(RUN, replace(EMPTY, unreadable=frozenset({17})), Life.UNKNOWN, (), id="another account's process"),
        pytest.param(RUN, replace(EMPTY, workers=frozenset()), Life.UNKNOWN, (), id="its worker is elsewhere"),
        pytest.param(RUN, replace(EMPTY, is_supported=False), Life.UNKNOWN, (), id="no view of processes"),
        pytest.param(replace(RUN, worker_name=None), scan(), Life.UNKNOWN, (), id="nobody signed for it"),
        pytest.param(replace(RUN, infrastructure_pid=None), scan(FLOW), Life.ALIVE, (17,), id="found without a number"),
        pytest.param(replace(RUN, infrastructure_pid=None), scan(), Life.GONE, (), id="taken here, started nothing"),
        pytest.param(
            replace(RUN, infrastructure_pid=None, worker_name=None, state=RunState.PENDING),
            scan(),
            Life.GONE,
            (),
            id="pending and never taken",
        ),
        pytest.param(replace(RUN, id="sub"), scan(FLOW), Life.ALIVE, (17,), id="a subflow lives in its root's process"),
    ],
)
def test_a_process_is_judged_by_whose_it_is(
    run: ObservedRun, seen: ProcessScan, life: Life, ids: tuple[int, ...]
) -> None:
    found = judge_infrastructure(run, seen, None)
    assert (found.life, found.process_ids) == (life, ids)


TAKEN = replace(RUN, state=RunState.PENDING, infrastructure_pid=None)


@pytest.mark.parametrize(
    ("run", "silent", "life"),
    [
        pytest.param(TAKEN, {"here"}, Life.GONE, id="taken by a worker that fell silent: nobody will start it"),
        pytest.param(TAKEN, {"there"}, Life.UNKNOWN, id="taken by a worker elsewhere that is well"),
        pytest.param(replace(TAKEN, infrastructure_pid="17"), {"here"}, Life.UNKNOWN, id="a process was started"),
        pytest.param(RUN, {"here"}, Life.UNKNOWN, id="a process may outlive its worker"),
    ],
)
def test_a_silent_worker_starts_nothing_and_says_nothing_of_what_it_started(
    run: ObservedRun, silent: set[str], life: Life
) -> None:
    elsewhere = replace(EMPTY, workers=frozenset())
    assert judge_infrastructure(run, elsewhere, None, silent_workers=silent).life is life


POD_RUN = replace(RUN, infrastructure_pid="flows:job-1", worker_type="kubernetes")
POD = RunPod("pod-1", "r-1", "Running", "job-1", is_ending=False)
JOB = RunJob("job-1", "r-1", has_finished=False, is_ending=False)


def cluster(pods: tuple[RunPod, ...] = (), jobs: tuple[RunJob, ...] = (), namespace: str = "flows") -> ClusterScan:
    return ClusterScan(namespace, pods, jobs)


@pytest.mark.parametrize(
    ("seen", "life", "jobs", "pods"),
    [
        pytest.param(cluster((POD,), (JOB,)), Life.ALIVE, ("job-1",), (), id="its pod runs"),
        pytest.param(cluster((replace(POD, job=None),)), Life.ALIVE, (), ("pod-1",), id="a pod without a job"),
        pytest.param(cluster((replace(POD, phase="Pending"),), (JOB,)), Life.WAITING, ("job-1",), (), id="waits"),
        pytest.param(cluster((replace(POD, phase="Unknown"),), (JOB,)), Life.UNKNOWN, ("job-1",), (), id="node lost"),
        pytest.param(
            cluster((replace(POD, phase="Failed"), replace(POD, name="pod-2")), (JOB,)),
            Life.ALIVE,
            ("job-1",),
            (),
            id="a second pod took over",
        ),
        pytest.param(cluster((replace(POD, phase="Failed"),), (JOB,)), Life.WAITING, ("job-1",), (), id="between pods"),
        pytest.param(cluster((), (JOB,)), Life.WAITING, ("job-1",), (), id="quota: a job that gets no pod"),
        pytest.param(
            cluster((replace(POD, phase="Succeeded"),), (replace(JOB, has_finished=True),)),
            Life.GONE,
            (),
            (),
            id="finished",
        ),
        pytest.param(cluster(), Life.GONE, (), (), id="nothing there"),
        pytest.param(
            cluster((replace(POD, is_ending=True),), (replace(JOB, is_ending=True),)),
            Life.ALIVE,
            (),
            (),
            id="on its way",
        ),
        pytest.param(cluster(namespace="other"), Life.UNKNOWN, (), (), id="another namespace"),
        pytest.param(None, Life.UNKNOWN, (), (), id="no cluster to look at"),
    ],
)
def test_a_pod_is_judged_with_its_job(
    seen: ClusterScan | None, life: Life, jobs: tuple[str, ...], pods: tuple[str, ...]
) -> None:
    found = judge_infrastructure(POD_RUN, EMPTY, seen)
    assert (found.life, found.jobs, found.pods) == (life, jobs, pods)
