"""What only Spark can do for a table: row deletes, manifests, statistics, files that no snapshot names.

`python -m spark.jobs.maintain_tables REQUEST RESULT` reads a `MaintainRequest` and writes a `MaintainResult`, JSON.
Snapshots expire elsewhere (`slackwater/lake/run_maintenance`): they need no engine. Every part may be done twice.
"""

from pyspark.sql import Row, SparkSession

from slackwater.errors import SlackwaterError
from slackwater.lake.maintenance import MaintainRequest, MaintainResult, TableKept, TableUpkeep
from slackwater.spark_runtime.failures import error_document
from spark.spark_errors import spark_errors
from spark.tables import current_snapshot_id, require_format
from spark.timing import timed

TOMBSTONES_VIEW = "slackwater_buried"


def run(session: SparkSession, request: MaintainRequest) -> MaintainResult:
    """Do the upkeep of some tables, one after the other; one that fails is reported, and the others are done."""
    return MaintainResult(tables=tuple(_keep(session, one, is_dry=request.is_dry) for one in request.tables))


def _keep(session: SparkSession, upkeep: TableUpkeep, *, is_dry: bool) -> TableKept:
    found: dict[str, int | bool | tuple[str, ...]] = {}
    seconds: dict[str, float] = {}
    error = None
    try:
        with spark_errors():
            require_format(session, upkeep.table)
            found["manifests_before"] = found["manifests_after"] = _manifests(session, upkeep.table)
            if not is_dry and current_snapshot_id(session, upkeep.table) is not None:
                if upkeep.tombstones_of:
                    with timed(seconds, "tombstones"):
                        found["tombstones"] = delete_tombstones(session, upkeep)
                if upkeep.is_rewriting_manifests:
                    with timed(seconds, "manifests"):
                        _call(session, "rewrite_manifests", f"table => '{upkeep.table}'")
                    found["manifests_after"] = _manifests(session, upkeep.table)
                if upkeep.statistics_columns:
                    with timed(seconds, "statistics"):
                        found["has_new_statistics"] = compute_statistics(session, upkeep)
            with timed(seconds, "orphans"):
                found["orphan_files"] = orphan_files(session, upkeep, is_dry=is_dry)
    except SlackwaterError as exc:
        error = error_document(exc)["error"]
    return TableKept.model_validate({"table": upkeep.table, "error": error, "seconds": seconds, **found})


def delete_tombstones(session: SparkSession, upkeep: TableUpkeep) -> int:
    """Delete the tombstones that came with some objects, and return how many there were."""
    objects = session.createDataFrame([(one,) for one in upkeep.tombstones_of], "object_id string")
    objects.createOrReplaceTempView(TOMBSTONES_VIEW)
    condition = f"__op = 'd' and _object_id in (select object_id from {TOMBSTONES_VIEW})"
    try:
        count = session.sql(f"select 1 from {upkeep.table} where {condition}").count()
        if count:
            session.sql(f"delete from {upkeep.table} where {condition}")
    finally:
        session.catalog.dropTempView(TOMBSTONES_VIEW)
    return count


def compute_statistics(session: SparkSession, upkeep: TableUpkeep) -> bool:
    """Count the distinct values of columns in the current snapshot; say whether that is kept now."""
    columns = ", ".join(f"'{name}'" for name in upkeep.statistics_columns)
    rows = _call(session, "compute_table_stats", f"table => '{upkeep.table}', columns => array({columns})")
    return any(row["statistics_file"] for row in rows)


def orphan_files(session: SparkSession, upkeep: TableUpkeep, *, is_dry: bool) -> tuple[str, ...]:
    """Remove the files that no snapshot names and that are old enough; only name them if dry.

    `prefix_listing`: without it the procedure looks for a Hadoop file system for `s3://` and finds none (2026-11-21).
    """
    limit = upkeep.orphans_before.strftime("%Y-%m-%d %H:%M:%S")
    arguments = (
        f"table => '{upkeep.table}', older_than => timestamp '{limit}', dry_run => {str(is_dry).lower()},"
        " prefix_listing => true"
    )
    return tuple(sorted(str(row["orphan_file_location"]) for row in _call(session, "remove_orphan_files", arguments)))


def _call(session: SparkSession, procedure: str, arguments: str) -> list[Row]:
    catalog = session.conf.get("spark.sql.defaultCatalog")
    return session.sql(f"call {catalog}.system.{procedure}({arguments})").collect()


def _manifests(session: SparkSession, table: str) -> int:
    return session.table(f"{table}.manifests").where("content = 0").count()


if __name__ == "__main__":
    from spark.job_main import main

    raise SystemExit(main(MaintainRequest, run))
