"""The jars of the Spark session: locked with their hashes, fetched once, verified before every use.

Fetched by Ivy, which PySpark brings, so that neither Maven nor an address is needed here. Without dependencies: all
three are bundles. A jar that is there and right is not fetched again; one that is wrong is never used.
"""

import hashlib
import importlib.util
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.spark_runtime.java import Java

FETCH_TIMEOUT_SECONDS = 600.0
_CHUNK_BYTES = 1 << 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    module: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """Return its name in the folder."""
        return f"{self.module}-{self.version}.jar"


def read_lock(path: Path) -> tuple[Jar, ...]:
    """Read a lock file.

    Raises:
        ConfigurationError: It is missing or a line is not `group:module:version sha256 bytes`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise ConfigurationError(f"the lock of the Spark jars cannot be read: {exc}") from exc
    jars = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        try:
            coordinates, sha256, size = line.split()
            group, module, version = coordinates.split(":")
            jars.append(Jar(group, module, version, sha256, int(size)))
        except ValueError as exc:
            raise ConfigurationError(f"{path}: expected `group:module:version sha256 bytes`, got {line!r}") from exc
    return tuple(jars)


def wrong_jars(jars: tuple[Jar, ...], folder: Path) -> tuple[Jar, ...]:
    """Return the jars that are missing in a folder or whose content is not what the lock says."""
    return tuple(jar for jar in jars if not _is_right(jar, folder / jar.file_name))


def ensure_jars(lock: Path, folder: Path, *, java: Java, say: Say = lambda _: None) -> Path:
    """Return the folder with every jar of the lock in it; fetches what is missing.

    Safe for several processes at once: a jar appears under its name only when it is whole and right.

    Args:
        lock: The lock file.
        folder: Where jars are kept.
        java: Runs Ivy.
        say: Told which jar is being fetched.

    Raises:
        StoreUnavailable: A jar could not be fetched.
        ConfigurationError: What was fetched is not what the lock says.
    """
    missing = wrong_jars(read_lock(lock), folder)
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
    for number, jar in enumerate(missing, 1):
        size = f"{jar.size_bytes / 2**20:.0f} MB"
        say(f"fetching {jar.file_name} ({size}), {number} of {len(missing)}, into {folder}")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            fetched = _fetch(jar, Path(scratch), java=java)
            if not _is_right(jar, fetched):
                raise ConfigurationError(
                    f"{jar.file_name}: expected SHA-256 {jar.sha256}, got {_sha256(fetched)}; a local Maven"
                    f" repository or a mirror holds another file; remove it there, or correct {lock}"
                )
            fetched.replace(folder / jar.file_name)
    return folder


def ivy_command(jar: Jar, scratch: Path, *, java: Java) -> list[str]:
    """Return the command that fetches one jar into a folder."""
    return [
        str(java.home / "bin" / "java"),
        "-cp",
        str(_ivy()),
        "org.apache.ivy.Main",
        *("-cache", str(scratch / "cache")),
        *("-dependency", jar.group, jar.module, jar.version),
        "-notransitive",
        *("-confs", "default"),
        *("-retrieve", str(scratch / "[artifact]-[revision].[ext]")),
    ]


def _fetch(jar: Jar, scratch: Path, *, java: Java) -> Path:
    try:
        done = subprocess.run(
            ivy_command(jar, scratch, java=java),
            capture_output=True,
            text=True,
            check=False,
            timeout=FETCH_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as exc:
        raise StoreUnavailable(f"{jar.file_name} was not fetched within {FETCH_TIMEOUT_SECONDS:.0f} s") from exc
    found = scratch / jar.file_name
    if not found.is_file():
        told = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise StoreUnavailable(
            f"{jar.file_name} could not be fetched: {' | '.join(told[-4:]) or 'no message'}; check the network, or put"
            " the file there yourself"
        )
    return found


def _ivy() -> Path:
    spec = importlib.util.find_spec("pyspark")
    folder = Path(spec.origin).parent / "jars" if spec is not None and spec.origin is not None else None
    found = sorted(folder.glob("ivy-*.jar")) if folder is not None else []
    if not found:
        raise ConfigurationError("the pyspark package is not installed, or brings no Ivy; run: make setup")
    return found[-1]


def _is_right(jar: Jar, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == jar.size_bytes and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
