"""Start and stop the services of one stack: what `slackwater stack up` and `down` do.

Here: what must hold before anything starts, one command at a time, and leaving nothing behind when it fails. The order
of starting is in `starting.py`.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slackwater.errors import ConfigurationError
from slackwater.settings import StackSettings
from slackwater.stack import postgres, supervisor
from slackwater.stack.environment import service_environment
from slackwater.stack.ports import assign_ports
from slackwater.stack.profile import Profile, create_profile, load_profile
from slackwater.stack.programs import SERVICES, declare_programs, render_supervisor_config
from slackwater.stack.starting import Say, Starter, require_free_ports

_LEAST_FREE_BYTES = 512 * 2**20


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
    _refuse_to_move_while_running(settings)
    profile = create_profile(settings, project_dir=project_dir)
    with _stack_lock(profile.home):
        socket_file = supervisor.socket_path(profile.home)
        was_running = supervisor.is_running(socket_file)
        wanted = [name for name in services if name != "postgres" or profile.external_postgres_uri is None]
        try:
            place = _prepare(profile, settings, was_running=was_running, wanted=wanted)
            starter = Starter(profile, place, supervisor.Supervisor(socket_file), settings.start_timeout_seconds, say)
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
    if not home.is_dir():
        return False
    with _stack_lock(home):
        was_running = _stop_recorded(home, is_damage_tolerated=delete)
        if delete:
            _delete_files(home)
    return was_running


def _stop_recorded(home: Path, *, is_damage_tolerated: bool) -> bool:
    try:
        profile = load_profile(home)
    except ConfigurationError:
        if not is_damage_tolerated:
            raise
        socket_file = supervisor.socket_path(home)
        was_running = supervisor.is_running(socket_file)
        if was_running:
            supervisor.Supervisor(socket_file).shutdown()
        return was_running
    return profile is not None and _stop_everything(profile)


def _delete_files(home: Path) -> None:
    place = postgres.recorded_place(home)
    if place is not None and place.outside_dir is not None:
        shutil.rmtree(place.outside_dir, ignore_errors=True)
    socket_folder = supervisor.socket_path(home).parent
    if socket_folder != home:
        shutil.rmtree(socket_folder, ignore_errors=True)
    try:
        shutil.rmtree(home)
    except OSError as exc:
        raise ConfigurationError(f"cannot delete {exc.filename or home}: {exc.strerror}") from exc


def _prepare(
    profile: Profile, settings: StackSettings, *, was_running: bool, wanted: Sequence[str]
) -> postgres.PostgresPlace | None:
    """Check ports and disk, initialise PostgreSQL, write the configuration and have the supervisor run."""
    socket_file = supervisor.socket_path(profile.home)
    if not was_running:
        supervisor.end_marked_processes(profile.stack_id)
        require_free_ports(profile, wanted)
    free_bytes, least = shutil.disk_usage(profile.home).free, _LEAST_FREE_BYTES
    if free_bytes < least:
        raise ConfigurationError(
            f"only {free_bytes // 2**20} MiB are free for {profile.home}; free at least {least // 2**20} MiB"
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


def _refuse_to_move_while_running(settings: StackSettings) -> None:
    home = settings.home.absolute()
    recorded = load_profile(home)
    if recorded is None or "port_base" not in settings.model_fields_set:
        return
    if recorded.ports != assign_ports(settings.port_base) and supervisor.is_running(supervisor.socket_path(home)):
        raise ConfigurationError(
            f"the stack of {home} runs on ports {min(recorded.ports.values())}-{max(recorded.ports.values())}; "
            "to move it, stop it first: slackwater stack down"
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
