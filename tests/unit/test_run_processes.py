"""Processes of flow runs: found and ended by what their environment says, never by their number."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from slackwater.clients.processes import WORKER_SCRIPT, end_run_processes, scan_processes

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
PATIENT = "print(1, flush=True); import time; time.sleep(60)"


@pytest.fixture
def run_id() -> str:
    return str(uuid4())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, program: str, run_id: str | None, *words: str) -> subprocess.Popen[bytes]:
    """Start a process that is ready when this returns."""
    env = {**os.environ, **({"PREFECT__FLOW_RUN_ID": run_id, "PREFECT__WORKER_NAME": "w"} if run_id else {})}
    process = stack.enter_context(
        subprocess.Popen([sys.executable, "-c", program, *words], env=env, stdout=subprocess.PIPE)
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    return process


def test_a_process_is_found_by_the_run_in_its_environment(stack: ExitStack, run_id: str) -> None:
    process = start(stack, PATIENT, run_id)
    seen = scan_processes()
    assert [(one.pid, one.worker_name) for one in seen.processes if one.run_id == run_id] == [(process.pid, "w")]
    assert "w" in seen.workers
    process.kill()
    process.wait()
    assert [one for one in scan_processes().processes if one.run_id == run_id] == []


def test_a_dead_process_nobody_waited_for_is_not_alive(stack: ExitStack, run_id: str) -> None:
    process = start(stack, PATIENT, run_id)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{process.pid}").exists()
    assert [one for one in scan_processes().processes if one.run_id == run_id] == []


def test_a_named_worker_is_seen_on_its_host(stack: ExitStack) -> None:
    start(stack, PATIENT, None, "worker", "start", "--name", "night-shift")
    assert "night-shift" in scan_processes().workers


def test_a_named_worker_of_the_embedded_pool_is_seen(stack: ExitStack) -> None:
    start(stack, PATIENT, None, f"/somewhere/deployments/{WORKER_SCRIPT}", "--name", "embedded-here")
    assert "embedded-here" in scan_processes().workers


def test_a_process_that_listens_ends_and_one_that_does_not_is_killed(stack: ExitStack, run_id: str) -> None:
    patient, stubborn = start(stack, PATIENT, run_id), start(stack, STUBBORN, run_id)
    found = end_run_processes(run_id, grace_seconds=1.0)
    assert (found.ended, found.killed, found.left) == ((patient.pid,), (stubborn.pid,), ())
    assert (patient.wait(), stubborn.wait()) == (-signal.SIGTERM, -signal.SIGKILL)


def test_another_process_is_never_ended(stack: ExitStack, run_id: str) -> None:
    other, unrelated = start(stack, PATIENT, str(uuid4())), start(stack, PATIENT, None)
    assert end_run_processes(run_id, grace_seconds=0.1) == end_run_processes(run_id, grace_seconds=0.1)
    assert (other.poll(), unrelated.poll()) == (None, None)


def test_where_there_is_no_proc_nothing_is_known(tmp_path: Path) -> None:
    seen = scan_processes(tmp_path / "absent")
    assert not seen.is_supported
    assert seen.processes == ()
