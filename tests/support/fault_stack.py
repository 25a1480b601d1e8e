"""A whole system of its own whose processes can be stopped at checkpoints, with short waits; removed at the end."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from killing import wake
from stopping import faults_folder
from world import World

from slackwater.settings import StackSettings
from slackwater.stack.control import start_stack, stop_stack
from slackwater.stack.environment import full_environment
from slackwater.stack.ports import find_free_port_base
from slackwater.stack.profile import load_profile
from slackwater.stack.supervisor import marked_processes
from slackwater.stack.systems import Systems

REPOSITORY = Path(__file__).resolve().parent.parent.parent

LEASE_SECONDS = 10
"""So long a killed run keeps its batch; a minute in production."""

PENDING_SECONDS = 60
"""So long a run may be pending that no living worker knows; five minutes in production."""


def fault_settings(home: Path) -> dict[str, str]:
    """Return the variables a stack must be started with to be broken by tests, and to recover faster."""
    return {
        "SLACKWATER_FAULTS_DIR": str(faults_folder(home)),
        "SLACKWATER_LEDGER_LEASE_SECONDS": str(LEASE_SECONDS),
        "SLACKWATER_RUNS_PENDING_LIMIT_SECONDS": str(PENDING_SECONDS),
        # Folds are started by the tests that are about them: a JVM in the middle of another one is only slow.
        "SLACKWATER_LAKE_FOLD_MIN_ROWS": str(10**9),
    }


@contextmanager
def added_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process while the block runs; what is started in it keeps them."""
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def fault_stack() -> Iterator[World]:
    """Start a system in a new folder and remove it with its data, whatever happens."""
    # PostgreSQL may run as another account, which must be able to pass through the folder.
    folder = Path(tempfile.mkdtemp(prefix="slackwater-chaos-"))
    folder.chmod(0o711)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = StackSettings(home=folder / "stack", port_base=find_free_port_base())
    try:
        with added_environment(fault_settings(settings.home)):
            profile = start_stack(settings, project_dir=REPOSITORY).profile
        yield World(profile, Systems.from_environment({**full_environment(profile), **fault_settings(settings.home)}))
    finally:
        wake_everything(settings.home)
        stop_stack(settings.home, delete=True)
        shutil.rmtree(folder, ignore_errors=True)


def wake_everything(home: Path) -> None:
    """Let every stopped process of a stack go on, so that it can end in order."""
    profile = load_profile(home)
    for process in marked_processes(profile.stack_id) if profile else ():
        wake(process.pid)
