"""The kills of one schedule: each is done when a process of the running system stands still at its boundary."""

import time
from collections.abc import Callable
from contextlib import suppress

from catalogue import Kill
from killing import Victim, flow_processes, is_any_run_alive, kill_service, kill_tree, wake
from prompting import Prompter
from repairs import start_sweep
from stopping import Boundary, Stops
from upkeep import start_upkeep
from world import World

from slackwater.clients.prefect_api import FlowRun
from slackwater.commands.waiting import read_progress
from slackwater.errors import StoreUnavailable
from slackwater.ledger import folds
from slackwater.ledger.store import Ledger

STRIKE_SECONDS = 240.0
LOOK_SECONDS = 1.0

Say = Callable[[str], None]


class Strikes:
    """The kills of one schedule, each done when a process stands still at its boundary.

    Args:
        world: The running system.
        kills: In any order.
        say: Told what was killed.
        folds_after_seconds: When the lake's upkeep is started beside everything else; None: only for a kill in it.
    """

    def __init__(
        self, world: World, kills: tuple[Kill, ...], say: Say, *, folds_after_seconds: float | None = None
    ) -> None:
        self._world = world
        self._folds_after_seconds = folds_after_seconds
        self.fold: FlowRun | None = None
        self._stops = Stops(world.profile)
        self._say = say
        self.left = list(kills)
        self.done: list[Kill] = []

    def arm(self) -> None:
        """Arm the boundary of every kill; two kills at one boundary follow each other."""
        for boundary in {kill.boundary for kill in self.left}:
            self._stops.arm(boundary)

    def wait(self) -> None:
        """Strike as boundaries are reached; returns when all are done, or when nothing is in flight any more."""
        begin = time.monotonic()
        prompt, deadline, look_at = Prompter(self._world), begin + STRIKE_SECONDS, 0.0
        with self._world.ledger() as ledger:
            while self.left and time.monotonic() < deadline:
                self._strike_what_stands()
                if time.monotonic() >= look_at:
                    prompt()
                    self._start_fold(ledger, passed_seconds=time.monotonic() - begin)
                    if self._is_quiet(ledger):
                        return
                    look_at = time.monotonic() + LOOK_SECONDS
                time.sleep(0.05)

    def end(self) -> None:
        """Disarm what was not reached and wake whatever stands still."""
        for boundary in Boundary:
            if (pid := self._stops.stopped_at(boundary)) is not None:
                wake(pid)
            self._stops.forget(boundary)

    def _strike_what_stands(self) -> None:
        for boundary in {kill.boundary for kill in self.left}:
            pid = self._stops.stopped_at(boundary)
            if pid is not None:
                self._strike(next(kill for kill in self.left if kill.boundary is boundary), pid)

    def _start_fold(self, ledger: Ledger, *, passed_seconds: float) -> None:
        """Start the lake's upkeep: once at its time, and for every kill in it as soon as there is something to fold."""
        is_awaited = any(kill.boundary is Boundary.AFTER_FOLD for kill in self.left)
        is_time = self._folds_after_seconds is not None and passed_seconds >= self._folds_after_seconds
        if self.fold is None:
            is_wanted = is_awaited or is_time
        else:  # the one before may have died of a kill
            is_wanted = is_awaited and not is_any_run_alive(self._world.profile)
        if not is_wanted:
            return
        with suppress(StoreUnavailable):
            with ledger.transaction() as connection:
                has_something = bool(folds.backlogs(connection))
            if has_something:
                self.fold = start_upkeep(self._world)

    def _is_quiet(self, ledger: Ledger) -> bool:
        """Tell whether no boundary can be reached any more."""
        try:
            if self.fold is not None and is_any_run_alive(self._world.profile):
                return False
            return read_progress(self._world.systems, ledger).is_quiet
        except StoreUnavailable:
            return False

    def _strike(self, kill: Kill, stopped: int) -> None:
        try:
            if kill.victim is Victim.FLOW:
                died = self._kill_flow(stopped)
            else:
                died = kill_service(self._world.profile, kill.victim)
        finally:
            wake(stopped)
        self._say(f"{kill} (process {stopped} stood there, {died} was killed)")
        self.left.remove(kill)
        self.done.append(kill)
        self._stops.forget(kill.boundary)
        if any(other.boundary is kill.boundary for other in self.left):
            self._stops.arm(kill.boundary)

    def _kill_flow(self, stopped: int) -> int:
        """Kill the process that stands still if it is a flow's, else any flow's; start a sweep if there is none."""
        deadline = time.monotonic() + STRIKE_SECONDS
        pids = [process.pid for process in flow_processes(self._world.profile)]
        if not pids:
            start_sweep(self._world)
        while not pids:
            assert time.monotonic() < deadline, "no flow process appeared"
            time.sleep(0.2)
            pids = [process.pid for process in flow_processes(self._world.profile)]
        died = stopped if stopped in pids else pids[0]
        kill_tree(died)
        return died
