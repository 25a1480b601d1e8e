"""Is a service ready to be used? One cheap question per service; nothing is repaired here."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slackwater.stack.ports import LOOPBACK
from slackwater.stack.postgres import PostgresPlace
from slackwater.stack.profile import WORK_POOL, Profile, write_private

_HTTP_PATHS = {
    "ministack": "/_ministack/health",
    "snowflake": "/health",
    "clickhouse": "/ping",
    "prefect": "/api/health",
}
_PROBE_SECONDS = 3.0


def is_answering(
    profile: Profile, service: str, *, place: PostgresPlace | None = None, since_epoch_seconds: int = 0
) -> bool:
    """Ask a service whether it is ready.

    Args:
        profile: The stack.
        service: postgres, ministack, snowflake, clickhouse, prefect or worker; others have no door to knock
            on and count as ready when their process runs.
        place: Where PostgreSQL's binaries are; None = external, taken as ready (the bootstrap connects to it).
        since_epoch_seconds: When the process started; a heartbeat from before it is another process's.
    """
    if service == "postgres":
        return place is None or _is_postgres_ready(profile, place)
    if service == "worker":
        return _is_worker_online(profile, since_epoch_seconds=since_epoch_seconds)
    path = _HTTP_PATHS.get(service)
    return path is None or _http_get(f"http://{LOOPBACK}:{profile.ports[service]}{path}") is not None


@dataclass(frozen=True)
class KeeperMark:
    """The keeper's last word.

    Attributes:
        processes: Process ids of the stores for which the bootstrap was applied; empty when it never was.
        error: Why the last attempt failed; None when it did not.
    """

    processes: Mapping[str, int]
    error: str | None


def read_keeper_mark(home: Path) -> KeeperMark:
    """Return the keeper's last word; an empty one before the first."""
    try:
        found = json.loads(_mark_file(home).read_text())
    except (FileNotFoundError, ValueError):
        return KeeperMark({}, None)
    return KeeperMark({str(name): int(pid) for name, pid in found["processes"].items()}, found["error"])


def write_keeper_mark(home: Path, mark: KeeperMark) -> None:
    """Record the keeper's word."""
    write_private(_mark_file(home), json.dumps({"processes": dict(mark.processes), "error": mark.error}))


def forget_keeper_mark(home: Path) -> None:
    """Remove the keeper's word, before a start that waits for a new one."""
    _mark_file(home).unlink(missing_ok=True)


def _mark_file(home: Path) -> Path:
    return home / "keeper.json"


def _is_postgres_ready(profile: Profile, place: PostgresPlace) -> bool:
    command = [str(place.binaries / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(profile.ports["postgres"])]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _is_worker_online(profile: Profile, *, since_epoch_seconds: int) -> bool:
    url = f"{profile.prefect_url}/api/work_pools/{WORK_POOL}/workers/filter"
    answer = _http_get(url, body=b"{}")
    if answer is None:
        return False
    newest = max((str(worker.get("last_heartbeat_time") or "") for worker in json.loads(answer)), default="")
    if not newest:
        return False
    heartbeat = datetime.fromisoformat(newest)
    return heartbeat.timestamp() >= since_epoch_seconds and datetime.now(UTC) - heartbeat < timedelta(seconds=90)


def _http_get(url: str, *, body: bytes | None = None) -> bytes | None:
    # Only our own loopback addresses come here.
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())
    except (urllib.error.URLError, OSError, TimeoutError):
        return None
