"""The daily business metrics from the lake's state tables, by the same definitions as the warehouse's mart.

`python -m spark.jobs.analyze_days REQUEST RESULT` reads an `AnalyticsRequest` and writes an `AnalyticsResult`. The days
asked for are replaced in one commit; a day without an order has no row, so one that lost its last order loses its row.
"""

import time
from datetime import date
from decimal import Decimal

from pyspark.sql import Column, Row, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import DataType, DateType, DecimalType, LongType, StructField, StructType

from slackwater.lake.analytics import AnalyticsRequest, AnalyticsResult
from slackwater.naming import ANALYTICS_NAMESPACE, analytics_table
from slackwater.reconciliation.compile import compile_spark
from slackwater.reconciliation.metrics import Metrics, load_metrics
from spark.tables import require_format

TABLE = analytics_table("daily_business_metrics")
MONEY_DIGITS = 18


def run(session: SparkSession, request: AnalyticsRequest) -> AnalyticsResult:
    """Compute the metrics of a range of days and replace their rows; a second call changes nothing.

    Args:
        session: As `spark.session.open_session` returns it.
        request: Which days.
    """
    begin = time.monotonic()
    metrics = load_metrics()
    schema = result_schema(metrics)
    _ensure_table(session, schema)
    query = compile_spark(metrics, from_date=request.from_date, to_date=request.to_date)
    rows = [_completed(row, metrics, schema) for row in session.sql(query).collect()]
    within = _within(request.from_date, request.to_date)
    before = session.table(TABLE).where(within).count()
    session.createDataFrame(rows, schema).writeTo(TABLE).overwrite(within)
    return AnalyticsResult(
        table=TABLE, row_count=len(rows), deleted_count=before, seconds=round(time.monotonic() - begin, 3)
    )


def result_schema(metrics: Metrics) -> StructType:
    """Return one column per published metric, exact: whole numbers, money, ratios with their decimals."""
    fields = [StructField("date", DateType(), nullable=False)]
    fields += [StructField(name, _type_of(name, metrics), nullable=False) for name in metrics.published_names]
    return StructType(fields)


def _type_of(name: str, metrics: Metrics) -> DataType:
    if name in metrics.ratios:
        return DecimalType(MONEY_DIGITS, metrics.ratios[name].decimals)
    return DecimalType(MONEY_DIGITS, 2) if metrics.aggregates[name].sum == "amount" else LongType()


def _completed(row: Row, metrics: Metrics, schema: StructType) -> tuple[object, ...]:
    """Return a day's row; ratios are computed by the code that computes them for every other store."""
    aggregates = {name: Decimal(str(row[name] or 0)) for name in metrics.aggregates}
    values: dict[str, Decimal] = metrics.complete(aggregates)
    typed = (
        int(values[field.name]) if isinstance(field.dataType, LongType) else values[field.name]
        for field in schema.fields[1:]
    )
    return (row["day"], *typed)


def _within(from_date: date | None, to_date: date | None) -> Column:
    condition = f.lit(True)
    if from_date is not None:
        condition = condition & (f.col("date") >= f.lit(from_date))
    if to_date is not None:
        condition = condition & (f.col("date") <= f.lit(to_date))
    return condition


def _ensure_table(session: SparkSession, schema: StructType) -> None:
    session.sql(f"create namespace if not exists {ANALYTICS_NAMESPACE}")
    columns = ", ".join(f"{field.name} {field.dataType.simpleString()} not null" for field in schema.fields)
    # By day: an overwrite of some days cannot take rows out of a file that holds others too.
    session.sql(
        f"create table if not exists {TABLE} ({columns}) using iceberg partitioned by (date)"
        " tblproperties ('format-version' = '2')"
    )
    require_format(session, TABLE)


if __name__ == "__main__":
    from spark.job_main import main

    raise SystemExit(main(AnalyticsRequest, run))
