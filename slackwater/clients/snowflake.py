"""The one door to Snowflake: connections, bound statements, transactions, translated errors.

A `Warehouse` is one session, opened at the first statement and used by one thread. It autocommits; `transaction()`
makes a group of DML statements atomic. DDL never goes inside a transaction: Snowflake would commit it there. What a
statement means belongs to `slackwater/warehouse`; this module knows the driver only.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import import_module
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Protocol, Self, cast

from slackwater.errors import CommitConflict, ConfigurationError, SlackwaterError, TerminalError, WarehouseUnavailable
from slackwater.settings import WarehouseSettings
from slackwater.without_pandas import hidden_pandas

if TYPE_CHECKING:
    from snowflake.connector.errors import Error as DriverError

Scalar = str | int | bool | Decimal | date | datetime | None
"""What a bound parameter may be. Never a float: money is decimal from file to mart."""

Row = tuple[Scalar, ...]

DEFAULT_QUERY_TAG = "slackwater"

LOCK_ERRNOS = frozenset({604, 625, 626, 57014})
"""Statement aborted by a lock wait, a deadlock or another transaction: nothing was changed, try again."""

CONNECTION_ERRNOS = frozenset({*range(250001, 250013), 251008, 390112, 390114, 390195, 604020})
"""Login or request did not get through, or the session expired."""

LOCK_TIMEOUT_SECONDS = 60
"""Longest wait for a lock; then the statement fails as a conflict and the caller's retry decides. Snowflake's default
is 12 hours, and a session that died may hold its lock for minutes."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_SECRET = re.compile(r"(aws_key_id|aws_secret_key|aws_token|password)\s*=\s*'[^']*'", re.IGNORECASE)
_DDL = re.compile(r"\s*(create|alter|drop|truncate|comment|undrop)\b", re.IGNORECASE)
_LONGEST_STATEMENT_IN_MESSAGE = 600
_DRIVER = "snowflake.connector"


class _Column(Protocol):
    @property
    def name(self) -> str: ...


class _Cursor(Protocol):
    """The part of the driver's cursor this module uses."""

    @property
    def description(self) -> Sequence[_Column] | None: ...
    @property
    def sfqid(self) -> str | None: ...
    def execute(self, command: str, params: Sequence[Scalar] | None = None) -> object: ...
    def fetchall(self) -> list[Row]: ...
    def fetchone(self) -> Row | None: ...
    def close(self) -> object: ...


class _Connection(Protocol):
    def cursor(self) -> _Cursor: ...
    def close(self) -> None: ...


def quote_identifier(name: str) -> str:
    """Quote a possibly qualified identifier, upper-cased as Snowflake stores unquoted names.

    Args:
        name: `table`, `schema.table` or `database.schema.table`; letters, digits, `_` and `$` only.

    Returns:
        The same name with every part in double quotes, such as `"RAW"."ORDERS"`.

    Raises:
        ConfigurationError: A part is not a plain identifier.
    """
    parts = name.split(".")
    for part in parts:
        if not _IDENTIFIER.fullmatch(part):
            raise ConfigurationError(f"{name!r} is not an identifier: letters, digits, _, $ and dots only")
    return ".".join(f'"{part.upper()}"' for part in parts)


