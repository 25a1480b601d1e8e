"""What every customer bought, from the lake's state tables, by the definitions of the warehouse's customer marts.

`python -m spark.jobs.analyze_customers REQUEST RESULT` reads an `AnalyticsRequest` and writes an `AnalyticsResult`. A
customer with an order on one of the days asked for is computed anew, over the whole history; so is one whose last
computation had such an order. Without days every customer is.
"""

import time

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f
from pyspark.sql.types import DateType, DecimalType, LongType, StringType, StructField, StructType

from slackwater.lake.analytics import AnalyticsRequest, AnalyticsResult
from slackwater.naming import analytics_table
from slackwater.reconciliation.metrics import load_metrics
from spark.analytics_tables import ensure_table, replace_rows, within_days
from spark.transforms.sales import MONEY, counted_orders, existing, goods_sold, quotient

TABLE = analytics_table("customer_metrics")
SCHEMA = StructType(
    [
        StructField("customer_id", LongType(), nullable=False),
        StructField("total_orders", LongType(), nullable=False),
        StructField("total_spent", DecimalType(18, 2), nullable=False),
        StructField("avg_order_value", DecimalType(18, 2), nullable=False),
        StructField("first_order_date", DateType()),
        StructField("last_order_date", DateType()),
        StructField("favorite_category", StringType()),
        StructField("unique_products_purchased", LongType(), nullable=False),
        StructField("total_items_purchased", LongType(), nullable=False),
    ]
)


def run(session: SparkSession, request: AnalyticsRequest) -> AnalyticsResult:
    """Compute customers and replace their rows; a second call changes nothing.

    Args:
        session: As `spark.session.open_session` returns it.
        request: Customers with an order on these days; all without any.
    """
    begin = time.monotonic()
    ensure_table(session, TABLE, SCHEMA)
    customers = existing(session, "users").select(f.col("id").alias("customer_id"))
    if request.from_date is None and request.to_date is None:
        rows, within = customer_rows(session, customers), f.lit(True)
    else:
        touched = sorted(row[0] for row in _touched(session, request).collect())
        if not touched:
            seconds = round(time.monotonic() - begin, 3)
            return AnalyticsResult(table=TABLE, row_count=0, deleted_count=0, seconds=seconds)
        rows = customer_rows(session, customers.where(f.col("customer_id").isin(*touched)))
        within = f.col("customer_id").isin(*touched)
    rows = rows.cache()
    row_count = rows.count()
    before = replace_rows(session, TABLE, rows, within)
    rows.unpersist()
    return AnalyticsResult(
        table=TABLE, row_count=row_count, deleted_count=before, seconds=round(time.monotonic() - begin, 3)
    )


def customer_rows(session: SparkSession, customers: DataFrame) -> DataFrame:
    """Return one row per customer in the columns of `SCHEMA`.

    Args:
        session: As `spark.session.open_session` returns it.
        customers: Their ids.
    """
    metrics = load_metrics()
    ordered = (
        counted_orders(session, metrics)
        .join(customers, "customer_id")
        .groupBy("customer_id")
        .agg(
            f.count(f.lit(1)).alias("total_orders"),
            f.sum("revenue").cast(MONEY).alias("total_spent"),
            f.min("day").alias("first_order_date"),
            f.max("day").alias("last_order_date"),
        )
    )
    bought = goods_sold(session, metrics).join(customers, "customer_id")
    varied = bought.groupBy("customer_id").agg(
        f.countDistinct("product_id").alias("unique_products_purchased"),
        f.sum("quantity").alias("total_items_purchased"),
    )
    # The category with the most units; of equal ones the one with the greater value, then the first by name.
    best = Window.partitionBy("customer_id").orderBy(f.desc("units"), f.desc("spent"), "category")
    favorites = (
        bought.where(f.col("category").isNotNull())
        .groupBy("customer_id", "category")
        .agg(f.sum("quantity").alias("units"), f.sum("line_total").alias("spent"))
        .withColumn("place", f.row_number().over(best))
        .where("place = 1")
        .select("customer_id", f.col("category").alias("favorite_category"))
    )
    joined = customers
    for part in (ordered, varied, favorites):
        joined = joined.join(part, "customer_id", "left")
    counts = ("total_orders", "unique_products_purchased", "total_items_purchased")
    filled = joined.fillna(0, subset=list(counts)).withColumn(
        "total_spent", f.coalesce(f.col("total_spent"), f.lit(0)).cast(MONEY)
    )
    average = quotient(f.col("total_spent"), f.col("total_orders"), 2)
    return filled.withColumn("avg_order_value", average).select(*(field.name for field in SCHEMA.fields))


def _touched(session: SparkSession, request: AnalyticsRequest) -> DataFrame:
    orders = existing(session, "orders").where(f.col("user_id").isNotNull())
    now = orders.where(within_days(request, "date")).select(f.col("user_id").alias("customer_id"))
    held = session.table(TABLE).where(
        within_days(request, "first_order_date") | within_days(request, "last_order_date")
    )
    return now.unionByName(held.select("customer_id")).distinct()


if __name__ == "__main__":
    from spark.job_main import main

    raise SystemExit(main(AnalyticsRequest, run))
