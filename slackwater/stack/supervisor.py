"""The only place that talks to supervisord: start it, ask it, stop it. It knows programs by name, not their meaning."""

import contextlib
import errno
import hashlib
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.stack.profile import STACK_MARKER

_SHORT_FOLDER = Path("/tmp")  # noqa: S108 - the folder made in it belongs to the caller alone
_LONGEST_SOCKET_PATH = 100
"""The kernel's limit is 108 bytes; supervisord appends its pid while it creates the socket."""


@dataclass(frozen=True)
class ProcessState:
    """What the supervisor says about one program: `state` is supervisor's word, such as RUNNING or FATAL."""

    name: str
    state: str
    pid: int
    description: str
    started_at_epoch_seconds: int


def socket_path(home: Path) -> Path:
    """Return where the supervisor's socket lies; a path too long for a socket moves to a private temporary folder."""
    inside = home / "supervisor.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH - 12:
        return inside
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return _SHORT_FOLDER / f"slackwater-{os.geteuid()}-{name}" / "supervisor.sock"


def is_running(socket_file: Path) -> bool:
    """Tell whether a supervisor answers on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(socket_file))
        except OSError:
            return False
    return True


def start_supervisor(
    config_file: Path, *, socket_file: Path, environment: Mapping[str, str], timeout_seconds: float = 15.0
) -> None:
    """Start supervisord in the background and wait until it answers.

    Raises:
        ConfigurationError: It did not start; the message holds its output.
    """
    socket_file.parent.mkdir(mode=0o700, exist_ok=True)
    if socket_file.parent.stat().st_uid != os.geteuid():
        raise ConfigurationError(f"{socket_file.parent} belongs to another user; remove it and start again")
    if not is_running(socket_file):
        socket_file.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config_file)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
        start_new_session=True,
    )
    deadline = time.monotonic() + timeout_seconds
    while done.returncode == 0 and time.monotonic() < deadline:
        if is_running(socket_file):
            return
        time.sleep(0.05)
    raise ConfigurationError(f"the process supervisor did not start: {(done.stderr or done.stdout).strip()[-1500:]}")


class Supervisor:
    """Remote control of one running supervisord."""

    def __init__(self, socket_file: Path) -> None:
        self._socket_file = socket_file

    def processes(self) -> dict[str, ProcessState]:
        """Return the state of every program by name."""
        answer: Any = self._call(lambda rpc: rpc.getAllProcessInfo())
        return {
            str(info["name"]): ProcessState(
                str(info["name"]),
                str(info["statename"]),
                int(info["pid"]),
                str(info["description"]),
                int(info["start"]),
            )
            for info in answer
        }

    def start(self, name: str) -> None:
        """Start a program without waiting; one that is running stays as it is."""
        self._call(lambda rpc: rpc.startProcess(name, False), tolerated=(60,))

    def stop(self, name: str) -> None:
        """Stop a program and wait; one that is not running stays as it is."""
        self._call(lambda rpc: rpc.stopProcess(name, True), tolerated=(70,))

    def stop_without_waiting(self, name: str) -> None:
        """Ask a program to stop."""
        self._call(lambda rpc: rpc.stopProcess(name, False), tolerated=(70,))

    def shutdown(self, *, timeout_seconds: float = 60.0) -> None:
        """Stop every program and the supervisor itself; returns when it is gone."""
        pid: Any = self._call(lambda rpc: rpc.getPID())
        with contextlib.suppress(StoreUnavailable):
            self._call(lambda rpc: rpc.shutdown())
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(int(pid)).wait(timeout=timeout_seconds)

    def _call(self, request: Callable[[Any], Any], *, tolerated: tuple[int, ...] = ()) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self._socket_file}")
        try:
            rpc = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return request(rpc.supervisor)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in tolerated:
                return None
            raise StoreUnavailable(f"the supervisor refused: {fault.faultString}") from fault
        except OSError as exc:
            reason = "is not running" if exc.errno in (errno.ENOENT, errno.ECONNREFUSED) else f"did not answer ({exc})"
            raise StoreUnavailable(f"the stack's supervisor {reason}; run `slackwater stack up`") from exc
        finally:
            transport.close()


def marked_processes(stack_id: str) -> Iterator[psutil.Process]:
    """Yield the living processes of this stack, found by the marker in their environment."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(STACK_MARKER) == stack_id and process.pid != os.getpid():
                yield process
        except (psutil.Error, OSError):
            continue


def end_marked_processes(stack_id: str, *, grace_seconds: float = 5.0) -> int:
    """End every process of this stack that no supervisor watches any more; return how many there were."""
    left = list(marked_processes(stack_id))
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_seconds)
    return len(left)