def quote_text(value: str) -> str:
    """Return a string literal, for the few places (COPY file lists, stage options) that take no bound parameter."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def as_utc(value: Scalar) -> datetime:
    """Return a time of the warehouse, which keeps UTC without a zone."""
    if not isinstance(value, datetime):
        raise TerminalError(f"{value!r} came back from the warehouse, expected a time")
    return value.replace(tzinfo=UTC)


class Warehouse:
    """One Snowflake session.

    Args:
        settings: Where and as whom.
        query_tag: Put on every statement of the session; the batch or refresh id, so that the history can be searched.
    """

    def __init__(self, settings: WarehouseSettings, *, query_tag: str = DEFAULT_QUERY_TAG) -> None:
        self.settings = settings
        self._query_tag = query_tag
        self._connection: _Connection | None = None
        self._in_transaction = False
        self._last_query_id: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Open the session now; otherwise the first statement does. A second call does nothing.

        Raises:
            WarehouseUnavailable: No answer within `login_timeout_seconds`.
            TerminalError: The account refused the credentials.
        """
        self._session()

    def _session(self) -> _Connection:
        if self._connection is None:
            with _translated("login"):
                opened = import_driver().connect(**connection_arguments(self.settings, self._query_tag))
            self._connection = cast(_Connection, opened)
        return self._connection

    def close(self) -> None:
        """Close the session; an open transaction is rolled back by the server. A second call does nothing."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(_driver().Error, OSError):  # the session is gone either way
                connection.close()

    @property
    def last_query_id(self) -> str | None:
        """Return the id Snowflake gave this session's last statement, under which its query history knows it."""
        return self._last_query_id

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> int:
        """Run one statement and return the number of rows it inserted, updated and deleted (0 for DDL)."""
        with self._executed(sql, params) as cursor:
            names = [column.name.lower() for column in cursor.description or ()]
            counted = [i for i, name in enumerate(names) if name.startswith("number of rows ")]
            first = cursor.fetchone() if counted else None
        return sum(int(cast(int, first[i])) for i in counted) if first else 0

    def execute_many(self, statements: Sequence[str]) -> None:
        """Run statements without parameters, in order, each committed on its own."""
        for statement in statements:
            self.execute(statement)

    def query(self, sql: str, params: Sequence[Scalar] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        with self._executed(sql, params) as cursor:
            return [tuple(row) for row in cursor.fetchall()]

    def scalar(self, sql: str, params: Sequence[Scalar] = ()) -> Scalar:
        """Return the first column of the first row, None without rows."""
        rows = self.query(sql, params)
        return rows[0][0] if rows else None

    def select(self, sql: str, params: Sequence[Scalar] = ()) -> tuple[tuple[str, ...], list[Row]]:
        """Run one statement and return the names of its columns, as Snowflake returns them, and its rows."""
        with self._executed(sql, params) as cursor:
            names = tuple(column.name for column in cursor.description or ())
            return names, [tuple(row) for row in cursor.fetchall()]

    @contextmanager
    def tagged(self, query_tag: str) -> Iterator[None]:
        """Put another query tag on the statements inside, so that the query history tells them from others."""
        self.execute(f"alter session set query_tag = {quote_text(query_tag)}")
        try:
            yield
        finally:
            if self._connection is not None:  # a new session begins with its own tag
                self.execute(f"alter session set query_tag = {quote_text(self._query_tag)}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the DML statements inside atomic: commit at the end, roll back on any error.

        Raises:
            TerminalError: Already inside a transaction (there are no nested ones).
            CommitConflict: Another transaction holds a lock this one needs, or committed first; nothing was changed.
        """
        if self._in_transaction:
            raise TerminalError("a transaction is open already; Snowflake has no nested ones")
        self.execute("begin")
        self._in_transaction = True
        try:
            yield
            self.execute("commit")
        except BaseException:
            self._in_transaction = False
            self._roll_back()
            raise
        self._in_transaction = False

    def _roll_back(self) -> None:
        try:
            self.execute("rollback")
        except SlackwaterError:
            self.close()  # a closed session cannot commit what is left of the transaction

    @contextmanager
    def _executed(self, sql: str, params: Sequence[Scalar]) -> Iterator[_Cursor]:
        if self._in_transaction and _DDL.match(sql):
            raise TerminalError(f"DDL inside a transaction would commit it: {_shown(sql)}")
        session = self._session()
        try:
            with _translated(sql):
                cursor = session.cursor()
                try:
                    cursor.execute(sql, [_bound(value) for value in params] if params else None)
                    self._last_query_id = cursor.sfqid
                    yield cursor
                finally:
                    cursor.close()
        except WarehouseUnavailable:
            self.close()  # the next statement opens a new session; a transaction has ended with the old one
            raise


def connection_arguments(settings: WarehouseSettings, query_tag: str) -> dict[str, object]:
    """Return the arguments of the driver's `connect`, for every program that opens a session.

    Raises:
        ConfigurationError: Neither a password nor a private key is set.
    """
    arguments: dict[str, object] = {
        "account": settings.account,
        "user": settings.user,
        "database": settings.database,
        "warehouse": settings.warehouse,
        "role": settings.role,
        "protocol": settings.protocol,
        "network_timeout": settings.network_timeout_seconds,
        "login_timeout": settings.login_timeout_seconds,
        "autocommit": True,
        "timezone": "UTC",
        "paramstyle": "qmark",
        "client_telemetry_enabled": False,
        "platform_detection_timeout_seconds": 0,  # asks cloud metadata services otherwise: seconds without a network
        "session_parameters": {
            "QUERY_TAG": query_tag,
            "LOCK_TIMEOUT": str(LOCK_TIMEOUT_SECONDS),
            "TRANSACTION_ABORT_ON_ERROR": "TRUE",
        },
    }
    if settings.host:
        arguments["host"] = settings.host
    if settings.port:
        arguments["port"] = settings.port
    if settings.private_key_file:
        arguments["private_key_file"] = str(settings.private_key_file)
        arguments["authenticator"] = "SNOWFLAKE_JWT"
    elif settings.password:
        arguments["password"] = settings.password.get_secret_value()
    else:
        raise ConfigurationError("set SLACKWATER_WAREHOUSE_PASSWORD or SLACKWATER_WAREHOUSE_PRIVATE_KEY_FILE")
    return arguments


def import_driver() -> ModuleType:
    """Import the driver, without the pandas it would bring."""
    with hidden_pandas():
        return import_module(_DRIVER)


def _driver() -> ModuleType:
    """Return the driver's errors; the driver is imported at the first statement."""
    import_driver()
    return import_module(f"{_DRIVER}.errors")


def _bound(value: Scalar) -> Scalar:
    """Send dates as ISO text: exact, free of time zones, and understood by every server that speaks the protocol."""
    return value.isoformat(sep=" ") if isinstance(value, datetime) else _date_text(value)


def _date_text(value: Scalar) -> Scalar:
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def _translated(sql: str) -> Iterator[None]:
    try:
        yield
    except _driver().Error as exc:
        raise classify_driver_error(exc, sql) from exc
    except OSError as exc:
        raise WarehouseUnavailable(f"the warehouse did not answer ({exc}) to: {_shown(sql)}") from exc


def classify_driver_error(error: "DriverError", sql: str) -> SlackwaterError:
    """Return our error for a driver error.

    Args:
        error: What the connector raised.
        sql: The statement; it appears in the message, shortened and without secrets.

    Returns:
        `CommitConflict` for locks, `WarehouseUnavailable` when the call did not get through, else `TerminalError`.
    """
    message = f"{_shown(error.msg or str(error))} [{error.errno}, {error.sqlstate}] in: {_shown(sql)}"
    if error.errno in LOCK_ERRNOS:
        return CommitConflict(f"another transaction was first: {message}")
    lost = (_driver().OperationalError, _driver().InterfaceError)
    if error.errno in CONNECTION_ERRNOS or isinstance(error, lost):
        return WarehouseUnavailable(f"the warehouse did not answer: {message}")
    return TerminalError(f"the warehouse refused a statement: {message}")


def _shown(text: str) -> str:
    flat = " ".join(_SECRET.sub(r"\1='***'", text).split())
    cut = _LONGEST_STATEMENT_IN_MESSAGE
    return flat if len(flat) <= cut else f"{flat[:cut]} ... ({len(flat)} characters)"
