"""Stops a process at a named boundary between two steps of the running system, so that a test can kill right there."""

import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil
from killing import flow_processes, is_stopped

from slackwater.checkpoints import Checkpoint
from slackwater.stack.profile import Profile

MODELS_BEFORE_STOP = 3
"""So many of the models are built when the process is stopped inside dbt, and the others are not."""


class Boundary(StrEnum):
    """Where a fault strikes: every checkpoint of the product, and the middle of a dbt run, which is another program."""

    AFTER_RECEIVE = Checkpoint.AFTER_RECEIVE
    AFTER_LEDGER_COMMIT = Checkpoint.AFTER_LEDGER_COMMIT
    AFTER_SEAL = Checkpoint.AFTER_SEAL
    AFTER_LAKE_COMMIT = Checkpoint.AFTER_LAKE_COMMIT
    AFTER_COPY = Checkpoint.AFTER_COPY
    INSIDE_LOAD_TRANSACTION = Checkpoint.INSIDE_LOAD_TRANSACTION
    AFTER_LOAD = Checkpoint.AFTER_LOAD
    DURING_DBT = "during-dbt"
    BEFORE_PUBLISH = Checkpoint.BEFORE_PUBLISH
    AFTER_PUBLISH = Checkpoint.AFTER_PUBLISH
    AFTER_FOLD = Checkpoint.AFTER_FOLD


IN_BRIDGE = frozenset({Boundary.AFTER_RECEIVE, Boundary.AFTER_LEDGER_COMMIT, Boundary.AFTER_SEAL})
"""Boundaries inside the bridge (the last one is also reached by a sweep); the others are inside a flow process."""


def faults_folder(home: Path) -> Path:
    """Return the folder of a stack in which checkpoints are armed; its services must be started with it."""
    return home / "faults"


@dataclass(frozen=True)
class Stops:
    """The boundaries of one running stack."""

    profile: Profile

    @property
    def folder(self) -> Path:
        """Return the folder, which is made when it is missing."""
        folder = faults_folder(self.profile.home)
        folder.mkdir(exist_ok=True)
        return folder

    def arm(self, boundary: Boundary) -> None:
        """Have the next process that comes to the boundary stop there."""
        self.forget(boundary)
        self._armed(boundary).write_text(str(self._dbt_log_bytes()))

    def disarm(self, boundary: Boundary) -> bool:
        """Withdraw what no process took; False when one did."""
        try:
            self._armed(boundary).unlink()
        except FileNotFoundError:
            return False
        return True

    def forget(self, boundary: Boundary) -> None:
        """Remove every trace of a boundary."""
        for path in self.folder.glob(f"{boundary}.*"):
            path.unlink(missing_ok=True)

    def stopped_at(self, boundary: Boundary) -> int | None:
        """Return the pid of the process that stands still at the boundary; None while there is none."""
        if boundary is Boundary.DURING_DBT:
            self._stop_dbt()
        for path in self.folder.glob(f"{boundary}.*"):
            pid = path.suffix.removeprefix(".")
            if pid.isdecimal() and is_stopped(int(pid)):
                return int(pid)
        return None

    def _armed(self, boundary: Boundary) -> Path:
        return self.folder / f"{boundary}.armed"

    def _stop_dbt(self) -> None:
        armed = self._armed(Boundary.DURING_DBT)
        if not armed.is_file() or self._built_models(int(armed.read_text())) < MODELS_BEFORE_STOP:
            return
        for process in flow_processes(self.profile):
            if self._is_in_dbt(process):
                os.kill(process.pid, signal.SIGSTOP)
                armed.rename(armed.with_suffix(f".{process.pid}"))
                return

    @property
    def _dbt_log(self) -> Path:
        return self.profile.home / "dbt" / "logs" / "dbt.log"

    def _dbt_log_bytes(self) -> int:
        return self._dbt_log.stat().st_size if self._dbt_log.is_file() else 0

    def _built_models(self, since_bytes: int) -> int:
        if self._dbt_log_bytes() <= since_bytes:
            return 0
        with self._dbt_log.open("rb") as file:
            file.seek(since_bytes)
            return file.read().count(b" OK created sql ")

    def _is_in_dbt(self, process: psutil.Process) -> bool:
        try:
            return any(Path(file.path) == self._dbt_log for file in process.open_files())
        except psutil.Error:
            return False
