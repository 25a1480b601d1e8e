"""December 2010 through the whole system: every published number equals SQL over the shop's own tables."""

import re
import time

import psutil
import pytest
from killing import flow_processes, services
from shop_marts import compare_with_shop
from upkeep import start_run, wait_for_run
from world import World

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.listings import list_batches
from slackwater.reconciliation.run import reconcile

pytestmark = pytest.mark.e2e

FLOW_START_SECONDS = 120.0

STAGED = {
    "users": "id, email, first_name, last_name, created_at, updated_at",
    "products": "id, name, description, price, stock_quantity, category, created_at, updated_at",
    "orders": "id, user_id, status, total_amount, shipping_address, created_at, updated_at",
    "order_items": "id, order_id, product_id, quantity, unit_price, created_at",
}


def test_published_daily_metrics_equal_sql_over_the_shop(december: World) -> None:
    published = december.published_metrics()
    assert len(published) >= 20
    assert published == december.expected_metrics()


def test_every_published_mart_equals_duckdb_over_the_shop(december: World) -> None:
    compared = compare_with_shop(december)
    for mart, found in compared.items():
        assert found.is_equal, (mart, found)
    # Nobody was a customer a whole horizon ago, so there is nothing to test the prediction on yet.
    assert {mart for mart, found in compared.items() if found.rows == 0} == {"ltv_backtest"}


def test_nothing_is_fitted_to_three_weeks_of_sales(december: World) -> None:
    run = wait_for_run(december, start_run(december, "predict-ltv/daily", {}))
    assert run.state_type == "COMPLETED", run.state_message
    assert re.fullmatch(r"Not fitted: 0 customers had bought by 2010-.*, expected at least 100\. .*", run.state_message)
    assert december.warehouse("select count(*) from OPS.LTV_PREDICTION") == [(0,)]


def test_a_flow_runs_in_a_fork_of_the_worker_s_one_server(december: World) -> None:
    run, deadline = start_run(december, "predict-ltv/daily", {}), time.monotonic() + FLOW_START_SECONDS
    while not (processes := flow_processes(december.profile)):
        assert time.monotonic() < deadline, f"no flow process after {FLOW_START_SECONDS:.0f} s"
        time.sleep(0.1)
    server = processes[-1].parent()
    assert server is not None
    assert "forkserver" in server.cmdline()[2]
    assert server.ppid() == services(december.profile)["worker"].pid
    assert wait_for_run(december, run).state_type == "COMPLETED"


def test_the_worker_imported_no_integration(december: World) -> None:
    worker = psutil.Process(services(december.profile)["worker"].pid)
    integrations = [one.path for one in worker.memory_maps() if re.search("/(snowflake|pyarrow|kubernetes)", one.path)]
    assert integrations == []


@pytest.mark.parametrize("entity", STAGED)
def test_staging_equals_the_shop_row_for_row(december: World, entity: str) -> None:
    columns = STAGED[entity]
    staged = december.warehouse(f"select {columns} from STAGING.STG_{entity.upper()} order by id")
    assert staged
    assert staged == december.shop(f"select {columns} from shop.{entity} order by id")


def test_a_december_replay_needs_at_most_four_refreshes(december: World) -> None:
    publications = december.warehouse("select count(*) from MARTS.PUBLICATION")[0][0]
    assert 1 <= int(str(publications)) <= 4


def test_every_file_is_published_and_every_row_is_in_raw_once(december: World) -> None:
    with december.ledger() as ledger:
        batches = list_batches(ledger)
    rows = {
        entity: december.warehouse(f"select count(*), count(distinct _position) from RAW.{entity}") for entity in STAGED
    }
    for entity, [(count, positions)] in rows.items():
        assert count == positions
        assert count == sum(batch.rows or 0 for batch in batches if batch.entity == entity)
    assert all(batch.refresh_state == "published" for batch in batches)


def test_reconciliation_is_equal_and_covers_every_day(december: World) -> None:
    report = run_reconciliation(december)
    assert report.is_equal, report.summary
    assert len(report.days) == len(december.expected_metrics())


def test_one_order_line_missing_in_clickhouse_is_named_with_day_metric_and_both_values(december: World) -> None:
    line = december.shop(
        "select i.id, i.order_id, i.quantity, o.created_at::date from shop.order_items i"
        " join shop.orders o on o.id = i.order_id join shop.products p on p.id = i.product_id"
        " where o.status = 'delivered' and p.category <> 'service' and i.quantity > 0 order by i.id limit 1"
    )[0]
    with SpeedStore(december.systems.clickhouse) as speed:
        kept = speed.query(
            "select * except (ingested_at) from order_items_changes where id = {id:Int64}", {"id": line[0]}
        )
        speed.command(f"delete from order_items_changes where id = {int(str(line[0]))}")
        try:
            report = run_reconciliation(december)
            found = {(d.day, d.metric): (d.clickhouse, d.snowflake) for d in report.differences}
        finally:
            speed.insert_changes("order_items", kept)
    assert not report.is_equal
    fast, exact = found[line[3], "total_items_sold"]
    assert exact - fast == line[2]
    assert str(line[3]) in report.summary
    assert run_reconciliation(december).is_equal


def test_one_order_line_altered_in_raw_is_named_with_day_metric_and_both_values(december: World) -> None:
    line_id, day = december.shop(
        "select i.id, o.created_at::date from shop.order_items i"
        " join shop.orders o on o.id = i.order_id join shop.products p on p.id = i.product_id"
        " where o.status = 'delivered' and p.category <> 'service' and i.quantity > 0 order by i.id desc limit 1"
    )[0]
    with Warehouse(december.systems.warehouse, query_tag="test") as warehouse:
        warehouse.execute("update RAW.ORDER_ITEMS set quantity = quantity + 7 where id = ?", (int(str(line_id)),))
        try:
            report = run_reconciliation(december)
        finally:
            warehouse.execute("update RAW.ORDER_ITEMS set quantity = quantity - 7 where id = ?", (int(str(line_id)),))
    found = {(d.day, d.metric): (d.clickhouse, d.snowflake) for d in report.differences}
    fast, exact = found[day, "total_items_sold"]
    assert exact - fast == 7
    assert run_reconciliation(december).is_equal


def run_reconciliation(world: World):  # type: ignore[no-untyped-def]
    with (
        world.ledger() as ledger,
        SpeedStore(world.systems.clickhouse) as speed,
        Warehouse(world.systems.warehouse, query_tag="test") as warehouse,
    ):
        return reconcile(
            warehouse=warehouse, speed=speed, ledger=ledger, reports_dir=world.systems.quality.reports_dir / "test"
        )
