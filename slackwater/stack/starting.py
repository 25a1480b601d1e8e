"""One run of `stack up`: starts the services stage by stage and waits for each stage.

Stores in parallel; the Prefect server as soon as PostgreSQL answers; the keeper, which prepares the stores, while that
starts; worker and deployments when the Prefect API answers; the bridge when the stores are prepared.
"""

import time
from collections.abc import Callable, Sequence

from slackwater.errors import ConfigurationError, StackUnhealthy
from slackwater.stack import bootstrap, health, postgres, supervisor
from slackwater.stack.databases import ensure_databases
from slackwater.stack.keeper import store_processes
from slackwater.stack.logs import last_lines
from slackwater.stack.ports import taken_ports
from slackwater.stack.profile import DATABASES, Profile
from slackwater.stack.programs import SERVICES, STORES

_POLL_SECONDS = 0.2
_MOST_PROCESSES = 4
"""A service of which so many processes were seen and none became healthy keeps crashing."""

Say = Callable[[str], None]


class Starter:
    """One run of `start_stack`: starts services stage by stage and waits for each stage."""

    def __init__(
        self,
        profile: Profile,
        place: postgres.PostgresPlace | None,
        remote: supervisor.Supervisor,
        timeout_seconds: float,
        say: Say,
    ) -> None:
        self._profile = profile
        self._place = place
        self._remote = remote
        self._deadline = time.monotonic() + timeout_seconds
        self._say = say
        self.started: list[str] = []

    def run(self, wanted: Sequence[str]) -> None:
        """Bring the wanted services up in the order their needs allow."""
        if health.read_keeper_mark(self._profile.home).error is not None:
            health.forget_keeper_mark(self._profile.home)
        self._start(STORES, wanted)
        self._wait(["postgres"], wanted)
        if "prefect" in wanted:
            ensure_databases(self._profile.postgres_uri("postgres"), DATABASES)
        self._start(["prefect"], wanted)
        self._wait(STORES, wanted)
        self._start(["keeper"], wanted)
        self._wait(["prefect"], wanted)
        if "worker" in wanted:
            bootstrap.apply_work_pool(self._profile)
            bootstrap.apply_alert_automations(self._profile)
        self._start(["worker"], wanted)
        if "worker" in wanted and bootstrap.apply_deployments(self._profile):
            self._say("flows deployed")
        if "keeper" in wanted:
            self._wait_for_keeper()
        self._start(SERVICES, wanted)
        self._wait(SERVICES, wanted)

    def _start(self, names: Sequence[str], wanted: Sequence[str]) -> None:
        states = self._remote.processes()
        idle = [
            name for name in names if name in wanted and states[name].state not in ("RUNNING", "STARTING", "BACKOFF")
        ]
        require_free_ports(self._profile, idle)
        for name in idle:
            if name == "keeper":
                health.forget_keeper_mark(self._profile.home)
            self._remote.start(name)
            self.started.append(name)
            self._say(f"{name} starting")

    def _wait_for_keeper(self) -> None:
        """Return when the bootstrap was applied for the stores' present processes.

        Raises:
            StackUnhealthy: It cannot be applied, or the time is over.
        """
        while True:
            mark = health.read_keeper_mark(self._profile.home)
            if mark.processes and mark.processes == store_processes(self._remote.processes()):
                return
            if mark.error is not None:
                raise StackUnhealthy(self._explain("keeper", f"cannot prepare the stores: {mark.error}"))
            if time.monotonic() > self._deadline:
                raise StackUnhealthy(self._explain("keeper", "did not prepare the stores in time"))
            time.sleep(_POLL_SECONDS)

    def _wait(self, names: Sequence[str], wanted: Sequence[str]) -> None:
        """Return when the named services run and answer.

        Raises:
            StackUnhealthy: One gave up or the time is over.
        """
        waiting = [name for name in names if name in wanted]
        processes: dict[str, set[int]] = {name: set() for name in waiting}
        while waiting:
            states = self._remote.processes()
            for name in tuple(waiting):
                state = states[name].state if name in states else "UNKNOWN"
                if state in ("FATAL", "UNKNOWN", "STOPPED"):
                    raise StackUnhealthy(self._explain(name, f"stopped ({state.lower()})"))
                process = states[name]
                processes[name] |= {process.pid} - {0}
                if len(processes[name]) > _MOST_PROCESSES:
                    raise StackUnhealthy(self._explain(name, "keeps crashing"))
                # A store is used as soon as it answers; the others must have stayed up for a while (RUNNING).
                is_up = state == "RUNNING" or (state == "STARTING" and name in STORES)
                since = process.started_at_epoch_seconds
                if is_up and health.is_answering(self._profile, name, place=self._place, since_epoch_seconds=since):
                    waiting.remove(name)
            if waiting and time.monotonic() > self._deadline:
                raise StackUnhealthy(self._explain(waiting[0], "did not become healthy in time"))
            if waiting:
                time.sleep(_POLL_SECONDS)

    def _explain(self, name: str, fault: str) -> str:
        log_file = self._profile.log_dir / f"{name}.log"
        lines = "\n".join(f"  | {line}" for line in last_lines(log_file, count=15)) or "  | (nothing)"
        return (
            f"{name} {fault}. Last lines of {log_file}:\n{lines}\n"
            f"Next: read the log, run `slackwater doctor`, then `slackwater stack up` again"
        )


def require_free_ports(profile: Profile, services: Sequence[str]) -> None:
    """Refuse to start services whose ports something else listens on.

    Raises:
        ConfigurationError: Names port and service, and how to choose other ports.
    """
    taken = taken_ports(profile.ports, services)
    if taken:
        named = ", ".join(f"{port} ({service})" for service, port in taken.items())
        raise ConfigurationError(
            f"something else listens on 127.0.0.1 port {named}; "
            "stop it, or choose other ports, for example: SLACKWATER_STACK_PORT_BASE=15200 slackwater stack up"
        )
