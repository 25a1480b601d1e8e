"""What pyiceberg, its catalog and its object store raise, as errors of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, NoSuchTableError
from sqlalchemy.exc import SQLAlchemyError

from slackwater.errors import CommitConflict, ConfigurationError, StoreUnavailable


@contextmanager
def translated() -> Iterator[None]:
    """Turn pyiceberg's, SQLAlchemy's and the object store's errors of the enclosed block into ours."""
    try:
        yield
    except NoSuchTableError as exc:
        raise ConfigurationError(f"{exc}; run `slackwater stack up` to create the lake's tables") from exc
    except CommitFailedException as exc:
        raise CommitConflict(str(exc)) from exc
    except (CommitStateUnknownException, SQLAlchemyError) as exc:
        raise StoreUnavailable(f"the Iceberg catalog is not available: {str(exc).splitlines()[0]}") from exc
    except OSError as exc:
        raise StoreUnavailable(f"the lake's object store is not available: {exc}") from exc


def is_lost_race(error: Exception) -> bool:
    """Say whether a commit failed because another was first.

    A commit to a branch leaves main as it was, so pyiceberg finds no conflict there; it then refuses its own snapshot,
    whose sequence number is no longer the next, with a plain `ValueError`.
    """
    return isinstance(error, CommitFailedException) or "older than last sequence number" in str(error)
