"""Memory of the Spark processes, computed from what a profile may use in all. Pure.

A process's limit is its heap plus an overhead for what the JVM and Python use beside the heap. The overhead was
measured: a driver with 1 GiB of heap grows to 1.15 GiB resident in a sort of a million rows (2026-11-21), plus
metaspace, code cache and Python's own; a quarter of the limit, at least 384 MiB, holds all of it.
"""

from dataclasses import dataclass
from enum import StrEnum

from slackwater.errors import InvalidPlanError

LEAST_OVERHEAD_MIB = 384
OVERHEAD_SHARE = 4
"""One part in so many of a limit is overhead."""


class SparkProfile(StrEnum):
    """How much of a machine or cluster Spark may take."""

    LOCAL = "local"
    STANDARD = "standard"
    FULL = "full"


@dataclass(frozen=True)
class Process:
    """The memory of one driver or executor in MiB; `limit_mib` is what a container is given."""

    limit_mib: int
    heap_mib: int
    overhead_mib: int
    cores: int


@dataclass(frozen=True)
class SparkMemory:
    """A profile's processes.

    Attributes:
        total_mib: What all of them may use together.
        executors: Number of executors; 0 = the driver does the work itself.
    """

    total_mib: int
    driver: Process
    executor: Process | None
    executors: int

    @property
    def used_mib(self) -> int:
        """Return the sum of all limits."""
        return self.driver.limit_mib + (self.executor.limit_mib * self.executors if self.executor else 0)


_TOTAL_MIB = {SparkProfile.LOCAL: 1_536, SparkProfile.STANDARD: 6_144, SparkProfile.FULL: 10_240}
_EXECUTORS = {SparkProfile.LOCAL: 0, SparkProfile.STANDARD: 2, SparkProfile.FULL: 3}
_CORES = {SparkProfile.LOCAL: 2, SparkProfile.STANDARD: 1, SparkProfile.FULL: 2}
_DRIVER_SHARE = 4
"""Beside executors the driver gets one part in so many: it plans and commits, and holds no data."""


def plan_memory(profile: SparkProfile) -> SparkMemory:
    """Return the processes of a profile; their limits never exceed its total.

    Raises:
        InvalidPlanError: A process would get no heap; cannot happen with the profiles declared here.
    """
    total, count, cores = _TOTAL_MIB[profile], _EXECUTORS[profile], _CORES[profile]
    if not count:
        return SparkMemory(total, split_limit(total, cores=cores), None, 0)
    driver = total // _DRIVER_SHARE
    executor = split_limit((total - driver) // count, cores=cores)
    planned = SparkMemory(total, split_limit(driver, cores=1), executor, count)
    if planned.used_mib > total:
        raise InvalidPlanError(f"profile {profile}: {planned.used_mib} MiB of {total} MiB")
    return planned


def split_limit(limit_mib: int, *, cores: int) -> Process:
    """Divide a process's limit into heap and overhead.

    Args:
        limit_mib: What the container is given, MiB.
        cores: Tasks at a time, >= 1.

    Raises:
        InvalidPlanError: Nothing is left for the heap.
    """
    overhead = max(LEAST_OVERHEAD_MIB, limit_mib // OVERHEAD_SHARE)
    heap = limit_mib - overhead
    if heap <= 0 or cores < 1:
        raise InvalidPlanError(f"{limit_mib} MiB and {cores} cores: at least {LEAST_OVERHEAD_MIB + 1} MiB and 1 core")
    return Process(limit_mib, heap, overhead, cores)
