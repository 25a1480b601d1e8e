"""Ways to kill a part of a running stack: always with SIGKILL, always processes of that stack alone."""

import os
import signal
import time
from collections.abc import Callable

import psutil

from slackwater.stack.profile import Profile
from slackwater.stack.supervisor import Supervisor, socket_path

FLOW_PROCESS = "flow process"
WAIT_SECONDS = 90.0


def kill_part(profile: Profile, part: str) -> int:
    """Kill a service, or the oldest running flow process, and return the pid that died."""
    pid = _until(lambda: _flow_pid(profile)) if part == FLOW_PROCESS else service_pid(profile, part)
    os.kill(pid, signal.SIGKILL)
    return pid


def service_pid(profile: Profile, service: str) -> int:
    """Return the pid of a service as its supervisor knows it; 0 while it does not run."""
    return Supervisor(socket_path(profile.home)).processes()[service].pid


def _flow_pid(profile: Profile) -> int:
    worker = psutil.Process(service_pid(profile, "worker"))
    runs = [child for child in worker.children(recursive=True) if "engine" in " ".join(child.cmdline())]
    return min(runs, key=lambda process: process.create_time()).pid if runs else 0


def _until(found: Callable[[], int]) -> int:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if pid := found():
                return pid
        except psutil.Error:
            pass
        time.sleep(0.1)
    raise AssertionError(f"no flow process appeared within {WAIT_SECONDS} s")
