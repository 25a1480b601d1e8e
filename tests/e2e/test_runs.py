"""Runs that die without a word, and runs of which something is left: freed, ended, explained; never a completed one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from killing import flow_processes, kill_tree, services
from stopping import Boundary, Stops
from world import World

from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.ledger.run_leases import RunDecision, run_decisions
from slackwater.runs.model import Action, Outcome, RunsReport
from slackwater.runs.reconcile import reconcile
from slackwater.settings import RunSettings

pytestmark = pytest.mark.e2e

WAIT_SECONDS = 300.0
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


class Prefect:
    """The API as the tests need it beyond the product's client: to make runs that are in a bad way."""

    def __init__(self, world: World) -> None:
        self.http = httpx.Client(base_url=world.systems.events.api_url.rstrip("/") + "/", timeout=60, trust_env=False)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        answer = self.http.request(method, path, json=body)
        answer.raise_for_status()
        found: dict[str, object] = answer.json() if answer.content else {}
        return found

    def runs(self, **flow_runs: object) -> list[dict[str, object]]:
        found = self.http.post("flow_runs/filter", json={"flow_runs": flow_runs, "limit": 200})
        found.raise_for_status()
        return list(found.json())

    def runs_in(self, state: str) -> set[str]:
        return {str(run["id"]) for run in self.runs(state={"type": {"any_": [state]}})}

    def completed_run(self) -> str:
        """Return a completed run that had a process of its own: no subflow."""
        runs = self.runs(state={"type": {"any_": ["COMPLETED"]}})
        return min(str(run["id"]) for run in runs if run["parent_task_run_id"] is None)

    def state(self, run_id: str) -> tuple[str, str]:
        run = self.ask("GET", f"flow_runs/{run_id}")
        state = run["state"]
        assert isinstance(state, dict)
        return str(state["type"]), str(state["message"])

    def active_slots(self, deployment: str) -> int:
        limit = self.ask("GET", f"deployments/name/{deployment}")["global_concurrency_limit"]
        assert isinstance(limit, dict)
        return int(limit["active_slots"])

    def pending_run(self, deployment: str) -> str:
        """Make a run that is pending, as a worker does, and that no worker knows."""
        found = self.ask("GET", f"deployments/name/{deployment}")
        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": later}}
        run = self.ask("POST", f"deployments/{found['id']}/create_flow_run", {"state": scheduled})
        state = {"type": "PENDING", "name": "Pending"}
        answer = self.ask("POST", f"flow_runs/{run['id']}/set_state", {"state": state, "force": False})
        assert answer["status"] == "ACCEPT", answer
        return str(run["id"])

    def short_lived_worker(self, name: str) -> None:
        """Let a worker of the pool be heard of once; the server calls it offline after three missed heartbeats."""
        self.ask("POST", "work_pools/slackwater/workers/heartbeat", {"name": name, "heartbeat_interval_seconds": 1})

    def running_run(self, deployment: str, *, pid: int) -> str:
        """Make a run that says it is executed by a process of this host's worker."""
        run_id = self.pending_run(deployment)
        self.executed_by(run_id, pid=pid)
        state = {"type": "RUNNING", "name": "Running"}
        self.ask("POST", f"flow_runs/{run_id}/set_state", {"state": state, "force": True})
        return run_id

    def executed_by(self, run_id: str, *, pid: int) -> None:
        """Let a run say that this host's worker started a process for it."""
        self.ask("PATCH", f"flow_runs/{run_id}/labels", {"prefect.worker.name": "embedded"})
        self.ask("PATCH", f"flow_runs/{run_id}", {"infrastructure_pid": str(pid)})

    def running_subflow(self, parent_id: str) -> str:
        """Make a running subflow of a run, as the parent's process does."""
        task = {"flow_run_id": parent_id, "task_key": "build", "dynamic_key": "build-0"}
        task_run = self.ask("POST", "task_runs/", task)
        flow_id = self.ask("GET", f"flow_runs/{parent_id}")["flow_id"]
        state = {"type": "RUNNING", "name": "Running"}
        body = {"flow_id": flow_id, "parent_task_run_id": task_run["id"], "state": state}
        return str(self.ask("POST", "flow_runs/", body)["id"])


@pytest.fixture(scope="module")
def prefect(world: World) -> Iterator[Prefect]:
    found = Prefect(world)
    yield found
    found.http.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {WAIT_SECONDS} s"
        time.sleep(0.5)


