"""The lake's upkeep by its own flow: the state tables are the shop, once, however often it runs."""

import os
from datetime import date

import pytest
from upkeep import SHOP_COLUMNS, look_after_the_lake, shop_rows, state_rows, unfolded
from world import METRIC_COLUMNS, Row, World, exact

from slackwater.clients.iceberg import Lake
from slackwater.clients.spark import SparkJobs
from slackwater.lake.analytics import AnalyticsRequest, AnalyticsResult
from slackwater.naming import analytics_table, state_table
from slackwater.settings import ProjectSettings, SparkSettings
from slackwater.stack.environment import full_environment

pytestmark = [pytest.mark.e2e, pytest.mark.spark]


def snapshots(world: World) -> dict[str, int | None]:
    lake = Lake(world.systems.lake, world.systems.s3)
    found = {entity: lake.load_table(state_table(entity)).current_snapshot() for entity in SHOP_COLUMNS}
    return {entity: snapshot.snapshot_id if snapshot else None for entity, snapshot in found.items()}


def test_a_run_folds_what_landed_and_the_state_tables_are_the_shop_row_for_row(december: World) -> None:
    if unfolded(december):
        run = look_after_the_lake(december)
        assert (run.state_type, run.state_message[:6]) == ("COMPLETED", "Folded"), run.state_message
    assert unfolded(december) == 0
    for entity in SHOP_COLUMNS:
        held = state_rows(december, entity)
        assert held == shop_rows(december, entity)
        assert held


def test_a_second_run_has_nothing_to_do_and_commits_nothing(december: World) -> None:
    before = snapshots(december)
    run = look_after_the_lake(december)
    assert (run.state_type, run.state_message) == ("COMPLETED", "Skipped: nothing waits for a fold.")
    assert snapshots(december) == before


def analyze(world: World, request: AnalyticsRequest, *, job: str = "analyze_days") -> AnalyticsResult:
    environment = {**os.environ, **full_environment(world.profile)}
    spark = SparkSettings(work_dir=world.profile.home / "spark")
    jobs = SparkJobs(spark, ProjectSettings(root=world.profile.project_dir), environment)
    return jobs.run(job, request, AnalyticsResult)


def analyzed(world: World) -> dict[date, Row]:
    table = Lake(world.systems.lake, world.systems.s3).load_table(analytics_table("daily_business_metrics"))
    rows = table.scan(selected_fields=METRIC_COLUMNS).to_arrow().select(list(METRIC_COLUMNS)).to_pylist()
    assert len({row["date"] for row in rows}) == len(rows), "a day is there twice"
    return {row["date"]: exact(tuple(row.values())[1:]) for row in rows}


def test_spark_over_the_lake_and_dbt_in_the_warehouse_give_the_same_metrics(december: World) -> None:
    published = december.published_metrics()
    days = sorted(published)
    result = analyze(december, AnalyticsRequest())
    assert (result.row_count, result.deleted_count) == (len(days), 0)
    assert analyzed(december) == published
    again = analyze(december, AnalyticsRequest(from_date=days[3], to_date=days[5]))
    assert (again.row_count, again.deleted_count) == (3, 3)
    assert analyzed(december) == published


SHARED_COLUMNS = {
    ("analyze_customers", "customer_metrics", "CUSTOMER_ANALYTICS"): (
        "customer_id", "total_orders", "total_spent", "avg_order_value", "first_order_date", "last_order_date",
        "favorite_category", "total_items_purchased",
    ),
    ("analyze_products", "product_performance", "PRODUCT_PERFORMANCE"): (
        "date", "product_id", "product_name", "category", "units_sold", "total_revenue", "avg_selling_price",
        "unique_customers", "repeat_customers", "revenue_rank_in_category", "units_rank_in_category",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("job", "result", "mart"), SHARED_COLUMNS)
def test_spark_and_dbt_agree_on_every_customer_and_product(december: World, job: str, result: str, mart: str) -> None:
    columns = SHARED_COLUMNS[job, result, mart]
    published = december.warehouse(f"select {', '.join(columns)} from MARTS.{mart} order by 1, 2")
    analyzed = analyze(december, AnalyticsRequest(), job=job)
    table = Lake(december.systems.lake, december.systems.s3).load_table(analytics_table(result))
    rows = table.scan(selected_fields=columns).to_arrow().select(list(columns)).to_pylist()
    assert (analyzed.row_count, len(rows)) == (len(published), len(published))
    assert len(published) > 100
    assert sorted((tuple(row.values()) for row in rows), key=lambda row: row[:2]) == published
