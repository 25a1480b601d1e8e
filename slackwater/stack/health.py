"""Is a service ready to be used? One cheap question per service; nothing is repaired here."""

import json
import subprocess
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slackwater.stack.ports import LOOPBACK
from slackwater.stack.postgres import PostgresPlace
from slackwater.stack.profile import WORK_POOL, Profile

_HTTP_PATHS = {
    "ministack": "/_ministack/health",
    "snowflake": "/health",
    "clickhouse": "/ping",
    "prefect": "/api/health",
}
_PROBE_SECONDS = 3.0


def is_answering(profile: Profile, service: str, *, place: PostgresPlace | None = None) -> bool:
    """Ask a service whether it is ready.

    Args:
        profile: The stack.
        service: postgres, ministack, snowflake, clickhouse, prefect, worker or keeper; others have no door to knock
            on and count as ready when their process runs.
        place: Where PostgreSQL's binaries are; None = external, taken as ready (the bootstrap connects to it).
    """
    if service == "postgres":
        return place is None or _is_postgres_ready(profile, place)
    if service == "worker":
        return _is_worker_online(profile)
    if service == "keeper":
        return keeper_mark(profile.home).is_file()
    path = _HTTP_PATHS.get(service)
    return path is None or _http_get(f"http://{LOOPBACK}:{profile.ports[service]}{path}") is not None


def keeper_mark(home: Path) -> Path:
    """Return the file the keeper touches after each round that left the bootstrap applied."""
    return home / "keeper.ok"


def _is_postgres_ready(profile: Profile, place: PostgresPlace) -> bool:
    command = [str(place.binaries / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(profile.ports["postgres"])]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _is_worker_online(profile: Profile) -> bool:
    url = f"{profile.prefect_url}/api/work_pools/{WORK_POOL}/workers/filter"
    answer = _http_get(url, body=b"{}")
    if answer is None:
        return False
    newest = max((str(worker.get("last_heartbeat_time") or "") for worker in json.loads(answer)), default="")
    if not newest:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(newest) < timedelta(seconds=90)


def _http_get(url: str, *, body: bytes | None = None) -> bytes | None:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError, TimeoutError):
        return None
