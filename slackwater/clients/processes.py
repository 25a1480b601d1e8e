"""The processes of this host that execute flow runs, read from /proc; and the one way to end them.

A process belongs to a run when its environment says so (`PREFECT__FLOW_RUN_ID`, set by the worker and inherited by its
children), never because of its number: the kernel gives numbers out again. Without /proc (other systems than Linux) a
scan finds nothing and says that it cannot.
"""

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
WORKER_SCRIPT = "process_worker.py"  # in deployments/: Prefect's own worker is a `prefect worker start`
_RUN_ID = b"PREFECT__FLOW_RUN_ID="
_WORKER_NAME = b"PREFECT__WORKER_NAME="


@dataclass(frozen=True)
class RunProcess:
    """One living process that carries a flow run's id.

    Attributes:
        is_flow: True for the process that executes the flow, False for its children (dbt, for example).
        worker_name: Worker that started it.
    """

    pid: int
    run_id: str
    worker_name: str | None
    is_flow: bool


@dataclass(frozen=True)
class ProcessScan:
    """What one look at this host's processes showed.

    Attributes:
        is_supported: False where there is no /proc: nothing is known then.
        processes: Every process that carries a run's id.
        workers: Names of the workers of this host: of those that run, and of those that started a process seen here.
        unreadable: Ids of living processes whose environment another account may not read.
    """

    is_supported: bool
    processes: tuple[RunProcess, ...]
    workers: frozenset[str]
    unreadable: frozenset[int]


def scan_processes(proc: Path = PROC) -> ProcessScan:
    """Look at every process of this host once."""
    found: list[RunProcess] = []
    workers: set[str] = set()
    unreadable: set[int] = set()
    for pid in _pids(proc):
        command = _arguments(proc, pid)
        worker = _started_worker(command)
        if worker is not None:
            workers.add(worker)
        try:
            process = _run_process(proc, pid, command)
        except PermissionError:
            unreadable.add(pid)
            continue
        if process is not None:
            found.append(process)
            workers.update({process.worker_name} if process.worker_name else ())
    is_supported = (proc / "self").exists()
    return ProcessScan(is_supported, tuple(found), frozenset(workers), frozenset(unreadable))


@dataclass(frozen=True)
class EndedProcesses:
    """What became of the processes of a run: ended when asked, killed after the grace, or still there."""

    ended: tuple[int, ...]
    killed: tuple[int, ...]
    left: tuple[int, ...]


def end_run_processes(run_id: str, *, grace_seconds: float) -> EndedProcesses:
    """End every process of this host that carries a run's id: SIGTERM, then SIGKILL after the grace.

    Each is held by a descriptor before its environment is read again, so that a number the kernel has given to another
    process meanwhile is never hit. The caller's own process is left alone. A second call finds nothing to do.

    Args:
        run_id: Flow run id.
        grace_seconds: How long a process may take to end by itself.
    """
    pids = [one.pid for one in scan_processes().processes if one.run_id == run_id and one.pid != os.getpid()]
    with _held(run_id, pids) as held:
        _signal(held, signal.SIGTERM)
        ended = _wait(held, grace_seconds)
        rest = {pid: descriptor for pid, descriptor in held.items() if pid not in ended}
        _signal(rest, signal.SIGKILL)
        killed = _wait(rest, grace_seconds)
        left = tuple(pid for pid in rest if pid not in killed)
        return EndedProcesses(tuple(sorted(ended)), tuple(sorted(killed)), left)


@contextmanager
def _held(run_id: str, pids: Sequence[int]) -> Iterator[dict[int, int]]:
    held: dict[int, int] = {}
    try:
        for pid in pids:
            try:
                held[pid] = os.pidfd_open(pid)
                process = _run_process(PROC, pid, _arguments(PROC, pid))
            except (ProcessLookupError, PermissionError):
                process = None
            if (process is None or process.run_id != run_id) and pid in held:
                os.close(held.pop(pid))
        yield held
    finally:
        for descriptor in held.values():
            os.close(descriptor)


def _signal(held: dict[int, int], number: signal.Signals) -> None:
    for descriptor in held.values():
        try:
            signal.pidfd_send_signal(descriptor, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone already, or not ours to end: it is reported as left


def _wait(held: dict[int, int], seconds: float) -> set[int]:
    """Return which ended; a process descriptor becomes readable when its process ends."""
    poll, waiting, ended = select.poll(), dict(held), set[int]()
    for descriptor in held.values():
        poll.register(descriptor, select.POLLIN)
    by_descriptor = {descriptor: pid for pid, descriptor in held.items()}
    deadline = time.monotonic() + seconds
    while waiting and (rest := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(rest * 1000):
            poll.unregister(descriptor)
            pid = by_descriptor[descriptor]
            waiting.pop(pid)
            ended.add(pid)
    return ended


def _pids(proc: Path) -> Iterator[int]:
    if proc.is_dir():
        yield from (int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())


def _run_process(proc: Path, pid: int, command: Sequence[str]) -> RunProcess | None:
    """Return the process if it lives and carries a run's id; the kernel shows no environment of one that has ended.

    Raises:
        PermissionError: Its environment belongs to another account.
    """
    try:
        environment = (proc / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if _RUN_ID not in environment:  # most processes; to look at their variables one by one takes far longer
        return None
    variables = environment.split(b"\0")
    run_id = _value(variables, _RUN_ID)
    if run_id is None:
        return None
    return RunProcess(pid, run_id, _value(variables, _WORKER_NAME), _executes_flow(command))


def _executes_flow(command: Sequence[str]) -> bool:
    """Tell a flow (`python -m prefect.engine`, `prefect flow-run execute`, a fork) from its children, such as dbt.

    A path with the word in it may make a child look like a flow; then a dead run is freed when that child has ended.
    """
    return Path(command[0]).name == "prefect" or any("prefect" in word for word in command[1:4])


def _value(variables: Sequence[bytes], prefix: bytes) -> str | None:
    return next((v.removeprefix(prefix).decode(errors="replace") for v in variables if v.startswith(prefix)), None)


def _arguments(proc: Path, pid: int) -> list[str]:
    try:
        return (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return [""]


def _started_worker(command: Sequence[str]) -> str | None:
    """Return the name given to a worker; None for other processes and for workers without a name."""
    is_embedded = any(word.rpartition("/")[2] == WORKER_SCRIPT for word in command)
    if not is_embedded and not {"worker", "start"} <= set(command):
        return None
    for position, word in enumerate(command):
        if word in ("--name", "-n") and position + 1 < len(command):
            return command[position + 1]
        if word.startswith("--name="):
            return word.removeprefix("--name=")
    return None
