"""One client session: fakesnow's connection plus a lock, its transaction and what the client said at login."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
from fakesnow.conn import FakeSnowflakeConnection

from slackwater.stack.snowflake_emulator.cursor import EmulatedCursor
from slackwater.stack.snowflake_emulator.options import EmulatorOptions
from slackwater.stack.snowflake_emulator.query_history import QueryHistory
from slackwater.stack.snowflake_emulator.transactions import Phase, Transaction

logger = logging.getLogger(__name__)
EXIT_ENGINE_BROKEN = 70


class EmulatedSession(FakeSnowflakeConnection):
    """A session as the server keeps it by token.

    Attributes:
        lock: Held while a statement runs; DuckDB connections are not for several threads at once.
        transaction: State of the explicit or implicit transaction.
        query_tag: Session parameter QUERY_TAG, given back by SHOW PARAMETERS.
        peer: Address of the TCP connection that carried the last request.
        history: What the account's sessions ran; the account puts its own here.
    """

    def __init__(self, *args: Any, options: EmulatorOptions, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = options
        self.lock = threading.RLock()
        self.transaction = Transaction()
        self.query_tag = ""
        self.warehouse: str | None = None
        self.role: str | None = None
        self.peer: tuple[str, int] | None = None
        self.last_used = time.monotonic()
        self.peers: dict[str, EmulatedSession] = {}
        self.stopping = threading.Event()
        self.history = QueryHistory()
        self._duck_conn.execute("PRAGMA enable_profiling = 'no_output'")

    def cursor(self, cursor_class: Any = None) -> EmulatedCursor:  # noqa: ARG002  # the base class has it
        """Return a cursor of this session; rows are tuples whatever class is asked for."""
        return EmulatedCursor(conn=self, duck_conn=self._duck_conn, use_dict_result=False)

    def autocommit(self, mode: bool) -> None:
        """Switch autocommit; an open implicit transaction is committed first, as Snowflake does."""
        super().autocommit(mode)
        self.transaction.close()

    def close(self, retry: bool = True) -> None:
        """Close the session; an open transaction is rolled back."""
        with self.lock:
            self.undo()
            super().close(retry)

    @property
    def is_autocommit(self) -> bool:
        """Whether a statement outside a transaction commits itself."""
        return bool(self._autocommit)

    def own_cursor(self) -> duckdb.DuckDBPyConnection:
        """Return another DuckDB connection to the same databases, outside this session's transaction."""
        return self._duck_conn.cursor()

    def forget_database(self, database: str) -> None:
        """Leave `database` if it is the current one, because it is gone."""
        if self.database == database:
            self.database, self._schema, self.database_set, self.schema_set = None, None, False, False

    @property
    def is_busy(self) -> bool:
        """Whether a statement is running."""
        if self.lock.acquire(blocking=False):
            self.lock.release()
            return False
        return True

    def begin(self) -> None:
        """Begin a transaction in DuckDB on behalf of the client and note it."""
        self._duck_conn.begin()
        self._in_transaction = True
        self.transaction.open()

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """Run several DuckDB statements that stand for one Snowflake statement outside a transaction."""
        autocommit, self._autocommit = self._autocommit, True
        self._duck_conn.begin()
        try:
            yield
            self._duck_conn.commit()
        except BaseException:
            self.undo()
            raise
        finally:
            self._autocommit = autocommit

    def undo(self) -> None:
        """Roll back in DuckDB, whatever state it is in."""
        self._in_transaction = False
        with suppress(duckdb.Error):  # no transaction is active, or the connection is closed: nothing to undo
            self._duck_conn.rollback()

    def interrupt(self) -> None:
        """Stop the running statement; it fails with errno 604."""
        self._duck_conn.interrupt()

    def stop_process(self, cause: str) -> None:
        """End the process: DuckDB refuses all further work after an internal error, and the supervisor restarts us."""
        logger.critical("the engine is unusable, stopping: %s", cause)
        os._exit(EXIT_ENGINE_BROKEN)

    def roll_back_for(self, cause: str) -> bool:
        """Roll back an open transaction on behalf of the server; its next statement hears `cause`.

        Returns:
            False when the session is busy or has no open transaction.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.transaction.phase is not Phase.OPEN:
                return False
            self.undo()
            self.transaction.abort(cause, is_server_abort=True)
            return True
        finally:
            self.lock.release()

    def roll_back_idle_peers(self) -> None:
        """Roll back other sessions' transactions that have been idle too long and may be in this one's way."""
        limit = time.monotonic() - self.options.idle_transaction_seconds
        for peer in tuple(self.peers.values()):
            if peer is not self and peer.last_used < limit:
                peer.roll_back_for(f"idle for more than {self.options.idle_transaction_seconds:g} s while blocking")
