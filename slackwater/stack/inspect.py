"""What state the services are in now: for `slackwater stack status`. Reads only."""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from slackwater.stack import health, postgres, supervisor
from slackwater.stack.ports import LOOPBACK
from slackwater.stack.profile import Profile
from slackwater.stack.programs import SERVICES


@dataclass(frozen=True)
class ServiceStatus:
    """One service now.

    Attributes:
        name: Service name.
        state: `healthy`, `starting` (runs, does not answer), `external`, or the supervisor's word in lower case.
        is_healthy: It runs and answers.
        address: Host and port; empty for services that serve nobody.
        pid: Process id; 0 when it does not run.
        started_at: Start time; None when it does not run.
        resident_bytes: Memory of the process and its children that no other process shares (PSS), where the system
            tells; else resident memory.
    """

    name: str
    state: str
    is_healthy: bool
    address: str
    pid: int
    started_at: datetime | None
    resident_bytes: int

    def document(self) -> dict[str, str | int | bool | None]:
        """Return it as JSON-ready values."""
        return {
            "service": self.name,
            "state": self.state,
            "healthy": self.is_healthy,
            "address": self.address,
            "pid": self.pid,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "resident_bytes": self.resident_bytes,
        }


def inspect_stack(profile: Profile) -> tuple[ServiceStatus, ...]:
    """Return the state of every service, in start order; all `stopped` when no supervisor runs."""
    socket_file = supervisor.socket_path(profile.home)
    states = supervisor.Supervisor(socket_file).processes() if supervisor.is_running(socket_file) else {}
    place = postgres.recorded_place(profile.home)
    return tuple(_inspect(profile, name, states.get(name), place) for name in SERVICES)


def _inspect(
    profile: Profile, name: str, process: supervisor.ProcessState | None, place: postgres.PostgresPlace | None
) -> ServiceStatus:
    port = profile.ports.get(name)
    address = f"{LOOPBACK}:{port}" if port else ""
    if name == "postgres" and profile.external_postgres_uri is not None:
        return ServiceStatus(name, "external", True, "", 0, None, 0)
    if process is None or process.state not in ("RUNNING", "STARTING"):
        state = process.state.lower() if process else "stopped"
        return ServiceStatus(name, state, False, address, 0, None, 0)
    since = process.started_at_epoch_seconds
    is_healthy = health.is_answering(profile, name, place=place, since_epoch_seconds=since)
    started_at = datetime.fromtimestamp(process.started_at_epoch_seconds, tz=UTC)
    state = "healthy" if is_healthy else "starting"
    return ServiceStatus(name, state, is_healthy, address, process.pid, started_at, _memory_bytes(process.pid))


def _memory_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                try:
                    total += int(process.memory_full_info().pss)
                except (psutil.AccessDenied, AttributeError):
                    total += int(process.memory_info().rss)
    return total
