"""What was sold of every product on every day, from the lake's state tables, by the definitions of the product mart.

`python -m spark.jobs.analyze_products REQUEST RESULT` reads an `AnalyticsRequest` and writes an `AnalyticsResult`. The
days asked for are replaced in one commit; a product that was not sold on a day has no row there.
"""

import time

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f
from pyspark.sql.types import DateType, DecimalType, LongType, StringType, StructField, StructType

from slackwater.lake.analytics import AnalyticsRequest, AnalyticsResult
from slackwater.naming import analytics_table
from slackwater.reconciliation.metrics import load_metrics
from spark.analytics_tables import ensure_table, replace_rows, within_days
from spark.transforms.sales import MONEY, goods_sold, quotient

TABLE = analytics_table("product_performance")
SCHEMA = StructType(
    [
        StructField("date", DateType(), nullable=False),
        StructField("product_id", LongType(), nullable=False),
        StructField("product_name", StringType()),
        StructField("category", StringType()),
        StructField("units_sold", LongType(), nullable=False),
        StructField("total_revenue", DecimalType(18, 2), nullable=False),
        StructField("avg_selling_price", DecimalType(18, 2), nullable=False),
        StructField("unique_customers", LongType(), nullable=False),
        StructField("repeat_customers", LongType(), nullable=False),
        StructField("revenue_rank_in_category", LongType(), nullable=False),
        StructField("units_rank_in_category", LongType(), nullable=False),
    ]
)


def run(session: SparkSession, request: AnalyticsRequest) -> AnalyticsResult:
    """Compute the products of a range of days and replace their rows; a second call changes nothing.

    Args:
        session: As `spark.session.open_session` returns it.
        request: Which days.
    """
    begin = time.monotonic()
    ensure_table(session, TABLE, SCHEMA, partition="date")
    rows = product_rows(session, request).cache()
    row_count = rows.count()
    before = replace_rows(session, TABLE, rows.repartition("date"), within_days(request, "date"))
    rows.unpersist()
    return AnalyticsResult(
        table=TABLE, row_count=row_count, deleted_count=before, seconds=round(time.monotonic() - begin, 3)
    )


def product_rows(session: SparkSession, request: AnalyticsRequest) -> DataFrame:
    """Return one row per day and product in the columns of `SCHEMA`.

    A repeat customer bought the product on an earlier day, whether or not that day is asked for.
    """
    sold = goods_sold(session, load_metrics()).where("day is not null and product_id is not null")
    first = Window.partitionBy("product_id", "customer_id")
    told = sold.withColumn("first_day", f.when(f.col("customer_id").isNotNull(), f.min("day").over(first)))
    repeating = f.when(f.col("day") > f.col("first_day"), f.col("customer_id"))
    daily = (
        told.where(within_days(request, "day"))
        .groupBy("day", "product_id")
        .agg(
            f.max("product_name").alias("product_name"),
            f.max("category").alias("category"),
            f.sum("quantity").alias("units_sold"),
            f.sum("line_total").cast(MONEY).alias("total_revenue"),
            f.countDistinct("customer_id").alias("unique_customers"),
            f.countDistinct(repeating).alias("repeat_customers"),
        )
        .withColumnRenamed("day", "date")
    )
    category = Window.partitionBy("date", "category")
    ranked = daily.withColumns(
        {
            "avg_selling_price": quotient(f.col("total_revenue"), f.col("units_sold"), 2),
            "revenue_rank_in_category": f.rank().over(category.orderBy(f.desc("total_revenue"))).cast("bigint"),
            "units_rank_in_category": f.rank().over(category.orderBy(f.desc("units_sold"))).cast("bigint"),
        }
    )
    return ranked.select(*(f.col(field.name).cast(field.dataType) for field in SCHEMA.fields))


if __name__ == "__main__":
    from spark.job_main import main

    raise SystemExit(main(AnalyticsRequest, run))
