"""PostgreSQL connections and the one translation of psycopg's errors.

Every use of psycopg goes through here. SQL lives with its owner (ledger, replay), not in this file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from slackwater.errors import ConfigurationError, StoreRejected, StoreUnavailable, ValueRefused

CONNECT_TIMEOUT_SECONDS = 10

Connection = psycopg.Connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn driver errors of the enclosed block into ours.

    Raises:
        StoreUnavailable: No connection, the server went away, a deadlock or a serialization failure.
        ConfigurationError: The schema or the database is not what the code expects (not migrated, no rights).
        ValueRefused: PostgreSQL cannot hold a value.
        StoreRejected: The server refused the statement for another reason.
    """
    try:
        yield
    except (psycopg.errors.InvalidPassword, psycopg.errors.InvalidCatalogName) as exc:
        raise ConfigurationError(f"PostgreSQL refused the login: {_first_line(exc)}; check the DSN") from exc
    except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
        raise StoreUnavailable(f"PostgreSQL is not available: {_first_line(exc)}") from exc
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.InsufficientPrivilege,
    ) as exc:
        raise ConfigurationError(f"PostgreSQL is not set up: {_first_line(exc)}; run `slackwater stack up`") from exc
    except psycopg.DataError as exc:
        raise ValueRefused(f"PostgreSQL cannot hold a value: {_first_line(exc)}") from exc
    except psycopg.Error as exc:
        raise StoreRejected(f"PostgreSQL refused a statement: {_first_line(exc)}") from exc


def connect(dsn: SecretStr | str, *, autocommit: bool = False, application_name: str = "slackwater") -> Connection:
    """Open a connection whose session speaks UTC.

    Args:
        dsn: libpq URI or key-value string.
        autocommit: True for single statements without explicit transactions.
        application_name: Shown in `pg_stat_activity`.

    Raises:
        StoreUnavailable: The server does not answer within `CONNECT_TIMEOUT_SECONDS`.
        ConfigurationError: The login or the database name is wrong.
    """
    text = dsn.get_secret_value() if isinstance(dsn, SecretStr) else dsn
    with translated():
        return psycopg.connect(
            text,
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name=application_name,
            options="-c timezone=UTC",
        )


def sqlalchemy_uri(dsn: SecretStr | str) -> str:
    """Return the SQLAlchemy form (psycopg 3 driver) of a libpq URI, for Alembic and the Iceberg catalog."""
    text = dsn.get_secret_value() if isinstance(dsn, SecretStr) else dsn
    scheme, separator, rest = text.partition("://")
    if separator and scheme.split("+")[0] in ("postgresql", "postgres"):
        return f"postgresql+psycopg://{rest}"
    raise ConfigurationError("expected a DSN of the form postgresql://user:password@host:port/database")


def with_database(dsn: SecretStr | str, name: str) -> str:
    """Return the DSN of another database on the same server."""
    text = dsn.get_secret_value() if isinstance(dsn, SecretStr) else dsn
    with translated():
        return make_conninfo("", **{**conninfo_to_dict(text), "dbname": name})


class Sessions:
    """Idle connections of one database, reused; usable from several threads. One transaction per block."""

    def __init__(self, dsn: SecretStr | str, *, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._idle: list[Connection] = []
        self._lock = Lock()

    def close(self) -> None:
        """Close idle connections; more are opened when needed."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run a block in one transaction, on a connection that was alive a moment ago.

        Raises:
            StoreUnavailable: The server does not answer; nothing was committed, or it is not known.
        """
        connection = self._take()
        try:
            with translated(), connection.transaction():
                yield connection
        finally:
            if connection.broken or connection.closed:
                connection.close()
            else:
                with self._lock:
                    self._idle.append(connection)

    def _take(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return connect(self._dsn, autocommit=True, application_name=self._application_name)
            try:
                with translated():
                    connection.execute("select 1")
            except StoreUnavailable:
                connection.close()
            else:
                return connection


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
