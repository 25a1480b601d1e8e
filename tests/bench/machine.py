"""What the figures were measured on: processor, cores, memory, Python, and how busy the machine was."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Machine:
    """The machine, and its load averages over 1, 5 and 15 minutes when it was looked at."""

    cpu_model: str
    cores: int
    memory_bytes: int
    python: str
    kernel: str
    load: tuple[float, float, float]

    @property
    def lines(self) -> tuple[str, ...]:
        """Return it for people."""
        return (
            f"cpu      {self.cpu_model}, {self.cores} cores",
            f"memory   {self.memory_bytes / 2**30:.1f} GiB",
            f"python   {self.python} on {self.kernel}",
            f"load     {load_line(self.load)}",
        )


def read_machine() -> Machine:
    """Look at this machine now."""
    return Machine(
        cpu_model=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
        kernel=f"{platform.system()} {platform.release()}",
        load=os.getloadavg(),
    )


def load_line(load: tuple[float, float, float]) -> str:
    """Return load averages as one text."""
    return " ".join(f"{value:.1f}" for value in load)


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
