"""Service that brings a store back into shape after it was restarted: `python -m slackwater.stack.keeper`.

An emulator that was killed forgets queues, notifications and stages; the supervisor restarts it, and this program sees
the new process, applies the bootstrap again and starts a full sweep, so that files which arrived in between are found.
The work itself runs in a short-lived process (`bootstrap_once.py`), so that the keeper stays small.

Once a minute it also starts a pass of the run reconciler. The sweep does the same, but the sweep is a run and needs a
slot: when runs died together with their worker and hold every slot, nothing inside Prefect could free them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from slackwater.errors import SlackwaterError
from slackwater.settings import StackSettings
from slackwater.stack import health, postgres, supervisor
from slackwater.stack.profile import Profile, load_profile
from slackwater.stack.programs import STORES

_POLL_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_RUNS_EVERY_SECONDS = 60.0


def main() -> None:
    """Watch the stores for ever."""
    home = StackSettings().home.absolute()
    profile = load_profile(home)
    if profile is None:
        raise SystemExit(f"there is no stack in {home}")
    remote = supervisor.Supervisor(supervisor.socket_path(home))
    place = postgres.recorded_place(home)
    applied: Mapping[str, int] = {}
    failures = 0
    runs = RunsWatch()
    while True:
        try:
            states = remote.processes()
            living = store_processes(states)
        except SlackwaterError as exc:
            print(f"supervisor: {exc}", flush=True)
            time.sleep(_POLL_SECONDS)
            continue
        if living != applied and are_ready(profile, living, place=place):
            applied, failures = (living, 0) if _apply(home, living) else ({}, failures + 1)
            time.sleep(min(_LONGEST_PAUSE_SECONDS, 2.0**failures) if failures else 0)
        if living == applied and "prefect" in states:
            runs.start_when_due()
        time.sleep(_POLL_SECONDS)


class RunsWatch:
    """Starts a pass of the run reconciler now and then, one at a time, and does not wait for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._next_at = time.monotonic() + _RUNS_EVERY_SECONDS

    def start_when_due(self) -> None:
        """Start a pass when the last one has ended and its time has come."""
        is_running = self._process is not None and self._process.poll() is None
        if is_running or time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + _RUNS_EVERY_SECONDS
        self._process = subprocess.Popen([sys.executable, "-m", "slackwater.runs"])


def store_processes(states: Mapping[str, supervisor.ProcessState]) -> dict[str, int]:
    """Return the process id of every supervised store; a store that does not run has id 0."""
    return {name: states[name].pid for name in STORES if name in states}


def are_ready(profile: Profile, living: Mapping[str, int], *, place: postgres.PostgresPlace | None) -> bool:
    """Tell whether every supervised store runs and answers."""
    return all(pid and health.is_answering(profile, name, place=place) for name, pid in living.items())


def _apply(home: Path, living: Mapping[str, int]) -> bool:
    """Run one bootstrap and sweep for these processes; return whether the bootstrap succeeded."""
    print(f"applying the bootstrap for {dict(living)}", flush=True)
    environment = dict(os.environ) | {"SLACKWATER_KEEPER_PROCESSES": json.dumps(living)}
    done = subprocess.run([sys.executable, "-m", "slackwater.stack.bootstrap_once"], env=environment, check=False)
    mark = health.read_keeper_mark(home)
    return done.returncode == 0 or mark.processes == dict(living)


if __name__ == "__main__":
    main()
