"""What a failed Spark job means: from the text of its error to one of our errors, with the next step. Pure."""

import re
from collections.abc import Callable
from typing import Any

from slackwater import errors
from slackwater.errors import (
    CommitConflict,
    ConfigurationError,
    FileUnreadable,
    SlackwaterError,
    SparkOutOfMemory,
    StoreRejected,
    StoreUnavailable,
)
from slackwater.settings import SparkSettings

_LONGEST = 600
_FILE = re.compile(r"s3a?://[^\s,'\"\]\)]+")

Rule = tuple[str, Callable[[str, SparkSettings], SlackwaterError]]

_RULES: tuple[Rule, ...] = (
    (
        r"OutOfMemoryError|GC overhead limit|Container killed .* exceeding memory",
        lambda text, spark: SparkOutOfMemory(
            f"Spark ran out of memory with profile {spark.profile}: set SLACKWATER_SPARK_PROFILE to a greater one, or"
            f" fold and compact less at a time ({text})"
        ),
    ),
    (
        r"Py4JNetworkError",
        lambda text, _: StoreUnavailable(
            "the JVM of Spark ended in the middle, as when it is killed or the machine has no memory left; what was"
            f" committed stands, and the next run does the rest ({text})"
        ),
    ),
    (
        r"No space left on device|Disk quota exceeded|File too large",
        lambda text, spark: StoreUnavailable(
            f"the disk of {spark.work_dir} is full; free space or set SLACKWATER_SPARK_WORK_DIR ({text})"
        ),
    ),
    (
        r"CommitFailedException|ValidationException|Found conflicting files",
        lambda text, _: CommitConflict(f"another commit was first: {text}"),
    ),
    (
        r"CommitStateUnknownException|UncheckedSQLException|Connection to .* refused|PSQLException",
        lambda text, _: StoreUnavailable(f"the Iceberg catalog is not available: {text}"),
    ),
    (
        r"Access Denied|Status Code: 403|Forbidden",
        lambda text, _: StoreRejected(f"the object store refused access; check SLACKWATER_S3_* and the policy: {text}"),
    ),
    (
        r"is not a Parquet file|CORRUPT|could not read page|Could not read footer|NotFoundException|NoSuchKey"
        r"|Status Code: 416",
        lambda text, _: FileUnreadable(
            f"a data file cannot be read: {_named_file(text)}; find the batch that brought it:"
            f" slackwater lake file {_named_file(text)} ({text})"
        ),
    ),
    (
        r"TABLE_OR_VIEW_NOT_FOUND|NoSuchTableException",
        lambda text, _: ConfigurationError(f"a table is missing; run `slackwater stack up` ({text})"),
    ),
    (
        r"SdkClientException|Unable to execute HTTP request|ConnectException|SocketTimeout|Status Code: 5\d\d",
        lambda text, _: StoreUnavailable(f"the object store does not answer: {text}"),
    ),
)


def explain_failure(text: str, *, spark: SparkSettings) -> SlackwaterError:
    """Return the error that a message of Spark stands for; one nobody knows is terminal and keeps its text.

    Args:
        text: Message with its causes.
        spark: Named in the advice.
    """
    told = " ".join(text.split())
    shown = told if len(told) <= _LONGEST else f"{told[:_LONGEST]} ..."
    for pattern, make in _RULES:
        if re.search(pattern, told):
            return make(shown, spark)
    return StoreRejected(f"Spark failed: {shown}")


def error_document(error: SlackwaterError) -> dict[str, Any]:
    """Return an error as a job writes it."""
    return {"error": {"kind": type(error).__name__, "message": str(error)}}


def error_of_document(document: dict[str, Any]) -> SlackwaterError:
    """Return the error a job wrote, as itself; a kind nobody knows is terminal."""
    told = document["error"]
    kind = getattr(errors, str(told["kind"]), None)
    if isinstance(kind, type) and issubclass(kind, SlackwaterError) and kind.__init__ is SlackwaterError.__init__:
        return kind(str(told["message"]))
    return StoreRejected(str(told["message"]))


def _named_file(text: str) -> str:
    found = _FILE.search(text)
    return found.group(0) if found else "(Spark does not name it)"
