"""The chDB engine: one process owns the folder, every request or session has its own connection."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import chdb
from chdb.state.sqlitelike import Connection

from slackwater.stack.clickhouse_front.failures import BAD_ARGUMENTS, SESSION_IS_LOCKED, SESSION_NOT_FOUND, FrontFailure
from slackwater.stack.clickhouse_front.options import FrontOptions

DEFAULT_SESSION_SECONDS = 60.0
MAX_SESSION_SECONDS = 3600.0
_SETTING_NAME = re.compile(r"^[A-Za-z_]\w*$")


@dataclass
class _Session:
    connection: Connection
    expires_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Engine:
    """Connections to one chDB folder, and the sessions that keep one."""

    def __init__(self, options: FrontOptions) -> None:
        Path(options.data_dir).mkdir(parents=True, exist_ok=True)
        limits = {
            "max_server_memory_usage": options.max_memory_bytes,
            "mark_cache_size": 32 * 2**20,
            "background_pool_size": 2,
            "max_threads": options.max_threads,
        }
        self._address = f"{options.data_dir}?" + "&".join(f"{name}={value}" for name, value in limits.items())
        self._root: Connection = chdb.connect(self._address)  # keeps the engine alive between requests
        self._sessions: dict[str, _Session] = {}
        self._guard = threading.Lock()

    @contextmanager
    def connection(self, settings: Mapping[str, str], *, database: str | None) -> Iterator[Connection]:
        """Lend a fresh connection with these settings for one request."""
        opened: Connection = chdb.connect(self._address)
        try:
            _use(opened, database)
            _apply(opened, settings)
            yield opened
        finally:
            opened.close()

    @contextmanager
    def session(
        self, name: str, settings: Mapping[str, str], *, database: str | None, timeout_seconds: float, must_exist: bool
    ) -> Iterator[Connection]:
        """Lend the connection of a named session; temporary tables and SET stay, this request's settings do not.

        Raises:
            FrontFailure: The session runs another query (373), or must exist and does not (372).
        """
        held = self._held(name, must_exist=must_exist)
        try:
            _use(held.connection, database)
            before = _changed(held.connection, settings)
            try:
                _apply(held.connection, settings)
                yield held.connection
            finally:
                _restore(held.connection, settings, before)
        finally:
            held.expires_at = time.monotonic() + min(timeout_seconds, MAX_SESSION_SECONDS)
            held.lock.release()

    def _held(self, name: str, *, must_exist: bool) -> _Session:
        with self._guard:
            self._forget_expired()
            found = self._sessions.get(name)
            if found is None:
                if must_exist:
                    raise FrontFailure(SESSION_NOT_FOUND, f"Session {name} not found")
                found = self._sessions[name] = _Session(chdb.connect(self._address))
            if not found.lock.acquire(blocking=False):
                raise FrontFailure(SESSION_IS_LOCKED, f"Session {name} is locked by a concurrent client")
            return found

    def _forget_expired(self) -> None:
        now = time.monotonic()
        for name, session in tuple(self._sessions.items()):
            if not session.lock.locked() and session.expires_at < now:
                del self._sessions[name]
                session.connection.close()

    def close(self) -> None:
        """Close every connection and the engine."""
        with self._guard:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()
            self._root.close()


def _use(connection: Connection, database: str | None) -> None:
    if database:
        connection.query("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")


def _apply(connection: Connection, settings: Mapping[str, str]) -> None:
    for name in settings:
        if not _SETTING_NAME.match(name):
            raise FrontFailure(BAD_ARGUMENTS, f"{name!r} is not the name of a setting")
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items()))


def _changed(connection: Connection, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the session's own values of these settings, those it has changed with SET."""
    if not settings:
        return {}
    names = ", ".join(_quoted(name) for name in settings)
    result = connection.query(f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})", "TSVRaw")
    lines = result.bytes().decode().splitlines() if result.size() else []
    return dict(line.split("\t", 1) for line in lines)


def _restore(connection: Connection, settings: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Undo this request's settings: a deduplication token must not swallow the session's next insert."""
    valid = [name for name in settings if _SETTING_NAME.match(name)]
    for name in valid:
        connection.query(f"SET {name} = " + (_quoted(before[name]) if name in before else "DEFAULT"))


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
