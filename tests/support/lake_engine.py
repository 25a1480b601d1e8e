"""Spark's part of a simulated lake, in this process's session."""

from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession

from slackwater.lake.maintenance import MaintainRequest, MaintainResult
from slackwater.testing.lake_day import Engine
from spark.jobs import maintain_tables, rewrite_files


def engine_of(session: SparkSession) -> Engine:
    """Return an engine whose files are as old as the store says, whatever time its requests believe it is."""

    def maintain(request: MaintainRequest) -> MaintainResult:
        limit = datetime.now(UTC) - timedelta(days=3)
        tables = tuple(one.model_copy(update={"orphans_before": limit}) for one in request.tables)
        return maintain_tables.run(session, request.model_copy(update={"tables": tables}))

    return Engine(
        rewrite=lambda job: rewrite_files.run_all(session, job),
        maintain=maintain,
        remove_orphans=lambda table, before: len(remove_orphans(session, table, before)),
    )


def remove_orphans(session: SparkSession, table: str, before: datetime) -> set[str]:
    """Remove the orphans written before a time: the procedure refuses less than a day, the action does not."""
    jvm = session._jvm
    loaded = jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(session._jsparkSession, f"lake.{table}")
    action = jvm.org.apache.iceberg.spark.actions.SparkActions.get(session._jsparkSession).deleteOrphanFiles(loaded)
    limit = int(before.timestamp() * 1000)
    return set(action.olderThan(limit).usePrefixListing(True).execute().orphanFileLocations())
