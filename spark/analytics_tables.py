"""Results of the batch analytics: Iceberg tables in `analytics` of which a part is replaced in one commit."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

from slackwater.lake.analytics import AnalyticsRequest
from slackwater.naming import ANALYTICS_NAMESPACE
from spark.tables import require_format


def ensure_table(session: SparkSession, table: str, schema: StructType, *, partition: str | None = None) -> None:
    """Make a result table, format version 2, unless there is one.

    Args:
        session: As `spark.session.open_session` returns it.
        table: Iceberg identifier below `analytics`.
        schema: Its columns; which may be null is kept.
        partition: Column of its partitions: an overwrite cannot take rows out of a file that holds others too.
    """
    session.sql(f"create namespace if not exists {ANALYTICS_NAMESPACE}")
    columns = ", ".join(
        f"{field.name} {field.dataType.simpleString()}{'' if field.nullable else ' not null'}"
        for field in schema.fields
    )
    partitioned = f" partitioned by ({partition})" if partition else ""
    session.sql(
        f"create table if not exists {table} ({columns}) using iceberg{partitioned}"
        " tblproperties ('format-version' = '2')"
    )
    require_format(session, table)


def replace_rows(session: SparkSession, table: str, rows: DataFrame, within: Column) -> int:
    """Put rows in the place of those for which a condition holds, in one commit; returns how many there were before."""
    before = session.table(table).where(within).count()
    rows.writeTo(table).overwrite(within)
    return before


def within_days(request: AnalyticsRequest, column: str) -> Column:
    """Return the condition that a column's day is among those asked for."""
    condition = f.lit(True)
    if request.from_date is not None:
        condition = condition & (f.col(column) >= f.lit(request.from_date))
    if request.to_date is not None:
        condition = condition & (f.col(column) <= f.lit(request.to_date))
    return condition
