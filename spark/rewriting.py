"""Rewrites the small files of some days of a table, on a branch. What it made is checked by the caller.

A day that fits into few files is read once: its rows are kept, checked and written anew as a whole, because opening
many small files is most of the work, and a second opening for the check would double it. So is a day with deleted rows,
which takes their delete files away in the same commit: `remove-dangling-deletes` of Iceberg's procedure ignores the
branch and commits to main (read in 1.11.0), and without it the delete files stay. Greater days go through the
procedure, which leaves their good files alone. Its partial progress stays off: a group that lost a race is left out
silently, with `failed_data_files_count` 0.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from math import ceil

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from slackwater.entities.model import load_entity
from slackwater.lake.compaction import LARGE_SHARE, SMALL_SHARE
from slackwater.lake.rewrite import BRANCH, RewriteRequest
from spark.comparison import NOTHING_KNOWN, KnownChecks, Version, check_rows, row_key
from spark.versions import DayFiles, catalog_of, files_of

ANEW_FILES = 2
"""A day without deleted rows is written anew when it fits into so many files of the target size."""


@dataclass(frozen=True)
class Start:
    """What a rewrite begins with.

    Attributes:
        version: Where it begins.
        anew: Days that are written anew as a whole.
        rows: Their rows; None when there is no such day.
        known: Checks of these rows.
    """

    version: Version
    anew: tuple[date, ...] = ()
    rows: DataFrame | None = None
    known: KnownChecks = NOTHING_KNOWN


Rewrite = Callable[[SparkSession, RewriteRequest, Start], None]
"""Rewrites the days of a request."""


@contextmanager
def reading_once(session: SparkSession, request: RewriteRequest, snapshot_id: int) -> Iterator[Start]:
    """Read and check the days that will be written anew, and keep their rows meanwhile.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What will be rewritten.
        snapshot_id: Head of the branch.
    """
    version = Version(snapshot_id, files_of(session, request.table, (snapshot_id,))[snapshot_id])
    anew = tuple(day for day in request.days if day in version.files and is_written_anew(version.files[day], request))
    if not anew:
        yield Start(version)
        return
    # A branch is read in the columns the table has now, a snapshot in those it had then.
    rows = session.table(f"{request.table}.branch_{BRANCH}").where(f.col("date").isin(*anew)).persist()
    try:
        known = check_rows(rows, version, key=row_key(request.kind, load_entity(request.entity)))
        yield Start(version, anew, rows, known)
    finally:
        rows.unpersist()


def is_written_anew(files: DayFiles, request: RewriteRequest) -> bool:
    """Say whether a day is written anew as a whole: it has deleted rows, or many files for its few bytes."""
    if files.delete_files:
        return True
    target = request.target_file_bytes
    has_too_many = files.data_files >= request.min_inputs and files.data_files > ceil(files.size_bytes / target)
    return has_too_many and files.size_bytes <= ANEW_FILES * target


def rewrite_days(session: SparkSession, request: RewriteRequest, start: Start) -> None:
    """Rewrite the days of a request.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What to rewrite.
        start: What it begins with.
    """
    others = [day for day in request.days if day not in start.anew]
    if others:
        session.sql(rewrite_statement(request, others, branch=BRANCH, catalog=catalog_of(session)))
    if start.rows is not None:
        _write_anew(request, start.rows)


def rewrite_statement(request: RewriteRequest, days: Sequence[date], *, branch: str | None, catalog: str) -> str:
    """Return the call of Iceberg's rewrite for some days of a request.

    Args:
        request: Table, sizes, order.
        days: Which days.
        branch: Branch to commit to; None: main.
        catalog: Catalog of the table.
    """
    target = request.target_file_bytes
    options = {
        "target-file-size-bytes": target,
        "min-file-size-bytes": int(SMALL_SHARE * target),
        "max-file-size-bytes": int(LARGE_SHARE * target),
        "min-input-files": request.min_inputs,
    }
    arguments = {
        "table": f"'{request.table}'",
        **({"branch": f"'{branch}'"} if branch else {}),
        **_order(request),
        "where": "'date in ({})'".format(", ".join(f'date "{day}"' for day in days)),
        "options": "map({})".format(", ".join(f"'{name}', '{value}'" for name, value in options.items())),
    }
    told = ", ".join(f"{name} => {value}" for name, value in arguments.items())
    return f"call {catalog}.system.rewrite_data_files({told})"


def _order(request: RewriteRequest) -> dict[str, str]:
    if not request.is_sorted_by_key:
        return {"strategy": "'binpack'"}
    return {"strategy": "'sort'", "sort_order": f"'{load_entity(request.entity).key} ASC NULLS LAST'"}


def _write_anew(request: RewriteRequest, rows: DataFrame) -> None:
    """Write whole days without their deleted rows, sorted; replaces their data and delete files in one commit."""
    order = ["date", load_entity(request.entity).key] if request.is_sorted_by_key else ["date"]
    writer = rows.repartition("date").sortWithinPartitions(*order).writeTo(f"{request.table}.branch_{BRANCH}")
    # Distribution none: the rows lie as they shall be written; another shuffle would lose their order.
    writer = writer.option("distribution-mode", "none")
    writer.option("target-file-size-bytes", str(request.target_file_bytes)).overwritePartitions()
