"""What a machine runs out of: time to answer, connections, disk, and a database for a while."""

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Sequence

import psutil
import psycopg
from extras import NotHere
from killing import flow_processes, services, wake
from stopping import Boundary, Stops
from trouble import BaseTrouble
from world import World

from slackwater.clients.sqs import Queue
from slackwater.stack.bootstrap import ensure_landing
from slackwater.stack.supervisor import Supervisor, socket_path

SHORTAGE_SECONDS = 15.0
BRIDGE_STOP_SECONDS = 120.0
"""A receive of a bridge that was killed a moment ago may still take the messages, and hide them for a minute."""


class ShortVisibility(BaseTrouble):
    """A message is visible again, and received again, while the bridge that has it still works on it."""

    visibility_seconds = 1
    held_seconds = 4.0
    boundary = Boundary.AFTER_LEDGER_COMMIT

    def before(self) -> None:
        landing = self.world.systems.landing
        Queue(self.world.systems.s3, landing.queue_name).ensure(visibility_timeout_seconds=self.visibility_seconds)
        Stops(self.world.profile).arm(self.boundary)

    def after(self, keys: Sequence[str]) -> None:
        pid = self._wait_for_stop()
        try:
            self.while_held()
        finally:
            wake(pid)

    def while_held(self) -> None:
        """Act while the bridge stands still with messages in its hand."""
        time.sleep(self.held_seconds)

    def end(self) -> None:
        stops = Stops(self.world.profile)
        if (pid := stops.stopped_at(self.boundary)) is not None:
            wake(pid)
        stops.forget(self.boundary)
        ensure_landing(self.world.systems.s3, self.world.systems.landing)

    def _wait_for_stop(self) -> int:
        stops, deadline = Stops(self.world.profile), time.monotonic() + BRIDGE_STOP_SECONDS
        while (pid := stops.stopped_at(self.boundary)) is None:
            assert time.monotonic() < deadline, f"the bridge did not come to {self.boundary}"
            time.sleep(0.05)
        return pid


class PostgresDown(ShortVisibility):
    """PostgreSQL goes away while the bridge holds messages, and stays away until they are visible again."""

    visibility_seconds = 10
    boundary = Boundary.AFTER_RECEIVE

    def while_held(self) -> None:
        Supervisor(socket_path(self.world.profile.home)).stop("postgres")

    def after(self, keys: Sequence[str]) -> None:
        super().after(keys)
        time.sleep(self.visibility_seconds + 5)
        Supervisor(socket_path(self.world.profile.home)).start("postgres")

    def end(self) -> None:
        Supervisor(socket_path(self.world.profile.home)).start("postgres")
        super().end()


class NoConnections(BaseTrouble):
    """Every connection PostgreSQL has to give is taken, and each that becomes free as well."""

    def after(self, keys: Sequence[str]) -> None:
        uri, held = self.world.profile.postgres_uri("postgres"), []
        deadline, refusals = time.monotonic() + SHORTAGE_SECONDS, 0
        try:
            while time.monotonic() < deadline:
                try:
                    held.append(psycopg.connect(uri, connect_timeout=5))
                except psycopg.OperationalError:
                    refusals += 1
                    time.sleep(0.1)
        finally:
            for connection in held:
                connection.close()
        assert refusals, f"{len(held)} connections were not all that PostgreSQL has"


class NoSpace(BaseTrouble):
    """A service and its children may write no file for a while (EFBIG by RLIMIT_FSIZE in the place of ENOSPC)."""

    service: str
    lasts_seconds = 20.0

    def __init__(self, world: World, source: random.Random) -> None:
        super().__init__(world, source)
        self.limited: set[int] = set()

    def before(self) -> None:
        if shutil.which("prlimit") is None:
            raise NotHere("refusing a process's writes needs prlimit (util-linux)")

    def after(self, keys: Sequence[str]) -> None:
        deadline = time.monotonic() + self.lasts_seconds
        while time.monotonic() < deadline:  # what they start meanwhile inherits the limit, what is restarted does not
            for process in self._processes():
                if process.pid not in self.limited and set_soft_limit(process, "0"):
                    self.limited.add(process.pid)
            time.sleep(0.5)
        assert self.limited, f"no process of {self.service} was limited"
        self.end()

    def end(self) -> None:
        for process in [*self._processes(), *(psutil.Process(pid) for pid in self.limited if psutil.pid_exists(pid))]:
            set_soft_limit(process, "unlimited")
        self.limited.clear()

    def _processes(self) -> list[psutil.Process]:
        found = flow_processes(self.world.profile) if self.service == "worker" else []
        with contextlib.suppress(psutil.Error):
            main = psutil.Process(services(self.world.profile)[self.service].pid)
            found += [main, *main.children(recursive=True)]
        return found


def set_soft_limit(process: psutil.Process, soft: str) -> bool:
    """Set the greatest size of a file a process may write, as the process's own account; False when it is gone."""
    try:
        user, group = process.uids().real, process.gids().real
        is_other = user != os.geteuid()
        done = subprocess.run(
            ["prlimit", "--pid", str(process.pid), f"--fsize={soft}:"],
            user=user if is_other else None,
            group=group if is_other else None,
            capture_output=True,
            text=True,
            check=False,
        )
    except psutil.NoSuchProcess:
        return False
    assert done.returncode == 0 or not process.is_running(), done.stderr
    return done.returncode == 0
