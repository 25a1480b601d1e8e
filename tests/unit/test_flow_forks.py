"""A flow run of the embedded worker: a fork that looks and behaves like a process started for the run alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import pytest

from slackwater.stack.profile import TELEMETRY_OFF

ROOT = Path(__file__).resolve().parents[2]

START = """
import sys
sys.path.insert(0, sys.argv[1])
import flow_forks
flow_forks.LIBRARIES = ("decimal",)
run = flow_forks.new_run({"PREFECT__FLOW_RUN_ID": sys.argv[2], "OF_THE_RUN": "here"}, sys.argv[3], engine="probe")
flow_forks.start_server({"PREFECT__WORKER_NAME": "w"})
run.start()
run.join()
print(run.exitcode)
"""

START_TWICE = """
import os, signal
from multiprocessing.forkserver import _forkserver
os.kill(_forkserver._forkserver_pid, signal.SIGKILL)
os.waitid(os.P_PID, _forkserver._forkserver_pid, os.WEXITED | os.WNOWAIT)
again = flow_forks.new_run({"PREFECT__FLOW_RUN_ID": sys.argv[2]}, sys.argv[3], engine="probe")
again.start()
again.join()
print(again.exitcode)
"""

PROBE = """
import atexit, json, os, signal, sys
from pathlib import Path
from slackwater.clients.processes import scan_processes
atexit.register(lambda: Path("left").write_text("in order"))
[seen] = [one for one in scan_processes().processes if one.pid == os.getpid()]
found = {"seen": [seen.run_id, seen.worker_name], "folder": os.getcwd(), "path": sys.path[0], "name": __name__}
found["variables"] = {name: os.environ[name] for name in sorted(os.environ) if name in ("OF_THE_RUN", "OF_THE_WORKER")}
found["imported"] = "decimal" in sys.modules
Path("found.json").write_text(json.dumps(found))
"""


@pytest.fixture
def run_id() -> str:
    return str(uuid4())


def run_probe(folder: Path, run_id: str, last_words: str, worker: str = START) -> int:
    """Run the probe as a flow run and return its exit code as the worker sees it."""
    (folder / "probe.py").write_text(dedent(PROBE) + last_words + "\n")
    command = [sys.executable, "-c", worker, str(ROOT / "deployments"), run_id, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={"OF_THE_WORKER": "no"})
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout.splitlines()[-1])


def test_a_run_has_its_own_variables_and_folder_and_shows_its_id(tmp_path: Path, run_id: str) -> None:
    assert run_probe(tmp_path, run_id, "sys.exit(3)") == 3
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "seen": [run_id, "w"],
        "folder": str(tmp_path),
        "path": str(tmp_path),
        "name": "__main__",
        "variables": {"OF_THE_RUN": "here"},
        "imported": True,
    }
    assert (tmp_path / "left").read_text() == "in order"


def test_the_worker_sees_the_signal_a_run_died_of(tmp_path: Path, run_id: str) -> None:
    assert run_probe(tmp_path, run_id, "os.kill(os.getpid(), signal.SIGKILL)") == -9
    assert not (tmp_path / "left").exists()


def test_a_server_that_died_is_started_again_for_the_next_run(tmp_path: Path, run_id: str) -> None:
    assert run_probe(tmp_path, run_id, "sys.exit(4)", START + START_TWICE) == 4
    assert json.loads((tmp_path / "found.json").read_text())["seen"] == [run_id, "w"]


def test_no_library_that_is_imported_ahead_starts_a_thread() -> None:
    """A fork would have its locks and not the thread. One that cannot be imported would be imported by each run."""
    count = "\n".join(
        [
            "import importlib, sys, threading",
            "sys.path.insert(0, sys.argv[1])",
            "from flow_forks import LIBRARIES",
            "for name in LIBRARIES:",
            "    importlib.import_module(name)",
            "    assert threading.active_count() == 1, name",
        ]
    )
    command = [sys.executable, "-c", count, str(ROOT / "deployments")]
    env = {**os.environ, **TELEMETRY_OFF}
    fresh = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert fresh.returncode == 0, fresh.stderr
