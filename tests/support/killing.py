"""Ways to kill a part of a running stack: always with SIGKILL, always processes of that stack alone."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from enum import StrEnum

import psutil

from slackwater.clients.processes import scan_processes
from slackwater.stack import health
from slackwater.stack.keeper import store_processes
from slackwater.stack.profile import STACK_MARKER, Profile
from slackwater.stack.supervisor import ProcessState, Supervisor, socket_path

HEAL_SECONDS = 180.0


class Victim(StrEnum):
    """What can be killed; a service's value is its name in the stack."""

    BRIDGE = "bridge"
    FLOW = "flow process"
    POSTGRES = "postgres"
    S3 = "ministack"
    SNOWFLAKE = "snowflake"
    CLICKHOUSE = "clickhouse"
    PREFECT = "prefect"


def kill_service(profile: Profile, service: str) -> int:
    """Kill a service with its children, as a machine that loses power does, and return the pid that died."""
    deadline = time.monotonic() + HEAL_SECONDS
    while not (pid := services(profile)[service].pid):
        assert time.monotonic() < deadline, f"{service} did not come back within {HEAL_SECONDS} s"
        time.sleep(0.1)
    kill_tree(pid)
    return pid


def kill_tree(pid: int) -> None:
    """Kill a process and its children; one that is gone is no error."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)


def wake(pid: int) -> None:
    """Let a stopped process go on; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """Tell whether a process stands still after SIGSTOP."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def services(profile: Profile) -> dict[str, ProcessState]:
    """Return the state of every service as the supervisor knows it."""
    return Supervisor(socket_path(profile.home)).processes()


def flow_processes(profile: Profile) -> list[psutil.Process]:
    """Return the processes in which flows run, oldest first, whichever worker started them."""
    flows = {one.pid for one in scan_processes().processes if one.is_flow}
    return sorted(_of_stack(profile, flows), key=psutil.Process.create_time)


def is_any_run_alive(profile: Profile) -> bool:
    """Tell whether a flow runs or is being prepared to."""
    commands = {one.pid: " ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])}
    starting = {pid for pid, command in commands.items() if "prefect.runner" in command}
    return bool(flow_processes(profile) or list(_of_stack(profile, starting)))


def _of_stack(profile: Profile, pids: set[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.environ().get(STACK_MARKER) == profile.stack_id:
                yield process


def is_healed(profile: Profile) -> bool:
    """Tell whether every service runs and what a store forgot was given back to it."""
    states = services(profile)
    is_up = all(state.state == "RUNNING" for state in states.values())
    return is_up and health.read_keeper_mark(profile.home).processes == store_processes(states)


def wait_until_healed(profile: Profile) -> None:
    """Return when the stack has repaired itself."""
    deadline = time.monotonic() + HEAL_SECONDS
    while not is_healed(profile):
        down = {name: state.state for name, state in services(profile).items()}
        assert time.monotonic() < deadline, f"the stack did not heal within {HEAL_SECONDS} s: {down}"
        time.sleep(0.5)
