"""The embedded profile: where the stack of a folder keeps things, its ports, its passwords, its environment.

The environment dictionary built here is the only difference between the embedded system and production: the same
`SLACKWATER_*` variables with other values. Nothing is started here.
"""

import json
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import slackwater
from slackwater.errors import ConfigurationError
from slackwater.settings import StackSettings
from slackwater.stack.ports import LOOPBACK, assign_ports

DATABASES: tuple[str, ...] = ("prefect", "lake", "ledger", "shop")
POSTGRES_USER = "slackwater"
WORK_POOL = "slackwater"
STACK_MARKER = "SLACKWATER_STACK_ID"
"""Set in every supervised process (and nowhere else), so that processes a dead supervisor left behind are found."""

TELEMETRY_OFF: Mapping[str, str] = {
    "SODA_CORE_TELEMETRY_ENABLED": "false",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "SNOWFLAKE_DISABLE_PLATFORM_DETECTION": "true",
}
"""Telemetry and metadata look-ups are on by default in these tools, and a command stalls without internet."""


@dataclass(frozen=True)
class Profile:
    """One embedded stack.

    Attributes:
        home: Absolute folder of state, data and logs.
        project_dir: Absolute folder that holds prefect.yaml, flows/, dbt/ and soda/.
        stack_id: Random name of this stack; marks its processes.
        ports: Loopback port by service.
        passwords: Generated secret by use: postgres, s3, snowflake, clickhouse.
        external_postgres_uri: Administrator's URI of a PostgreSQL that is not ours; None when embedded.
    """

    home: Path
    project_dir: Path
    stack_id: str
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    external_postgres_uri: str | None = None
    worker_limit: int = 3

    @property
    def log_dir(self) -> Path:
        """Folder of the services' logs."""
        return self.home / "logs"

    @property
    def data_dir(self) -> Path:
        """Folder of the services' data."""
        return self.home / "data"

    @property
    def reports_dir(self) -> Path:
        """Folder of scan and reconciliation reports."""
        return self.home / "reports"

    @property
    def prefect_url(self) -> str:
        """Address of the Prefect UI."""
        return f"http://{LOOPBACK}:{self.ports['prefect']}"

    @property
    def s3_url(self) -> str:
        """Endpoint of S3 and SQS."""
        return f"http://{LOOPBACK}:{self.ports['ministack']}"

    def postgres_uri(self, database: str, *, driver: str = "postgresql") -> str:
        """Return the URI of one of the stack's databases."""
        if self.external_postgres_uri is not None:
            parts = urlsplit(self.external_postgres_uri)
            return urlunsplit((driver, parts.netloc, f"/{database}", parts.query, ""))
        password = quote(self.passwords["postgres"], safe="")
        return f"{driver}://{POSTGRES_USER}:{password}@{LOOPBACK}:{self.ports['postgres']}/{database}"

    def with_state(self, *, home: Path) -> Self:
        """Return the same stack with its files elsewhere."""
        return replace(self, home=home)


def default_project_dir() -> Path:
    """Return the folder with prefect.yaml: the current one, else the checkout this package runs from."""
    here = Path.cwd()
    if (here / "prefect.yaml").is_file():
        return here
    return Path(slackwater.__file__).resolve().parent.parent


def load_profile(home: Path) -> Profile | None:
    """Return the recorded profile of a stack's home folder, or None where there is none.

    Raises:
        ConfigurationError: The state files are unreadable or damaged.
    """
    state_file, secrets_file = home / "state.json", home / "secrets.json"
    try:
        state = json.loads(state_file.read_text())
        passwords = json.loads(secrets_file.read_text())
        return Profile(
            home=home.resolve(),
            project_dir=Path(state["project_dir"]),
            stack_id=state["stack_id"],
            ports={str(name): int(port) for name, port in state["ports"].items()},
            passwords={str(name): str(value) for name, value in passwords.items()},
            external_postgres_uri=passwords.get("external_postgres_uri"),
            worker_limit=int(state["worker_limit"]),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as exc:
        raise ConfigurationError(
            f"{exc.filename} belongs to another user; run as that user or set SLACKWATER_STACK_HOME to another folder"
        ) from exc
    except (KeyError, ValueError) as exc:
        raise ConfigurationError(
            f"{state_file} or {secrets_file.name} beside it is damaged ({exc}); "
            "`slackwater stack down --delete` removes the stack and its data"
        ) from exc


def create_profile(settings: StackSettings, *, project_dir: Path | None = None) -> Profile:
    """Make and record the profile of a new stack, or return the recorded one with current ports.

    A second call keeps id, passwords and (unless SLACKWATER_STACK_PORT_BASE is set) ports.

    Raises:
        ConfigurationError: The folder cannot be written.
    """
    home = settings.home.absolute()
    recorded = load_profile(home)
    external = settings.postgres_uri.get_secret_value() if settings.postgres_uri else None
    if recorded is not None:
        is_moved = "port_base" in settings.model_fields_set
        profile = replace(
            recorded,
            ports=assign_ports(settings.port_base) if is_moved else recorded.ports,
            project_dir=project_dir or recorded.project_dir,
            worker_limit=settings.worker_limit,
        )
    else:
        profile = Profile(
            home=home,
            project_dir=project_dir or default_project_dir(),
            stack_id=uuid.uuid4().hex,
            ports=assign_ports(settings.port_base),
            passwords={use: secrets.token_hex(16) for use in ("postgres", "s3", "snowflake", "clickhouse")},
            external_postgres_uri=external,
            worker_limit=settings.worker_limit,
        )
    save_profile(profile)
    return profile


def save_profile(profile: Profile) -> None:
    """Write state.json and secrets.json (readable by the owner only).

    Raises:
        ConfigurationError: The folder cannot be written (rights, full disk).
    """
    state = {
        "stack_id": profile.stack_id,
        "ports": dict(profile.ports),
        "project_dir": str(profile.project_dir),
        "worker_limit": profile.worker_limit,
    }
    passwords = dict(profile.passwords)
    if profile.external_postgres_uri is not None:
        passwords["external_postgres_uri"] = profile.external_postgres_uri
    try:
        profile.home.mkdir(mode=0o711, parents=True, exist_ok=True)
        for folder in (
            profile.log_dir,
            profile.data_dir,
            profile.reports_dir,
            profile.home / "user",
            profile.home / "tmp",
        ):
            folder.mkdir(exist_ok=True)
        write_private(profile.home / "secrets.json", json.dumps(passwords, indent=2))
        write_private(profile.home / "state.json", json.dumps(state, indent=2))
    except OSError as exc:
        raise ConfigurationError(
            f"cannot write {exc.filename or profile.home}: {exc.strerror}; "
            "free disk space or rights, or choose another folder with SLACKWATER_STACK_HOME"
        ) from exc


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically with one that only its owner can read."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
