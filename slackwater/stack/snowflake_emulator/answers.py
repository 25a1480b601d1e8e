"""The error answers of the emulator: what DuckDB and fakesnow raise, as Snowflake errors with stable codes.

A client decides by `errno`, so these numbers are a contract. Where Snowflake has a number for the case, it is that one;
`ERRNO_TRANSACTION_ABORTED` is ours alone, because Snowflake has no such state.
"""

import duckdb
import snowflake.connector.errors as sf
from sqlglot.errors import SqlglotError

ERRNO_UNSUPPORTED = 2
"""The emulator cannot do this; repeating does not help."""
ERRNO_CONFLICT = 625
"""Rows are held by another transaction, or the server rolled this one back. Transient: run the transaction again."""
ERRNO_CANCELLED = 604
"""The client asked to stop the statement."""
ERRNO_INTERNAL = 603
"""A defect in the emulator or the statement hit one of DuckDB."""
ERRNO_NOT_NULL = 100072
ERRNO_DUPLICATE_ROW_IN_MERGE = 100090
ERRNO_BAD_VALUE = 100038
ERRNO_STAGE_FILE = 91016
ERRNO_DDL_IN_TRANSACTION = 90230
"""DDL inside an explicit transaction: Snowflake would commit the transaction, so the emulator refuses."""
ERRNO_TRANSACTION_ABORTED = 90232
"""An earlier statement of this transaction failed; only ROLLBACK is accepted."""

_FATAL_MARKS = ("database has been invalidated", "INTERNAL Error")


def unsupported(what: str) -> sf.ProgrammingError:
    """Return the error for something the emulator refuses to do."""
    return sf.ProgrammingError(
        msg=f"SQL compilation error:\nUnsupported feature '{what}' (Snowflake emulator).",
        errno=ERRNO_UNSUPPORTED,
        sqlstate="0A000",
    )


def transient(reason: str) -> sf.ProgrammingError:
    """Return the error for work that may succeed when the whole transaction is run again."""
    return sf.ProgrammingError(msg=reason, errno=ERRNO_CONFLICT, sqlstate="57014")


def transaction_aborted(cause: str) -> sf.ProgrammingError:
    """Return the error for a statement in a transaction that failed before."""
    return sf.ProgrammingError(
        msg=f"Transaction is aborted, nothing of it was kept; issue ROLLBACK. First error: {cause}",
        errno=ERRNO_TRANSACTION_ABORTED,
        sqlstate="25P02",
    )


def ddl_in_transaction(statement: str) -> sf.ProgrammingError:
    """Return the error for DDL in an open transaction."""
    return sf.ProgrammingError(
        msg=f"{statement} inside an open transaction is refused: Snowflake would commit the transaction here.",
        errno=ERRNO_DDL_IN_TRANSACTION,
        sqlstate="25001",
    )


def is_conflict(error: BaseException) -> bool:
    """Tell whether a statement failed because another transaction touched the same rows or catalog entry."""
    return isinstance(error, duckdb.TransactionException) and "onflict" in str(error)


def is_fatal(error: BaseException) -> bool:
    """Tell whether DuckDB is unusable now, so that only a restart of the process helps."""
    if isinstance(error, duckdb.FatalException):
        return True
    return isinstance(error, duckdb.Error) and any(mark in str(error) for mark in _FATAL_MARKS)


def translate(error: Exception) -> sf.Error:
    """Return the Snowflake error that stands for `error`; Snowflake errors are returned as they are."""
    if isinstance(error, sf.Error):
        return error
    if is_conflict(error):
        return transient(f"Lock not available: {error}")
    if isinstance(error, duckdb.ConstraintException) and "NOT NULL" in str(error):
        return sf.ProgrammingError(
            msg=f"NULL result in a non-nullable column: {error}", errno=ERRNO_NOT_NULL, sqlstate="22000"
        )
    for kinds, errno, sqlstate, prefix in _TRANSLATIONS:
        if isinstance(error, kinds):
            return sf.ProgrammingError(msg=f"{prefix}{error}"[:2000], errno=errno, sqlstate=sqlstate)
    return sf.ProgrammingError(
        msg=f"Snowflake emulator cannot run this statement: {type(error).__name__}: {error}"[:2000],
        errno=ERRNO_UNSUPPORTED,
        sqlstate="0A000",
    )


_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], int, str, str], ...] = (
    ((duckdb.InterruptException,), ERRNO_CANCELLED, "57014", "SQL execution canceled: "),
    ((duckdb.OutOfMemoryException,), ERRNO_INTERNAL, "53200", "Emulator memory limit: "),
    ((duckdb.NotImplementedException, NotImplementedError, SqlglotError), ERRNO_UNSUPPORTED, "0A000", "Unsupported: "),
    ((duckdb.BinderException,), 2043, "02000", "SQL compilation error:\n"),
    ((duckdb.CatalogException,), 2003, "42S02", "SQL compilation error:\n"),
    ((duckdb.ParserException, duckdb.SyntaxException), 1003, "42000", "SQL compilation error:\n"),
    ((duckdb.IOException, duckdb.PermissionException, OSError), ERRNO_STAGE_FILE, "22000", "Stage file: "),
    ((duckdb.DataError,), ERRNO_BAD_VALUE, "22018", "Bad value: "),
    ((duckdb.InvalidInputException,), ERRNO_BAD_VALUE, "22018", "Bad value: "),
    ((duckdb.Error,), ERRNO_INTERNAL, "XX000", "Emulator engine: "),
)
