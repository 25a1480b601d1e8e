"""Rows of the state tables as the analytics count them. The definitions are those of the warehouse's marts."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f

from slackwater.naming import state_table
from slackwater.reconciliation.metrics import Metrics

MONEY = "decimal(18,2)"


def existing(session: SparkSession, entity: str) -> DataFrame:
    """Return the rows of a state table that were not deleted."""
    return session.table(state_table(entity)).where("__op <> 'd'")


def counted_orders(session: SparkSession, metrics: Metrics) -> DataFrame:
    """Return the orders that are business.

    Returns:
        `order_id`, `customer_id` (null for a guest), `day` (UTC date of the order), `revenue`.
    """
    orders = existing(session, "orders").where(f.col("status").isin(*metrics.statuses.counted))
    return orders.select(
        f.col("id").alias("order_id"),
        f.col("user_id").alias("customer_id"),
        f.to_date("created_at").alias("day"),
        f.coalesce(f.col("total_amount"), f.lit(0)).cast(MONEY).alias("revenue"),
    )


def goods_sold(session: SparkSession, metrics: Metrics) -> DataFrame:
    """Return the lines of counted orders without services.

    Returns:
        `order_id`, `customer_id`, `day`, `product_id`, `product_name`, `category` (both as they are now), `quantity`,
        `line_total`.
    """
    products = existing(session, "products").select(f.col("id").alias("product_id"), "name", "category")
    lines = existing(session, "order_items").select(
        "order_id", "product_id", "quantity", (f.col("quantity") * f.col("unit_price")).cast(MONEY).alias("line_total")
    )
    sold = lines.join(counted_orders(session, metrics), "order_id").join(products, "product_id", "left")
    return sold.where(~f.coalesce(f.col("category") == metrics.service_category, f.lit(False))).select(
        "order_id",
        "customer_id",
        "day",
        "product_id",
        f.col("name").alias("product_name"),
        "category",
        "quantity",
        "line_total",
    )


def quotient(numerator: Column, denominator: Column, decimals: int) -> Column:
    """Return an exact ratio rounded half up, 0 where the denominator is 0.

    Ten decimals are kept before rounding: a quotient that is not a tie stays on its side of one.
    """
    divided = numerator.cast("decimal(20,2)") / f.when(denominator == 0, None).otherwise(denominator).cast(
        "decimal(12,0)"
    )
    return f.coalesce(f.round(divided.cast("decimal(30,10)"), decimals), f.lit(0)).cast(f"decimal(18,{decimals})")
