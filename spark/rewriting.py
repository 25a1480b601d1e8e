"""Rewrites the small files of some days of a table, on a branch or on main. What it made is checked by the caller.

Days without deleted rows go through Iceberg's own procedure. Days with deleted rows are written anew as a whole, which
takes their delete files away in the same commit: `remove-dangling-deletes` of the procedure ignores the branch and
commits to main (read in 1.11.0), and without it the delete files stay. Partial progress stays off: a group that lost a
race is left out silently, with `failed_data_files_count` 0.
"""

from collections.abc import Callable, Sequence
from datetime import date

from pyspark.sql import SparkSession

from slackwater.entities.model import load_entity
from slackwater.lake.compaction import LARGE_SHARE, SMALL_SHARE
from slackwater.lake.rewrite import RewriteRequest
from spark.tables import current_snapshot_id
from spark.versions import catalog_of, files_of, rows_of

Rewrite = Callable[[SparkSession, RewriteRequest, str | None], None]
"""Rewrites the days of a request on a branch; None: on main."""


def rewrite_days(session: SparkSession, request: RewriteRequest, branch: str | None) -> None:
    """Rewrite the days of a request.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What to rewrite.
        branch: Branch to commit to; None: main, which may be appended to meanwhile.
    """
    version = current_snapshot_id(session, request.table, branch=branch or "main")
    if version is None:
        return
    dirty: list[date] = []
    if branch is not None:
        files = files_of(session, request.table, (version,))[version]
        dirty = [day for day in request.days if day in files and files[day].delete_files]
    clean = [day for day in request.days if day not in dirty]
    if clean:
        session.sql(rewrite_statement(request, clean, branch=branch, catalog=catalog_of(session)))
    if dirty and branch is not None:
        _write_anew(session, request, dirty, version=version, branch=branch)


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


def _write_anew(
    session: SparkSession, request: RewriteRequest, days: Sequence[date], *, version: int, branch: str
) -> None:
    """Write whole days without their deleted rows, sorted; replaces their data and delete files in one commit."""
    order = ["date", load_entity(request.entity).key] if request.is_sorted_by_key else ["date"]
    rows = rows_of(session, request.table, version, days=days).repartition("date").sortWithinPartitions(*order)
    # Distribution none: the rows lie as they shall be written; another shuffle would lose their order.
    writer = rows.writeTo(f"{request.table}.branch_{branch}").option("distribution-mode", "none")
    writer.option("target-file-size-bytes", str(request.target_file_bytes)).overwritePartitions()
