"""The daily business metrics from the lake's state tables, by the same definitions as the warehouse's mart.

`python -m spark.jobs.analyze_days REQUEST RESULT` reads an `AnalyticsRequest` and writes an `AnalyticsResult`. The days
asked for are replaced in one commit; a day without an order has no row, so one that lost its last order loses its row.
"""

import time
from decimal import Decimal

from pyspark.sql import Row, SparkSession
from pyspark.sql.types import DataType, DateType, DecimalType, LongType, StructField, StructType

from slackwater.lake.analytics import AnalyticsRequest, AnalyticsResult
from slackwater.naming import analytics_table
from slackwater.reconciliation.compile import compile_spark
from slackwater.reconciliation.metrics import Metrics, load_metrics
from spark.analytics_tables import ensure_table, replace_rows, within_days

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
    ensure_table(session, TABLE, schema, partition="date")
    query = compile_spark(metrics, from_date=request.from_date, to_date=request.to_date)
    rows = [_completed(row, metrics, schema) for row in session.sql(query).collect()]
    within = within_days(request, "date")
    before = replace_rows(session, TABLE, session.createDataFrame(rows, schema), within)
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


if __name__ == "__main__":
    from spark.job_main import main

    raise SystemExit(main(AnalyticsRequest, run))
