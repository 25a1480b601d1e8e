"""Which Prefect runs the sweep may declare dead."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from tasks.sweep import PENDING_LIMIT, cause_of_death

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run_of(kind: StateType, *, age: timedelta = timedelta(hours=1), pid: str | None = None) -> FlowRun:
    return FlowRun(flow_id=uuid4(), infrastructure_pid=pid, state=State(type=kind, timestamp=NOW - age))


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        pytest.param(run_of(StateType.PENDING), "never started", id="pending for an hour"),
        pytest.param(run_of(StateType.PENDING, age=PENDING_LIMIT / 2), None, id="pending for a moment"),
        pytest.param(run_of(StateType.RUNNING, pid="17"), "process 17 is gone", id="its process is gone"),
        pytest.param(run_of(StateType.RUNNING, pid="4"), None, id="its process lives"),
        pytest.param(run_of(StateType.RUNNING, pid="data:job-17"), None, id="not a process of this machine"),
        pytest.param(run_of(StateType.RUNNING), None, id="a subflow has no process of its own"),
        pytest.param(run_of(StateType.COMPLETED, pid="17"), None, id="completed is never crashed"),
    ],
)
def test_only_a_run_that_cannot_go_on_is_dead(run: FlowRun, expected: str | None) -> None:
    cause = cause_of_death(run, now=NOW, is_alive=lambda pid: pid == 4)
    assert (expected in cause) if (expected and cause) else (cause is expected)
