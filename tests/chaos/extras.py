"""More processes of a running stack than its supervisor knows: a second bridge, a second worker, with another clock."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from killing import kill_tree, services

from slackwater.stack.profile import WORK_POOL, Profile

LONGEST_WORK_SECONDS = 90.0
BRIDGE_COMMAND = ("-m", "slackwater.landing.bridge")

_CLOCK_SOURCE = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long skew(void) {
    const char *text = getenv("CLOCK_SKEW_SECONDS");
    return text ? atol(text) : 0;
}
int clock_gettime(clockid_t id, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, id, at);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += skew();
    return failed;
}
time_t time(time_t *out) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out) *out = at.tv_sec;
    return at.tv_sec;
}
int gettimeofday(struct timeval *out, void *zone) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    out->tv_sec = at.tv_sec;
    out->tv_usec = at.tv_nsec / 1000;
    return 0;
}
"""


class NotHere(Exception):
    """This machine lacks what a fault needs; it is reported, never passed over."""


class Extra:
    """One process beside the supervised ones, with the environment of a service of the stack."""

    def __init__(self, profile: Profile, like: str, command: Sequence[str], *, added: Mapping[str, str]) -> None:
        name = f"extra-{like}"
        environment = {**psutil.Process(services(profile)[like].pid).environ(), **added}
        environment.pop("SLACKWATER_BRIDGE_HEALTH_PORT", None)  # the first bridge has the port
        with (profile.log_dir / f"{name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=profile.project_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill it when it has no work in its hands, or after a while."""
        deadline = time.monotonic() + LONGEST_WORK_SECONDS
        while self.is_alive and self._has_children() and time.monotonic() < deadline:
            time.sleep(0.2)
        kill_tree(self._process.pid)
        self._process.wait()

    def _has_children(self) -> bool:
        try:
            return bool(psutil.Process(self._process.pid).children())
        except psutil.NoSuchProcess:
            return False


def extra_bridge(profile: Profile, *, added: Mapping[str, str] | None = None) -> Extra:
    """Start another bridge."""
    return Extra(profile, "bridge", BRIDGE_COMMAND, added=added or {})


def extra_worker(profile: Profile, *, added: Mapping[str, str] | None = None) -> Extra:
    """Start another worker of the same pool."""
    options = ("--pool", WORK_POOL, "--type", "process", "--name", "extra", "--limit", "3")
    return Extra(profile, "worker", ("-m", "prefect", "worker", "start", *options), added=added or {})


def skewed_clock(folder: Path, *, seconds: int) -> dict[str, str]:
    """Return variables that put a process's wall clock ahead (or behind, below 0); its monotonic clock stays.

    Raises:
        NotHere: There is no C compiler to build the library with.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NotHere("skewing a process's clock needs a C compiler (cc)")
    library = folder / "skewed_clock.so"
    if not library.is_file():
        source = folder / "skewed_clock.c"
        source.write_text(_CLOCK_SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True, env=dict(os.environ))
    return {"LD_PRELOAD": str(library), "CLOCK_SKEW_SECONDS": str(seconds)}
