"""Resident memory and CPU time of a running stack, per service; flow runs and other children count for their service.

PSS, not RSS: Python and PostgreSQL processes share many pages, and RSS counts a shared page once per process. The
memory of Spark's jobs, which come and go, is told apart; their CPU time is that of the service that started them.
`python tests/bench/memory.py --home DIR` follows a stack until it stops or Ctrl-C, and prints the peaks.
"""

import argparse
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Self

import psutil

from slackwater.errors import SlackwaterError
from slackwater.stack.profile import load_profile
from slackwater.stack.supervisor import Supervisor, socket_path

SAMPLE_SECONDS = 1.0
SUPERVISOR = "supervisor"
SPARK = "spark"


@dataclass
class Peaks:
    """What was seen so far.

    Attributes:
        services: Greatest PSS per service in bytes; the peaks need not be of one moment.
        total_bytes: Greatest sum of one moment, Spark's jobs left out.
        at_peak: PSS per service at that moment.
        rss_bytes: The same of RSS, which counts shared pages again and again.
        cpu_seconds: CPU time per service from its start to the last sample, ended children included.
        samples: Looks taken.
    """

    services: dict[str, int] = field(default_factory=dict)
    total_bytes: int = 0
    at_peak: Mapping[str, int] = field(default_factory=dict)
    rss_bytes: int = 0
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    samples: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "peak_pss_bytes": self.total_bytes,
            "peak_rss_bytes": self.rss_bytes,
            "at_peak": dict(self.at_peak),
            "peak_by_service": self.services,
            "cpu_seconds": dict(self.cpu_seconds),
            "samples": self.samples,
        }


def service_processes(home: Path) -> dict[str, list[psutil.Process]]:
    """Return the processes of every service with all their descendants, and the supervisor itself."""
    processes = Supervisor(socket_path(home)).processes()
    found: dict[str, list[psutil.Process]] = {}
    parents: list[psutil.Process] = []
    for name, state in processes.items():
        if state.pid:
            try:
                process = psutil.Process(state.pid)
                found[name] = [process, *process.children(recursive=True)]
                parents += process.parents()[:1]
            except psutil.Error:
                continue
    supervisors = [parent for parent in parents if any("supervisord" in word for word in parent.cmdline())]
    if supervisors:
        found[SUPERVISOR] = supervisors[:1]
    return found


def _spark_jobs(processes: list[psutil.Process]) -> set[psutil.Process]:
    """Return the jobs of Spark and their JVMs among the processes of a service."""
    jobs: set[psutil.Process] = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if any(word.startswith("spark.jobs.") for word in process.cmdline()):
                jobs |= {process, *process.children(recursive=True)}
    return jobs


def sample(home: Path, peaks: Peaks) -> None:
    """Take one look and keep what is greater than before."""
    pss: dict[str, int] = defaultdict(int)
    cpu: dict[str, float] = defaultdict(float)
    rss = 0
    for name, processes in service_processes(home).items():
        jobs = _spark_jobs(processes)
        for process in processes:
            try:
                memory = process.memory_full_info()
                times = process.cpu_times()
            except psutil.Error:
                continue
            pss[SPARK if process in jobs else name] += memory.pss
            rss += 0 if process in jobs else memory.rss
            # An ended child is in its parent's children times, a living one is asked itself: nothing counts twice.
            cpu[name] += times.user + times.system + times.children_user + times.children_system
    for name, used in pss.items():
        peaks.services[name] = max(peaks.services.get(name, 0), used)
    peaks.samples += 1
    peaks.cpu_seconds = {name: max(seconds, peaks.cpu_seconds.get(name, 0.0)) for name, seconds in cpu.items()}
    peaks.rss_bytes = max(peaks.rss_bytes, rss)
    total = sum(used for name, used in pss.items() if name != SPARK)
    if total > peaks.total_bytes:
        peaks.total_bytes, peaks.at_peak = total, pss


class MemoryWatch:
    """Samples a stack in the background while a `with` block runs; read `peaks` and `used_cpu` afterwards."""

    def __init__(self, home: Path, *, every_seconds: float = SAMPLE_SECONDS) -> None:
        self.peaks = Peaks()
        self._cpu_before: Mapping[str, float] = {}
        self._home = home
        self._every_seconds = every_seconds
        self._stopped = Event()
        self._thread = Thread(target=self._watch, name="memory", daemon=True)

    @property
    def used_cpu(self) -> dict[str, float]:
        """Return the CPU seconds each service used in the block."""
        return {name: end - self._cpu_before.get(name, 0.0) for name, end in self.peaks.cpu_seconds.items()}

    def __enter__(self) -> Self:
        sample(self._home, self.peaks)
        self._cpu_before = dict(self.peaks.cpu_seconds)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        with contextlib.suppress(SlackwaterError):
            sample(self._home, self.peaks)

    def _watch(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            try:
                sample(self._home, self.peaks)
            except SlackwaterError:
                continue


def main() -> None:
    """Follow a stack and print its peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the stack")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two looks")
    parser.add_argument("--out", type=Path, help="write the peaks so far to this file after every look")
    options = parser.parse_args()
    peaks = Peaks()
    try:
        while load_profile(options.home) is not None:
            try:
                sample(options.home, peaks)
            except SlackwaterError:
                break
            if options.out:
                options.out.write_text(json.dumps(peaks.as_dict(), indent=1))
            time.sleep(options.every)
    except KeyboardInterrupt:
        pass
    print(json.dumps(peaks.as_dict(), indent=1))


if __name__ == "__main__":
    main()
