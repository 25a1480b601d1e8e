"""The state of one session's transaction, and which statements it allows.

DuckDB aborts a transaction on any error. Rolling back behind the client's back and going on would lose the earlier rows
in silence, so an error leaves the transaction unusable until ROLLBACK: what Snowflake does with
TRANSACTION_ABORT_ON_ERROR = TRUE.
"""

from dataclasses import dataclass
from enum import Enum

import snowflake.connector.errors as sf
from sqlglot import Expr, exp

from slackwater.stack.snowflake_emulator import answers


class Phase(Enum):
    """Where a session's transaction is."""

    NONE = "none"
    OPEN = "open"
    ABORTED = "aborted"


@dataclass
class Transaction:
    """One session's transaction; mutable, guarded by the session's lock.

    Attributes:
        phase: NONE outside a transaction.
        statement_count: Statements that succeeded in it; at 0 it may be started again unnoticed.
        cause: Why it was aborted.
        is_server_abort: The server rolled it back (idle, connection lost), so running it again can succeed.
    """

    phase: Phase = Phase.NONE
    statement_count: int = 0
    cause: str = ""
    is_server_abort: bool = False

    def open(self) -> None:
        """Note that a transaction began."""
        self.phase, self.statement_count, self.cause, self.is_server_abort = Phase.OPEN, 0, "", False

    def close(self) -> None:
        """Note that it was committed or rolled back by its client."""
        self.phase, self.statement_count = Phase.NONE, 0

    def abort(self, cause: str, *, is_server_abort: bool = False) -> None:
        """Note that it was rolled back because of `cause`; only ROLLBACK leads out."""
        self.phase, self.cause, self.is_server_abort = Phase.ABORTED, cause, is_server_abort

    def refusal(self, statement: Expr) -> sf.Error | None:
        """Return the error with which `statement` must be answered in this state, or None when it may run."""
        if isinstance(statement, exp.Rollback) or self.phase is Phase.NONE:
            return None
        if self.phase is Phase.ABORTED:
            if self.is_server_abort:
                return answers.transient(f"Transaction was rolled back by the server: {self.cause}")
            return answers.transaction_aborted(self.cause)
        if isinstance(statement, exp.Transaction):
            return answers.ddl_in_transaction("BEGIN")
        if is_ddl(statement):
            return answers.ddl_in_transaction(_name(statement))
        return None


def is_ddl(statement: Expr) -> bool:
    """Tell whether Snowflake would commit an open transaction before `statement` (TRUNCATE counts)."""
    if isinstance(statement, exp.Alter):
        return str(statement.args.get("kind")).upper() != "SESSION"
    if isinstance(statement, exp.Create | exp.Drop | exp.Comment | exp.TruncateTable | exp.Undrop):
        return True
    return isinstance(statement, exp.Command) and str(statement.this).upper() in ("CREATE", "ALTER", "DROP", "UNDROP")


def is_dml(statement: Expr) -> bool:
    """Tell whether `statement` starts an implicit transaction in a session without autocommit."""
    return isinstance(statement, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Copy)


def _name(statement: Expr) -> str:
    kind = statement.args.get("kind")
    return f"{statement.key.upper()} {kind}".strip() if isinstance(kind, str) else statement.key.upper()
