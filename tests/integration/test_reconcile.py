"""Both stores against hand-computed numbers, against each other, and at a frontier in mid-replay."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

import pytest

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import ReconciliationFailed
from slackwater.naming import ENTITIES, MART_SET, clickhouse_changes_table, raw_table
from slackwater.reconciliation.compare import Cause
from slackwater.reconciliation.extract import read_clickhouse, read_snowflake
from slackwater.reconciliation.metrics import load_metrics
from slackwater.reconciliation.run import ensure_reconciliation, reconcile, require_equal
from slackwater.testing.both_stores import BothStores

pytestmark = pytest.mark.integration

FIRST, SECOND = date(2010, 12, 1), date(2010, 12, 2)

# Worked out by hand from `_fill`, in the order of the columns of the mart.
EXPECTED = {
    FIRST: {
        "total_orders": "6",
        "completed_orders": "3",
        "cancelled_orders": "1",
        "total_revenue": "18.05",
        "revenue_from_new_customers": "10.05",
        "revenue_from_returning_customers": "7.00",
        "revenue_from_guests": "1.00",
        "new_customers": "1",
        "returning_customers": "2",
        "total_active_customers": "3",
        "total_items_sold": "15",
        "unique_products_sold": "3",
        "avg_order_value": "4.51",
        "customer_acquisition_rate": "0.3333",
        "order_completion_rate": "0.5",
        "average_items_per_order": "3.75",
    },
    SECOND: {
        "total_orders": "2",
        "completed_orders": "0",
        "cancelled_orders": "0",
        "total_revenue": "0.01",
        "revenue_from_new_customers": "0",
        "revenue_from_returning_customers": "0.01",
        "revenue_from_guests": "0",
        "new_customers": "0",
        "returning_customers": "1",
        "total_active_customers": "1",
        "total_items_sold": "5",
        "unique_products_sold": "1",
        "avg_order_value": "0.01",
        "customer_acquisition_rate": "0",
        "order_completion_rate": "0",
        "average_items_per_order": "5",
    },
}


def _at(day: int, hour: int = 9, minute: int = 0, second: int = 0, *, month: int = 12) -> datetime:
    return datetime(2010, month, day, hour, minute, second)  # noqa: DTZ001 - UTC without a zone


def _order(key: int, user: int | None, status: str, amount: str, at: datetime, **cdc: str | int):
    return {
        "id": key,
        "user_id": user,
        "status": status,
        "total_amount": Decimal(amount),
        "created_at": at,
        "updated_at": at,
        **cdc,
    }


def _item(key: int, order: int, product: int, quantity: int, **cdc: str | int):
    return {
        "id": key,
        "order_id": order,
        "product_id": product,
        "quantity": quantity,
        "unit_price": Decimal("1.00"),
        **cdc,
    }


def _fill(stores: BothStores) -> None:
    """Two days of everything a metric has to get right; see the comments."""
    stores.put(
        "users",
        {"id": 1, "created_at": _at(1, 8)},  # registers on the first day
        {"id": 2, "created_at": _at(30, 23, 59, 59, month=11)},  # one second before it
        {"id": 3, "created_at": _at(1, 8)},
        {"id": 3, "op": "d"},  # deleted: his order is a returning customer's, nobody knows his registration
    )
    stores.put(
        "products",
        {"id": 1, "category": "gifts"},
        {"id": 2, "category": "service"},
        {"id": 3, "category": "service"},
        {"id": 3, "category": "gifts", "op": "u"},  # not a service any more
    )
    stores.put(
        "orders",
        _order(10, 1, "pending", "10.05", _at(1), lsn=100),
        _order(10, 1, "shipped", "10.05", _at(1), op="u", lsn=110),
        _order(11, 2, "delivered", "5.00", _at(1), op="u", lsn=130),
        _order(11, 2, "pending", "6.00", _at(1), lsn=120),  # older, though it came later
        _order(12, None, "processing", "1.00", _at(1), op="u", lsn=140),
        _order(12, None, "pending", "1.00", _at(1), op="r", lsn=140),  # same LSN: streamed wins over the snapshot
        _order(13, 1, "cancelled", "99.00", _at(1), lsn=150),
        _order(14, None, "pending", "7.00", _at(1, 23, 59, 59), lsn=160),
        _order(15, 3, "shipped", "2.00", _at(1), lsn=170),
        _order(16, 1, "processing", "0.01", _at(2, 0), lsn=180),  # midnight belongs to the second day
        _order(17, 2, "pending", "8.00", _at(2), lsn=190),
        _order(18, 2, "shipped", "9.00", _at(3), lsn=200),
        {"id": 18, "op": "d", "lsn": 210},  # the third day has no order left
    )
    stores.put(
        "order_items",
        _item(100, 10, 1, 2),
        _item(101, 10, 1, 3),
        _item(102, 10, 2, 1),  # a service
        _item(103, 11, 3, 4),
        _item(104, 13, 1, 7),  # of a cancelled order
        _item(105, 12, 1, 1),
        {"id": 105, "op": "d"},
        _item(106, 16, 1, 5),
        _item(107, 12, 99, 6),  # a product nobody knows is goods
    )


@pytest.fixture
def stores(module_sandbox) -> Iterator[BothStores]:
    """Both stores of the module, emptied."""
    with Warehouse(module_sandbox.warehouse) as warehouse, SpeedStore(module_sandbox.clickhouse) as speed:
        ensure_reconciliation(warehouse)
        for entity in ENTITIES:
            warehouse.execute(f"delete from {raw_table(entity)}")
            speed.command(f"truncate table {clickhouse_changes_table(entity)}")
        for table in ("OPS.RECONCILIATION", "OPS.REFRESH_BOUND", "MARTS.DAILY_BUSINESS_METRICS"):
            warehouse.execute(f"delete from {table}")
        warehouse.execute("update MARTS.PUBLICATION_CURRENT set refresh_id = null")
        yield BothStores(warehouse, speed)


@pytest.fixture
def filled(stores) -> BothStores:
    _fill(stores)
    return stores


def _reconcile(stores: BothStores, tmp_path, **changed):
    arguments = {"warehouse": stores.warehouse, "speed": stores.speed, "ledger": stores, "reports_dir": tmp_path}
    return reconcile(**(arguments | changed))


def _numbers(values) -> dict[date, dict[str, Decimal]]:
    return {day: {name: Decimal(number) for name, number in metrics.items()} for day, metrics in values.items()}


def test_both_stores_give_the_numbers_worked_out_by_hand(filled):
    frontier = filled.published_frontier()
    fast = read_clickhouse(filled.speed, load_metrics(), frontier, from_date=None, to_date=None)
    exact = read_snowflake(filled.warehouse, load_metrics(), frontier, from_date=None, to_date=None)

    assert fast == _numbers(EXPECTED)
    assert exact == _numbers(EXPECTED)


def test_range_of_days_is_inclusive_in_both_stores(filled):
    frontier = filled.published_frontier()
    for read, store in ((read_clickhouse, filled.speed), (read_snowflake, filled.warehouse)):
        found = read(store, load_metrics(), frontier, from_date=SECOND, to_date=SECOND)
        assert found == {SECOND: _numbers(EXPECTED)[SECOND]}


def test_sum_of_many_cents_is_exact_in_both_stores(stores, tmp_path):
    stores.put("orders", *[_order(key, None, "shipped", "0.10", _at(1)) for key in range(1, 201)])
    stores.put("orders", _order(999, None, "shipped", "99999999.99", _at(1)))
    report = _reconcile(stores, tmp_path)

    frontier = stores.published_frontier()
    found = read_clickhouse(stores.speed, load_metrics(), frontier, from_date=None, to_date=None)
    assert report.is_equal
    assert found[FIRST]["total_revenue"] == Decimal("100000019.99")


def test_equal_stores_reconcile_and_the_report_says_so(filled, tmp_path):
    report = _reconcile(filled, tmp_path)

    require_equal(report)
    assert report.days == (FIRST, SECOND)
    assert report.marts_note == "nothing is published yet"
    assert json.loads((tmp_path / "reconciliation" / "latest.json").read_text())["is_equal"] is True
    remembered = filled.warehouse.query("select report_id, is_equal, differences from OPS.RECONCILIATION")
    assert remembered == [(report.report_id, True, 0)]


def test_change_that_arrived_in_two_objects_counts_once(filled, tmp_path):
    again = filled.rows("orders", [])
    again = filled.speed.query("select * except (ingested_at) from orders_changes where id = 11")
    twin = again.set_column(again.schema.get_field_index("_object_id"), "_object_id", [["f" * 32] * again.num_rows])
    filled.put_into_warehouse("orders", twin)

    assert _reconcile(filled, tmp_path).is_equal


def test_order_line_deleted_from_clickhouse_fails_with_day_metric_and_both_values(filled, tmp_path):
    filled.speed.command("alter table order_items_changes delete where id = 103 settings mutations_sync = 2")
    report = _reconcile(filled, tmp_path)

    assert [(d.day, d.metric, d.clickhouse, d.snowflake, d.cause) for d in report.differences] == [
        (FIRST, "total_items_sold", Decimal(11), Decimal(15), Cause.UNKNOWN),
        (FIRST, "unique_products_sold", Decimal(2), Decimal(3), Cause.UNKNOWN),
        (FIRST, "average_items_per_order", Decimal("2.75"), Decimal("3.75"), Cause.UNKNOWN),
    ]
    assert [(p.entity, p.clickhouse_rows, p.snowflake_rows) for p in report.missing] == [("order_items", 8, 9)]
    with pytest.raises(ReconciliationFailed, match="2010-12-01 total_items_sold: ClickHouse 11, Snowflake 15"):
        require_equal(report)
    assert "total_items_sold" in report.html.read_text()


def test_order_altered_in_snowflake_raw_fails_with_day_metric_and_both_values(filled, tmp_path):
    filled.warehouse.execute("update RAW.ORDERS set total_amount = 5.01 where id = 11 and __op = 'u'")
    report = _reconcile(filled, tmp_path)

    assert [(d.day, d.metric, d.clickhouse, d.snowflake) for d in report.differences] == [
        (FIRST, "total_revenue", Decimal("18.05"), Decimal("18.06")),
        (FIRST, "revenue_from_returning_customers", Decimal("7.00"), Decimal("7.01")),
        (FIRST, "avg_order_value", Decimal("4.51"), Decimal("4.52")),
    ]
    with pytest.raises(ReconciliationFailed, match=r"total_revenue: ClickHouse 18\.05, Snowflake 18\.06"):
        require_equal(report)


def test_sending_the_lost_line_again_heals_the_difference(filled, tmp_path):
    line = filled.speed.query("select * except (ingested_at) from order_items_changes where id = 103")
    filled.speed.command("alter table order_items_changes delete where id = 103 settings mutations_sync = 2")
    assert not _reconcile(filled, tmp_path).is_equal

    assert filled.speed.insert_changes("order_items", line) == 1
    assert _reconcile(filled, tmp_path).is_equal


def test_mid_replay_is_green_and_says_what_is_in_flight(filled, tmp_path):
    filled.frontier = {"orders": filled.published_frontier()[("orders", "shop.orders+0")]}
    ahead = filled.rows("orders", [_order(30, 1, "shipped", "4.00", _at(4)), _order(31, 1, "shipped", "4.00", _at(4))])
    filled.speed.insert_changes("orders", ahead)
    filled.put_into_warehouse("orders", ahead.slice(0, 1), load_seq=2)
    report = _reconcile(filled, tmp_path)

    assert report.is_equal
    assert report.days == (FIRST, SECOND)
    assert report.in_flight == 2
    assert "2 changes are in flight" in report.summary


def test_clickhouse_behind_the_frontier_is_a_difference_called_in_flight(filled, tmp_path):
    late = filled.rows(
        "orders", [_order(30, None, "shipped", "4.00", _at(4)), _order(31, None, "shipped", "4.00", _at(4))]
    )
    filled.put_into_warehouse("orders", late)
    report = _reconcile(filled, tmp_path)

    assert {d.cause for d in report.differences} == {Cause.IN_FLIGHT}
    assert {d.day for d in report.differences} == {date(2010, 12, 4)}
    assert not report.is_equal


def test_nothing_published_compares_nothing(stores, tmp_path):
    report = _reconcile(stores, tmp_path)
    assert report.is_equal
    assert report.summary == "Nothing to compare: nothing is published yet"


def _publish(stores: BothStores, *, bound: int) -> None:
    """Publish the expected numbers as one refresh would, bounds included."""
    for entity in ("users", "products", "orders", "order_items"):
        stores.warehouse.execute("insert into OPS.REFRESH_BOUND values ('r1', ?, ?)", (entity, bound))
    stores.warehouse.execute("update MARTS.PUBLICATION_CURRENT set refresh_id = 'r1' where mart_set = ?", (MART_SET,))
    for day, values in EXPECTED.items():
        marks = ", ".join("?" for _ in values)
        stores.warehouse.execute(
            f"insert into MARTS.DAILY_BUSINESS_METRICS (date, {', '.join(values)}, publication_id)"
            f" values (cast(? as date), {marks}, 'p1')",
            [day.isoformat(), *values.values()],
        )


def test_published_mart_is_compared_when_it_stands_for_the_frontier(filled, tmp_path):
    _publish(filled, bound=1)
    assert _reconcile(filled, tmp_path).marts_note == ""

    filled.warehouse.execute("update MARTS.DAILY_BUSINESS_METRICS set total_orders = 7 where date = '2010-12-01'")
    (found,) = _reconcile(filled, tmp_path).differences
    assert (found.day, found.metric, found.clickhouse, found.marts) == (FIRST, "total_orders", Decimal(6), Decimal(7))


@pytest.mark.parametrize(
    ("bound", "orders_frontier", "note"),
    [
        (0, None, "changes of users at the frontier are not published yet"),
        (1, 3, "changes of orders beyond the frontier"),
    ],
    ids=["frontier ahead of the marts", "marts ahead of the frontier"],
)
def test_published_mart_of_other_rows_is_left_out_with_a_reason(filled, tmp_path, bound, orders_frontier, note):
    _publish(filled, bound=bound)
    if orders_frontier is not None:
        filled.frontier = {"orders": orders_frontier}
    report = _reconcile(filled, tmp_path)

    assert note in report.marts_note
    assert report.is_equal
