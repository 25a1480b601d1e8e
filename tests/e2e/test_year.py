"""The whole year through the whole system: published numbers, staging, reconciliation, and the money, to the penny.

Takes long, so it is `slow` and belongs to `make test-year`. Each test reads its tables in pieces: the year has half a
million order lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest
from shop_marts import compare_with_shop
from upkeep import start_run, wait_for_run
from world import Row, World

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.snowflake import Warehouse
from slackwater.commands.waiting import wait_until_quiet
from slackwater.ledger.listings import list_batches
from slackwater.reconciliation.run import reconcile
from slackwater.replay.report import ReplayReport

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FIRST_DAY = date(2010, 12, 1)
LAST_DAY = date(2011, 12, 9)
INPUT_LINES = 541_909
INPUT_VALUE = Decimal("9747747.934")
DAYS_WITH_ORDERS = 305
QUIET_TIMEOUT_SECONDS = 3_600
CHUNK_KEYS = 25_000
MOST_BATCHES = 10_000

STAGED = {
    "users": "id, email, first_name, last_name, created_at, updated_at",
    "products": "id, name, description, price, stock_quantity, category, created_at, updated_at",
    "orders": "id, user_id, status, total_amount, shipping_address, created_at, updated_at",
    "order_items": "id, order_id, product_id, quantity, unit_price, created_at",
}


@dataclass(frozen=True)
class Year:
    """The system after the year went through it, and what the replay says it did."""

    world: World
    replayed: ReplayReport


@pytest.fixture(scope="module")
def year(world: World) -> Year:
    # From the first day, whatever was replayed before: sending again changes nothing, and the counts are the year's.
    replayed = world.replay(from_date=FIRST_DAY, to_date=LAST_DAY)
    with world.ledger() as ledger:
        progress = wait_until_quiet(world.systems, ledger, timeout_seconds=QUIET_TIMEOUT_SECONDS)
    assert progress.is_quiet, f"still in flight after {QUIET_TIMEOUT_SECONDS} s: {progress.line}"
    return Year(world, replayed)


def test_published_daily_metrics_equal_sql_over_the_shop(year: Year) -> None:
    published = year.world.published_metrics()
    assert len(published) == DAYS_WITH_ORDERS
    assert published == year.world.expected_metrics()


def test_every_published_mart_equals_duckdb_over_the_shop(year: Year) -> None:
    for mart, found in compare_with_shop(year.world).items():
        assert found.is_equal, (mart, found)
        assert found.rows, mart


def test_spend_is_predicted_for_everyone_who_ever_bought(year: Year) -> None:
    run = wait_for_run(year.world, start_run(year.world, "predict-ltv/daily", {}))
    assert run.state_type == "COMPLETED", run.state_message
    fits = year.world.warehouse("select cutoff_date, customers from OPS.LTV_FIT")
    assert len(fits) == 1, run.state_message
    ((cutoff, customers),) = fits
    buyers, earlier = year.world.shop(
        f"select count(distinct o.user_id), count(distinct o.user_id) filter (where o.created_at::date <= '{cutoff}')"
        " from shop.orders o where o.status in ('processing', 'shipped', 'delivered') and o.user_id is not null"
        " and exists (select 1 from shop.order_items i where i.order_id = o.id)"
    )[0]
    assert customers == buyers
    predicted = (
        "select count(*), count(held_out_spend), min(expected_spend), sum(expected_spend) from OPS.LTV_PREDICTION"
    )
    ((count, held_out, least, total),) = year.world.warehouse(predicted)
    assert (count, held_out) == (buyers, earlier)
    assert least >= 0  # type: ignore[operator]
    assert total > 0  # type: ignore[operator]


@pytest.mark.parametrize("entity", STAGED)
def test_staging_equals_the_shop_row_for_row(year: Year, entity: str) -> None:
    columns = STAGED[entity]
    count = year.world.shop(f"select count(*) from shop.{entity}")[0][0]
    assert count
    assert year.world.warehouse(f"select count(*) from STAGING.STG_{entity.upper()}") == [(count,)]
    compared = 0
    for low, high in key_ranges(year.world, entity):
        piece = f"where id >= {low} and id < {high} order by id"
        expected = year.world.shop(f"select {columns} from shop.{entity} {piece}")
        assert year.world.warehouse(f"select {columns} from STAGING.STG_{entity.upper()} {piece}") == expected
        compared += len(expected)
    assert compared == count


def test_every_file_is_published_and_every_row_is_in_raw_once(year: Year) -> None:
    with year.world.ledger() as ledger:
        batches = list_batches(ledger, limit=MOST_BATCHES)
    assert {batch.refresh_state for batch in batches} == {"published"}
    for entity in STAGED:
        sent = sum(rows for (name, _), rows in year.replayed.sent_rows.items() if name == entity)
        count = year.world.warehouse(f"select count(*), count(distinct _position) from RAW.{entity.upper()}")
        assert count == [(sent, sent)]
        assert sent == sum(batch.rows or 0 for batch in batches if batch.entity == entity)


def test_reconciliation_is_equal_on_every_day(year: Year) -> None:
    systems = year.world.systems
    with (
        year.world.ledger() as ledger,
        SpeedStore(systems.clickhouse) as speed,
        Warehouse(systems.warehouse, query_tag="test") as warehouse,
    ):
        report = reconcile(
            warehouse=warehouse, speed=speed, ledger=ledger, reports_dir=systems.quality.reports_dir / "test"
        )
    assert report.is_equal, report.summary
    assert len(report.days) == DAYS_WITH_ORDERS


def test_the_orders_in_the_shop_and_the_named_residuals_add_up_to_the_input_exactly(year: Year) -> None:
    in_shop = year.world.shop("select sum(quantity * unit_price) from shop.order_items")[0][0]
    named = year.replayed.so_far.residuals
    assert year.replayed.so_far.input_lines == INPUT_LINES
    assert isinstance(in_shop, Decimal)
    assert in_shop + sum(named.values(), Decimal(0)) == INPUT_VALUE


def test_the_totals_of_the_orders_in_the_warehouse_are_the_value_of_the_lines_in_the_shop(year: Year) -> None:
    in_shop = year.world.shop("select sum(quantity * unit_price) from shop.order_items")
    assert year.world.warehouse("select sum(total_amount) from STAGING.STG_ORDERS") == in_shop


def key_ranges(world: World, entity: str) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges that hold every key of an entity, each of at most CHUNK_KEYS keys."""
    rows: list[Row] = world.shop(f"select min(id), max(id) from shop.{entity}")
    least, greatest = int(str(rows[0][0])), int(str(rows[0][1]))
    for low in range(least, greatest + 1, CHUNK_KEYS):
        yield low, low + CHUNK_KEYS
