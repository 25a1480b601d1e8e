"""The rules of the run reconciler: one line per case, and what must hold for every combination."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from slackwater.runs.decide import RULES, decide
from slackwater.runs.model import (
    ENDED_BADLY,
    SWEEP_FLOW,
    Action,
    Infrastructure,
    LeaseView,
    Life,
    Limits,
    ObservedRun,
    RunState,
    Situation,
)
from slackwater.runs.observe import kept_sweep

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = ObservedRun(
    id="r-1",
    name="ingest-b1",
    root_id="r-1",
    flow="ingest-batch",
    deployment="ingest-batch/on-batch",
    state=RunState.RUNNING,
    state_name="Running",
    state_id="s-1",
    since=NOW,
    infrastructure_pid="17",
    worker_name="w",
    worker_type="process",
)
ALIVE = Infrastructure(Life.ALIVE, "process 17", process_ids=(17,))
WAITING = Infrastructure(Life.WAITING, "pod flows/p is Pending", jobs=("j",))
GONE = Infrastructure(Life.GONE, "its process 17 is gone")
GONE_BUT_CHILD = Infrastructure(Life.GONE, "its process 17 is gone, child processes 18 are left", process_ids=(18,))
UNKNOWN = Infrastructure(Life.UNKNOWN, "its worker w is not seen on this host")
SEEN = (ALIVE, WAITING, GONE, GONE_BUT_CHILD, UNKNOWN)
LIVE = LeaseView("batch b1", "r-1", 2, 41.0)
EXPIRED = LeaseView("batch b1", "r-1", 2, -75.0)
LIMITS = Limits()


def situation(
    state: RunState, seen: Infrastructure, *leases: LeaseView, age: float = 3_600, flow: str = "ingest-batch"
) -> Situation:
    since = NOW - timedelta(seconds=age)
    run = replace(RUN, state=state, state_name=state.value.title(), since=since, flow=flow, expected_start_at=since)
    return Situation(run, seen, leases, NOW, LIMITS)


def never_started(*, age: float) -> Situation:
    case = situation(RunState.PENDING, Infrastructure(Life.GONE, "its worker w has no process for it"), age=age)
    return replace(case, run=replace(case.run, infrastructure_pid=None))


def late_sweep(late_seconds: float, *, has_substitute: bool) -> Situation:
    case = situation(RunState.SCHEDULED, GONE, age=late_seconds, flow=SWEEP_FLOW)
    return replace(case, has_substitute=has_substitute)


TABLE = [
    ("completed", Action.LEAVE, situation(RunState.COMPLETED, GONE)),
    ("completed", Action.LEAVE, situation(RunState.COMPLETED, GONE, EXPIRED)),
    ("completed", Action.LEAVE, situation(RunState.COMPLETED, GONE, LIVE)),
    ("completed", Action.LEAVE, situation(RunState.COMPLETED, ALIVE, age=LIMITS.completed - 1)),
    ("completed_leftover", Action.END, situation(RunState.COMPLETED, ALIVE, age=LIMITS.completed)),
    ("completed_leftover", Action.END, situation(RunState.COMPLETED, GONE_BUT_CHILD, age=LIMITS.completed)),
    ("ended", Action.LEAVE, situation(RunState.FAILED, GONE)),
    ("ended", Action.LEAVE, situation(RunState.CRASHED, ALIVE, age=LIMITS.ended - 1)),
    ("ended_leftover", Action.END, situation(RunState.CRASHED, ALIVE, age=LIMITS.ended)),
    ("ended_leftover", Action.END, situation(RunState.CRASHED, WAITING)),
    ("ended_leftover", Action.END, situation(RunState.FAILED, GONE_BUT_CHILD)),
    ("ended_leftover", Action.END, situation(RunState.CANCELLED, ALIVE, LIVE)),
    ("running_alive", Action.LEAVE, situation(RunState.RUNNING, ALIVE, EXPIRED)),
    ("running_alive", Action.LEAVE, situation(RunState.RUNNING, WAITING)),
    ("running_leased", Action.LEAVE, situation(RunState.RUNNING, GONE, LIVE)),
    ("running_leased", Action.LEAVE, situation(RunState.RUNNING, UNKNOWN, EXPIRED, LIVE)),
    ("running_unknown", Action.LEAVE, situation(RunState.RUNNING, UNKNOWN)),
    ("running_unknown", Action.LEAVE, situation(RunState.RUNNING, UNKNOWN, EXPIRED)),
    ("running_dead", Action.CRASH, situation(RunState.RUNNING, GONE)),
    ("running_dead", Action.CRASH, situation(RunState.RUNNING, GONE, EXPIRED)),
    ("running_dead", Action.CRASH, situation(RunState.RUNNING, GONE_BUT_CHILD, EXPIRED)),
    ("pending_died", Action.CRASH, situation(RunState.PENDING, GONE, age=LIMITS.died)),
    ("pending_died", Action.CRASH, situation(RunState.PENDING, GONE, EXPIRED, age=LIMITS.died)),
    ("pending_recent", Action.LEAVE, situation(RunState.PENDING, GONE, age=LIMITS.died - 1)),
    ("pending_recent", Action.LEAVE, situation(RunState.PENDING, GONE, LIVE, age=LIMITS.pending - 1)),
    ("pending_recent", Action.LEAVE, situation(RunState.PENDING, UNKNOWN, age=LIMITS.pending - 1)),
    ("pending_recent", Action.LEAVE, never_started(age=LIMITS.pending - 1)),
    ("pending_alive", Action.LEAVE, situation(RunState.PENDING, ALIVE)),
    ("pending_alive", Action.LEAVE, situation(RunState.PENDING, GONE, LIVE)),
    ("pending_unsure", Action.LEAVE, situation(RunState.PENDING, WAITING, age=LIMITS.waiting - 1)),
    ("pending_unsure", Action.LEAVE, situation(RunState.PENDING, UNKNOWN, age=LIMITS.waiting - 1)),
    ("pending_lost", Action.CRASH, never_started(age=LIMITS.pending)),
    ("pending_lost", Action.CRASH, situation(RunState.PENDING, WAITING, age=LIMITS.waiting)),
    ("pending_lost", Action.CRASH, situation(RunState.PENDING, UNKNOWN, age=LIMITS.waiting)),
    ("cancelling_recent", Action.LEAVE, situation(RunState.CANCELLING, ALIVE, age=LIMITS.cancelling - 1)),
    ("cancelling_stuck", Action.END, situation(RunState.CANCELLING, ALIVE, age=LIMITS.cancelling)),
    ("cancelling_gone", Action.CANCEL, situation(RunState.CANCELLING, GONE, age=LIMITS.cancelling)),
    ("otherwise", Action.LEAVE, situation(RunState.CANCELLING, UNKNOWN)),
    ("missed_sweep", Action.CANCEL, late_sweep(LIMITS.missed + 1, has_substitute=True)),
    ("otherwise", Action.LEAVE, late_sweep(LIMITS.missed, has_substitute=True)),
    ("otherwise", Action.LEAVE, late_sweep(LIMITS.missed + 1, has_substitute=False)),
    ("otherwise", Action.LEAVE, situation(RunState.SCHEDULED, GONE)),
    ("otherwise", Action.LEAVE, situation(RunState.PAUSED, GONE)),
]


@pytest.mark.parametrize(
    ("rule", "action", "case"),
    [pytest.param(*line, id=f"{n}-{line[0]}-{line[2].run.state.value}") for n, line in enumerate(TABLE)],
)
def test_each_rule_speaks_where_it_should(rule: str, action: Action, case: Situation) -> None:
    decision = decide(case)
    assert (decision.rule, decision.action) == (rule, action)


def test_every_rule_is_in_the_table() -> None:
    assert {rule.name for rule in RULES} == {line[0] for line in TABLE}


EVERYTHING = [
    situation(state, seen, *leases, age=age, flow=flow)
    for state, seen, leases, age, flow in product(
        RunState, SEEN, [(), (LIVE,), (EXPIRED,), (LIVE, EXPIRED)], [-60, 0, 89, 200, 1_000, 10**6], ["x", SWEEP_FLOW]
    )
]


def test_a_run_that_has_ended_never_gets_another_state() -> None:
    ended = [case for case in EVERYTHING if case.run.state is RunState.COMPLETED or case.run.state in ENDED_BADLY]
    assert len(ended) > 100
    assert {decide(case).action for case in ended} == {Action.LEAVE, Action.END}


def test_a_run_with_a_live_lease_or_a_living_process_is_never_crashed() -> None:
    living = [case for case in EVERYTHING if case.live_lease is not None or case.infrastructure.life is Life.ALIVE]
    assert len(living) > 100
    assert Action.CRASH not in {decide(case).action for case in living}


def test_a_running_run_is_crashed_only_when_it_is_seen_that_nothing_executes_it() -> None:
    crashed = [case for case in EVERYTHING if decide(case).rule == "running_dead"]
    assert {case.infrastructure.life for case in crashed} == {Life.GONE}
    assert all(case.live_lease is None for case in crashed)


def test_a_pending_run_is_given_up_early_only_when_it_is_seen_that_its_process_is_gone() -> None:
    early = [case for case in EVERYTHING if decide(case).action is Action.CRASH and case.age_seconds < LIMITS.pending]
    pending = [case for case in early if case.run.state is RunState.PENDING]
    assert {(case.infrastructure.life, case.live_lease) for case in pending} == {(Life.GONE, None)}
    assert min(case.age_seconds for case in pending) >= LIMITS.died


def test_nothing_is_ended_but_what_exists_and_belongs_to_a_run_that_is_over() -> None:
    ended = [case for case in EVERYTHING if decide(case).action is Action.END]
    assert ended
    over = ENDED_BADLY | {RunState.COMPLETED, RunState.CANCELLING}
    assert all(case.infrastructure.has_leftovers and case.run.state in over for case in ended)


def test_a_subflow_never_costs_its_root_the_process() -> None:
    case = situation(RunState.CANCELLING, ALIVE)
    subflow = replace(case, run=replace(case.run, root_id="r-0"))
    assert decide(subflow).action is Action.LEAVE


def test_the_explanation_names_what_was_seen() -> None:
    decision = decide(situation(RunState.RUNNING, GONE, EXPIRED))
    assert decision.reason.startswith("Its process 17 is gone and")
    assert "batch b1 ran out 75 s ago" in decision.reason
    assert decision.evidence["rule"] == "running_dead"
    assert decision.evidence["expired_leases"] == 1
    assert "41 s more" in decide(situation(RunState.RUNNING, GONE, LIVE)).reason


def sweep(run_id: str, state: RunState, *, waits_seconds: float) -> ObservedRun:
    expected = NOW - timedelta(seconds=waits_seconds)
    return replace(RUN, id=run_id, flow=SWEEP_FLOW, state=state, expected_start_at=expected)


@pytest.mark.parametrize(
    ("runs", "kept"),
    [
        pytest.param([], None, id="no sweep"),
        pytest.param([RUN], None, id="another flow is no sweep"),
        pytest.param(
            [
                sweep("late", RunState.SCHEDULED, waits_seconds=100),
                sweep("later", RunState.SCHEDULED, waits_seconds=160),
            ],
            "later",
            id="the one that waits longest is first in the queue",
        ),
        pytest.param(
            [sweep("late", RunState.SCHEDULED, waits_seconds=160), sweep("runs", RunState.RUNNING, waits_seconds=5)],
            "runs",
            id="one that runs makes up for all",
        ),
    ],
)
def test_one_sweep_is_kept_so_that_a_busy_worker_runs_one_at_last(runs: list[ObservedRun], kept: str | None) -> None:
    found = kept_sweep(runs)
    assert (found.id if found else None) == kept