def look(world: World, **settings: float) -> RunsReport:
    """Run one pass of the reconciler from outside Prefect."""
    chosen = RunSettings.model_validate({"stop_grace_seconds": 2.0, **settings})
    with PrefectRuns(world.systems.events) as api, world.ledger() as ledger:
        return reconcile(api=api, ledger=ledger, settings=chosen, now=datetime.now(UTC))


def outcome(report: RunsReport, run_id: str) -> Outcome:
    [found] = [one for one in report.outcomes if one.decision.run.id == run_id]
    return found


def decisions(world: World, run_id: str) -> list[RunDecision]:
    with world.ledger() as ledger, ledger.transaction() as connection:
        return run_decisions(connection, run_id=run_id)


def send_a_day(world: World) -> None:
    """Send the day after the last one that was sent."""
    sent = world.shop("select files_until from shop_replay.progress")
    until = sent[0][0] if sent else datetime(2010, 12, 1)  # noqa: DTZ001 - the shop keeps UTC without a zone
    assert isinstance(until, datetime)
    world.replay(to_date=max(until.date(), date(2010, 12, 1)) + timedelta(days=len(sent)))


@contextmanager
def process_of(run_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that carries a run's id, as one that the worker started does."""
    with subprocess.Popen(SLEEPER, env={**os.environ, "PREFECT__FLOW_RUN_ID": run_id}) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow  # about five minutes: leases, two passes of the keeper and a new worker
def test_runs_that_died_with_their_worker_and_hold_every_slot_are_freed_and_their_batches_finished(
    world: World, prefect: Prefect
) -> None:
    send_a_day(world)
    world.settle()
    completed = prefect.runs_in("COMPLETED")
    assert completed
    stops, stopped = Stops(world.profile), dict[int, str]()
    slots = world.profile.worker_limit
    stops.arm(Boundary.AFTER_LAKE_COMMIT)
    send_a_day(world)

    def every_slot_is_held() -> bool:
        pid = stops.stopped_at(Boundary.AFTER_LAKE_COMMIT)
        if pid is not None and pid not in stopped:
            [process] = [one for one in flow_processes(world.profile) if one.pid == pid]
            stopped[pid] = process.environ()["PREFECT__FLOW_RUN_ID"]
            if len(stopped) < slots:
                stops.arm(Boundary.AFTER_LAKE_COMMIT)
        return len(stopped) == slots

    wait_for(every_slot_is_held, f"{slots} runs that stand still")
    died = set(stopped.values())
    kill_tree(services(world.profile)["worker"].pid)
    for process in flow_processes(world.profile):
        kill_tree(process.pid)
    stops.forget(Boundary.AFTER_LAKE_COMMIT)
    assert died <= prefect.runs_in("RUNNING"), "Prefect cannot know yet"

    wait_for(lambda: died <= prefect.runs_in("CRASHED"), "the end of the runs whose process is gone")
    for run_id in died:
        message = prefect.state(run_id)[1]
        assert "is gone" in message
        # Its lease ran out; whether another run has taken the batch since decides how the lease is told.
        assert "its lease on batch" in message or "it holds no lease" in message
        told = decisions(world, run_id)[0]
        assert (told.action, told.evidence["rule"], told.reason) == ("crash", "running_dead", message)
    world.settle()
    with world.ledger() as ledger, ledger.transaction() as connection:
        finishers = connection.execute(
            "select l.subject_id, l.actor from ledger.transition l join ledger.transition d using (subject_id)"
            " where l.to_state = 'loaded' and d.to_state = 'landed' and d.actor = any(%s)",
            ([f"flow-run/{run_id}" for run_id in died],),
        ).fetchall()
        attempts = connection.execute(
            "select count(*) from ledger.batch where state = 'loaded' and attempt >= 2"
        ).fetchone()
    assert attempts is not None
    assert attempts[0] >= slots
    assert not {actor for _, actor in finishers} & {f"flow-run/{run_id}" for run_id in died}
    for entity in ("users", "products", "orders", "order_items"):
        place = "_source_partition || '+' || _position"  # other programs' files have partitions of their own
        count, places = world.warehouse(f"select count(*), count(distinct {place}) from RAW.{entity}")[0]
        assert count == places
    assert completed <= prefect.runs_in("COMPLETED"), "a completed run stays completed"


def test_a_completed_run_stays_completed_and_what_it_left_is_ended(world: World, prefect: Prefect) -> None:
    run_id = prefect.completed_run()
    with process_of(run_id) as process:
        patient = outcome(look(world, completed_grace_seconds=10**9), run_id)
        assert (patient.decision.action, process.poll()) == (Action.LEAVE, None)
        ended = outcome(look(world, completed_grace_seconds=0), run_id)
        assert (ended.decision.rule, ended.is_done) == ("completed_leftover", True)
        assert process.wait(timeout=10) != 0
    assert prefect.state(run_id)[0] == "COMPLETED"
    assert decisions(world, run_id)[0].action == "end"


def test_the_server_itself_refuses_to_crash_a_completed_run(world: World, prefect: Prefect) -> None:
    run_id = prefect.completed_run()
    with PrefectRuns(world.systems.events) as api:
        answer = api.propose_state(run_id, "CRASHED", name="Crashed", message="too late")
    assert not answer.is_accepted
    assert prefect.state(run_id)[0] == "COMPLETED"


def test_a_pending_run_that_nothing_executes_gives_its_slot_back(world: World, prefect: Prefect) -> None:
    deployment = "reconcile-layers/hourly"
    wait_for(lambda: prefect.active_slots(deployment) == 0, "a free slot")
    run_id = prefect.pending_run(deployment)
    assert prefect.active_slots(deployment) == 1
    assert outcome(look(world), run_id).decision.rule == "pending_recent"
    time.sleep(10)
    freed = outcome(look(world, pending_limit_seconds=10), run_id)
    assert (freed.decision.rule, freed.is_done) == ("pending_lost", True)
    assert prefect.state(run_id) == ("CRASHED", freed.decision.reason)
    assert prefect.active_slots(deployment) == 0


def test_a_pending_run_whose_process_died_gives_its_slot_back_sooner(world: World, prefect: Prefect) -> None:
    deployment = "reconcile-layers/hourly"
    wait_for(lambda: prefect.active_slots(deployment) == 0, "a free slot")
    run_id = prefect.pending_run(deployment)
    with subprocess.Popen([sys.executable, "-c", ""]) as died:
        prefect.executed_by(run_id, pid=died.pid)
    assert outcome(look(world), run_id).decision.rule == "pending_recent"
    time.sleep(10)
    freed = outcome(look(world, died_limit_seconds=10), run_id)
    assert (freed.decision.rule, freed.is_done) == ("pending_died", True)
    assert f"process {died.pid} is gone" in prefect.state(run_id)[1]
    assert prefect.active_slots(deployment) == 0


def test_a_pending_run_of_a_worker_that_fell_silent_gives_its_slot_back(world: World, prefect: Prefect) -> None:
    deployment = "reconcile-layers/hourly"
    wait_for(lambda: prefect.active_slots(deployment) == 0, "a free slot")
    prefect.short_lived_worker("gone-elsewhere")
    run_id = prefect.pending_run(deployment)
    prefect.ask("PATCH", f"flow_runs/{run_id}/labels", {"prefect.worker.name": "gone-elsewhere"})
    assert outcome(look(world, pending_limit_seconds=10**6), run_id).decision.action is Action.LEAVE
    wait_for(
        lambda: outcome(look(world, pending_limit_seconds=10), run_id).is_done, "the end of a run nobody will start"
    )
    assert "gone-elsewhere stopped answering" in prefect.state(run_id)[1]
    assert prefect.active_slots(deployment) == 0


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(world: World, prefect: Prefect) -> None:
    with subprocess.Popen(SLEEPER) as unrelated:
        try:
            run_id = prefect.running_run("scan-quality/by-hand", pid=unrelated.pid)
            look(world)
            assert prefect.state(run_id)[0] == "CRASHED"
            look(world, ended_grace_seconds=0)
            assert unrelated.poll() is None
        finally:
            unrelated.kill()


def test_the_process_of_a_crashed_run_is_ended(world: World, prefect: Prefect) -> None:
    run_id = prefect.running_run("scan-quality/by-hand", pid=1)
    prefect.ask("POST", f"flow_runs/{run_id}/set_state", {"state": {"type": "CRASHED"}, "force": True})
    with process_of(run_id) as process:
        ended = outcome(look(world, ended_grace_seconds=0), run_id)
        assert (ended.decision.rule, ended.is_done) == ("ended_leftover", True)
        assert str(process.pid) in ended.note
        assert process.wait(timeout=10) != 0
    assert prefect.state(run_id)[0] == "CRASHED"


def test_a_subflow_lives_and_dies_with_the_process_of_its_root(world: World, prefect: Prefect) -> None:
    with subprocess.Popen(SLEEPER) as ended:
        ended.kill()
    root = prefect.running_run("scan-quality/by-hand", pid=ended.pid)
    subflow = prefect.running_subflow(root)
    report = look(world)
    assert prefect.state(root)[0] == "CRASHED"
    assert prefect.state(subflow)[0] == "CRASHED"
    assert outcome(report, subflow).decision.run.root_id == root
