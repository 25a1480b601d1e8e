"""Start, watch and stop the services of one stack: what `slackwater stack up` and `down` do.

Order: stores in parallel; the Prefect server as soon as PostgreSQL answers; the keeper, which prepares the stores, while
that starts; worker and deployments when the Prefect API answers, the bridge when the stores are prepared.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slackwater.errors import ConfigurationError, StackUnhealthy
from slackwater.settings import StackSettings
from slackwater.stack import bootstrap, health, postgres, supervisor
from slackwater.stack.databases import ensure_databases
from slackwater.stack.environment import service_environment
from slackwater.stack.logs import last_lines
from slackwater.stack.ports import taken_ports
from slackwater.stack.profile import DATABASES, Profile, create_profile, load_profile
from slackwater.stack.keeper import store_processes
from slackwater.stack.programs import SERVICES, STORES, declare_programs, render_supervisor_config

_LEAST_FREE_BYTES = 512 * 2**20
_POLL_SECONDS = 0.2
_CRASH_LOOP_SECONDS = 10.0
"""How long a service may crash and be restarted before the start gives up on it."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class StartReport:
    """What `start_stack` did.

    Attributes:
        profile: The running stack.
        started: Services that were not running before, in start order.
        seconds: Wall time until everything was healthy.
    """

    profile: Profile
    started: tuple[str, ...]
    seconds: float


def start_stack(
    settings: StackSettings,
    *,
    services: Sequence[str] = SERVICES,
    say: Say = lambda _: None,
    project_dir: Path | None = None,
) -> StartReport:
    """Start whatever is not running and return when all of it is healthy; a second call changes nothing.

    Args:
        settings: Where and with which ports.
        services: Which services; the others are left as they are.
        say: Receives one line per step.
        project_dir: Folder with prefect.yaml; None takes the current folder or the checkout.

    Raises:
        ConfigurationError: A port is taken, a folder cannot be written, the disk is full. Nothing is left started.
        StackUnhealthy: A service did not become healthy; the message names it with its last log lines. Services that
            this call started are stopped again if this call also started the supervisor.
    """
    begin = time.monotonic()
    profile = create_profile(settings, project_dir=project_dir)
    with _stack_lock(profile.home):
        socket_file = supervisor.socket_path(profile.home)
        was_running = supervisor.is_running(socket_file)
        wanted = [name for name in services if name != "postgres" or profile.external_postgres_uri is None]
        try:
            place = _prepare(profile, settings, was_running=was_running, wanted=wanted)
            starter = _Starter(profile, place, supervisor.Supervisor(socket_file), settings.start_timeout_seconds, say)
            starter.run(wanted)
        except BaseException:
            if not was_running:
                _stop_everything(profile)
            raise
    return StartReport(profile, tuple(starter.started), time.monotonic() - begin)


def stop_stack(home: Path, *, delete: bool = False) -> bool:
    """Stop every service; return whether anything was running. A second call does nothing.

    Args:
        home: The stack's folder.
        delete: Also remove the folder with all data.
    """
    home = home.absolute()
    profile = load_profile(home)
    if profile is None:
        return False
    with _stack_lock(home):
        was_running = _stop_everything(profile)
        if delete:
            place = postgres.recorded_place(home)
            if place is not None and place.outside_dir is not None:
                shutil.rmtree(place.outside_dir, ignore_errors=True)
            shutil.rmtree(home)
    return was_running


def _prepare(
    profile: Profile, settings: StackSettings, *, was_running: bool, wanted: Sequence[str]
) -> postgres.PostgresPlace | None:
    """Check ports and disk, initialise PostgreSQL, write the configuration and have the supervisor run."""
    socket_file = supervisor.socket_path(profile.home)
    if not was_running:
        supervisor.end_marked_processes(profile.stack_id)
        _require_free_ports(profile, wanted)
    free_bytes = shutil.disk_usage(profile.home).free
    if free_bytes < _LEAST_FREE_BYTES:
        raise ConfigurationError(
            f"only {free_bytes // 2**20} MiB are free for {profile.home}; free at least {_LEAST_FREE_BYTES // 2**20} MiB"
        )
    place = None
    if profile.external_postgres_uri is None:
        place = postgres.provide_place(profile.home, account=settings.postgres_account)
        postgres.initialise(profile, place)
    config = render_supervisor_config(
        profile, declare_programs(profile, place), socket=socket_file, is_root=os.geteuid() == 0
    )
    config_file = profile.home / "supervisord.conf"
    if not was_running:
        config_file.write_text(config)
        environment = service_environment(profile, os.environ)
        supervisor.start_supervisor(config_file, socket_file=socket_file, environment=environment)
    return place


class _Starter:
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
        _require_free_ports(self._profile, idle)
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
        first_crash: dict[str, float] = {}
        while waiting:
            states = self._remote.processes()
            for name in tuple(waiting):
                state = states[name].state if name in states else "UNKNOWN"
                if state in ("FATAL", "EXITED", "UNKNOWN", "STOPPED"):
                    raise StackUnhealthy(self._explain(name, f"stopped ({state.lower()})"))
                if state == "BACKOFF":
                    first_crash.setdefault(name, time.monotonic())
                is_ready = state == "RUNNING" or (state == "STARTING" and name in STORES and name not in first_crash)
                if is_ready and health.is_answering(self._profile, name, place=self._place):
                    waiting.remove(name)
                elif time.monotonic() - first_crash.get(name, time.monotonic()) > _CRASH_LOOP_SECONDS:
                    raise StackUnhealthy(self._explain(name, "keeps crashing"))
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


def _require_free_ports(profile: Profile, services: Sequence[str]) -> None:
    taken = taken_ports(profile.ports, services)
    if taken:
        named = ", ".join(f"{port} ({service})" for service, port in taken.items())
        raise ConfigurationError(
            f"something else listens on 127.0.0.1 port {named}; "
            "stop it, or choose other ports, for example: SLACKWATER_STACK_PORT_BASE=15200 slackwater stack up"
        )


def _stop_everything(profile: Profile) -> bool:
    socket_file = supervisor.socket_path(profile.home)
    was_running = supervisor.is_running(socket_file)
    if was_running:
        remote = supervisor.Supervisor(socket_file)
        # PostgreSQL last: the others close their connections and write their state first.
        with contextlib.suppress(Exception):
            for name in reversed(SERVICES):
                if name != "postgres":
                    remote.stop_without_waiting(name)
        remote.shutdown()
    left = supervisor.end_marked_processes(profile.stack_id)
    socket_file.unlink(missing_ok=True)
    return was_running or left > 0


@contextlib.contextmanager
def _stack_lock(home: Path) -> Iterator[None]:
    """Let one `up` or `down` of a folder run at a time."""
    with (home / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConfigurationError(f"another `slackwater stack` command works on {home}; wait for it to end") from exc
        yield
