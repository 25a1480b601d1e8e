"""Rewrites the small files of some days of a table, on a branch. What it made is checked by the caller.

A day that fits into few files is written anew as a whole, and what its rows were is counted while they pass by: opening
many small files is most of the work, and opening them once more for the check would double it. So is a day with deleted
rows, which takes their delete files away in the same commit: `remove-dangling-deletes` of Iceberg's procedure ignores
the branch and commits to main (read in 1.11.0), and without it the delete files stay. Greater days go through the
procedure, which leaves their good files alone. Its partial progress stays off: a group that lost a race is left out
silently, with `failed_data_files_count` 0.
"""

from collections.abc import Callable, Sequence
from datetime import date
from math import ceil

from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as f

from slackwater.entities.model import load_entity
from slackwater.lake.compaction import LARGE_SHARE, SMALL_SHARE
from slackwater.lake.rewrite import BRANCH, RewriteRequest
from spark.comparison import NOTHING_SEEN, SeenRows, Version, row_key
from spark.tables import session_setting
from spark.transforms.checksum import check_columns, hashes
from spark.versions import DayFiles, catalog_of, check_of

ANEW_FILES = 2
"""A day without deleted rows is written anew when it fits into so many files of the target size."""

ONE_TASK_PER_DAY = {"file-open-cost": "0", "split-size": str(2**50)}
"""Read options; tasks do not mix days when `preserve-data-grouping` is set."""

Rewrite = Callable[[SparkSession, RewriteRequest, Version], SeenRows]
"""Rewrites the days of a request on the branch, which is at a version; tells what it saw of it."""


def is_written_anew(files: DayFiles, request: RewriteRequest) -> bool:
    """Say whether a day is written anew as a whole: it has deleted rows, or many files for its few bytes."""
    if files.delete_files:
        return True
    target = request.target_file_bytes
    has_too_many = files.data_files >= request.min_inputs and files.data_files > ceil(files.size_bytes / target)
    return has_too_many and files.size_bytes <= ANEW_FILES * target


def rewrite_days(session: SparkSession, request: RewriteRequest, start: Version) -> SeenRows:
    """Rewrite the days of a request.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What to rewrite.
        start: Where the branch is.

    Returns:
        The rows of the days that were written anew, as they were before.
    """
    anew = [day for day in request.days if day in start.files and is_written_anew(start.files[day], request)]
    others = [day for day in request.days if day not in anew]
    # The rows are seen before anything else is done on the branch: what the procedure might do to them is noticed.
    seen = _write_anew(session, request, anew) if anew else NOTHING_SEEN
    if others:
        session.sql(rewrite_statement(request, others, branch=BRANCH, catalog=catalog_of(session)))
    return seen


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


def _write_anew(session: SparkSession, request: RewriteRequest, days: Sequence[date]) -> SeenRows:
    """Write whole days without their deleted rows; replaces their data and delete files in one commit."""
    entity, branch, seen = load_entity(request.entity), f"{request.table}.branch_{BRANCH}", Observation()
    # A branch is read in the columns the table has now, a snapshot in those it had then.
    rows = session.read.options(**ONE_TASK_PER_DAY).table(branch).where(f.col("date").isin(*days))
    columns = tuple(rows.dtypes)
    hashed = hashes(rows, key=row_key(request.kind, entity))
    rows = hashed.observe(seen, *check_columns()).select(*rows.columns)
    if request.is_sorted_by_key:
        rows = rows.sortWithinPartitions(entity.key)
    # Distribution none: a task has one day, as it shall be written; a shuffle would cost time and lose the order.
    writer = rows.writeTo(branch).option("distribution-mode", "none")
    writer = writer.option("target-file-size-bytes", str(request.target_file_bytes))
    with session_setting(session, "spark.sql.iceberg.planning.preserve-data-grouping", "true"):
        writer.overwritePartitions()
    return SeenRows(tuple(days), columns, check_of(seen.get))
