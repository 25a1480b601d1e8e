"""Named places between two steps, where a fault test stops a process. Without a configured folder they do nothing.

A test writes `<name>.armed` into the folder of `SLACKWATER_FAULTS_DIR`. The first process that reaches the checkpoint
takes it (an atomic rename to `<name>.<pid>`, so one process and once) and stops itself with SIGSTOP: lease renewal and
connections stand still with it. The test then kills what it wants, that process or a service, at exactly this point,
and wakes the process with SIGCONT if it still lives. No decision of the product may depend on a checkpoint.
"""

import os
import signal
from enum import StrEnum
from functools import cache
from pathlib import Path

from slackwater.settings import FaultSettings


class Checkpoint(StrEnum):
    """Where a process can be stopped; the value begins the names of its files."""

    AFTER_RECEIVE = "after-receive"
    AFTER_LEDGER_COMMIT = "after-ledger-commit"
    AFTER_SEAL = "after-seal"
    AFTER_LAKE_COMMIT = "after-lake-commit"
    AFTER_COPY = "after-copy"
    INSIDE_LOAD_TRANSACTION = "inside-load-transaction"
    AFTER_LOAD = "after-load"
    BEFORE_PUBLISH = "before-publish"
    AFTER_PUBLISH = "after-publish"
    AFTER_FOLD = "after-fold"


def reached(checkpoint: Checkpoint) -> None:
    """Stop this process if a test armed the checkpoint; otherwise do nothing."""
    folder = _folder()
    if folder is not None and take(folder, checkpoint, pid=os.getpid()):
        os.kill(os.getpid(), signal.SIGSTOP)


def take(folder: Path, checkpoint: Checkpoint, *, pid: int) -> bool:
    """Take an armed checkpoint for a process; False when it is not armed or another process was faster."""
    try:
        folder.joinpath(f"{checkpoint}.armed").rename(folder / f"{checkpoint}.{pid}")
    except FileNotFoundError:
        return False
    return True


@cache
def _folder() -> Path | None:
    return FaultSettings().dir
