"""The lake's batch analytics with real Spark: a range of days is replaced, the others stay."""

from contextlib import closing
from datetime import date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from slackwater.clients.iceberg import Lake
from slackwater.entities.model import load_entity, state_columns
from slackwater.lake.analytics import AnalyticsRequest
from slackwater.naming import analytics_table, state_table
from spark.jobs import analyze_customers, analyze_days, analyze_products

pytestmark = [
    pytest.mark.integration,
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:Merge on read is not yet supported:UserWarning"),  # this test's own overwrite
]

DAYS = tuple(date(2010, 12, day) for day in range(1, 10))
TABLE = analytics_table("daily_business_metrics")


def order(key, day, *, amount, status="shipped", op="c"):
    at = datetime.combine(day, time(9))
    return {
        "id": key,
        "user_id": None,
        "status": status,
        "total_amount": Decimal(amount),
        "created_at": at,
        "updated_at": at,
        "__op": op,
        "__source_ts_ms": at,
        "__source_lsn": key,
        "_object_id": "o",
        "_epoch": 0,
        "_source_partition": "shop.orders+0",
        "_position": key,
        "date": day,
    }


@pytest.fixture(scope="module")
def lake(module_sandbox):
    with closing(Lake(module_sandbox.lake, module_sandbox.s3)) as opened:
        yield opened


@pytest.fixture(scope="module")
def session(module_sandbox):
    return module_sandbox.spark()


def write(lake, rows):
    columns = state_columns(load_entity("orders"))
    schema = pa.schema([pa.field(c.name, c.type.arrow, nullable=not c.required) for c in columns])
    table = lake.load_table(state_table("orders"))
    store = table.overwrite if table.current_snapshot() else table.append
    store(pa.Table.from_pylist(rows, schema=schema))


def revenue(lake):
    rows = lake.load_table(TABLE).scan(selected_fields=("date", "total_revenue", "total_orders")).to_arrow()
    return {row["date"]: (row["total_revenue"], row["total_orders"]) for row in rows.to_pylist()}


def test_only_the_days_asked_for_are_replaced_and_a_day_without_orders_loses_its_row(lake, session):
    write(lake, [order(number, day, amount="10.05") for number, day in enumerate(DAYS)])
    whole = analyze_days.run(session, AnalyticsRequest())
    assert (whole.row_count, whole.deleted_count) == (len(DAYS), 0)
    assert revenue(lake) == dict.fromkeys(DAYS, (Decimal("10.05"), 1))
    write(
        lake,
        [
            order(0, DAYS[0], amount="99.00"),
            order(1, DAYS[1], amount="10.05", op="d"),
            order(2, DAYS[2], amount="20.10"),
            order(3, DAYS[2], amount="5.00", status="cancelled"),
        ],
    )
    part = analyze_days.run(session, AnalyticsRequest(from_date=DAYS[1], to_date=DAYS[2]))
    assert (part.row_count, part.deleted_count) == (1, 2)
    kept = dict.fromkeys((DAYS[0], *DAYS[3:]), (Decimal("10.05"), 1))
    assert revenue(lake) == {**kept, DAYS[2]: (Decimal("20.10"), 2)}


USERS = (1, 2, 3)
SALES = (
    # order, customer, day, status, lines of (product, quantity, price)
    (11, 1, 0, "shipped", ((7, 2, "1.00"), (8, 1, "5.00"))),
    (12, 1, 2, "delivered", ((8, 3, "4.99"), (9, 1, "3.50"))),
    (13, 2, 2, "shipped", ((7, 1, "1.00"),)),
    (14, None, 2, "shipped", ((8, 1, "5.00"),)),
    (15, 2, 3, "cancelled", ((8, 9, "5.00"),)),
)
PRODUCTS = {7: ("MUG", "kitchen"), 8: ("LAMP", "lighting"), 9: ("POSTAGE", "service")}


def state_row(entity, key, at, **values):
    place = {"_object_id": "o", "_epoch": 0, "_source_partition": "p", "_position": key}
    change = {"__op": values.pop("op", "c"), "__source_ts_ms": at, "__source_lsn": key}
    named = dict.fromkeys(load_entity(entity).column_names) | {"id": key, "created_at": at} | values
    return {**named, **change, **place, "date": at.date()}


def write_sales(lake, sales):
    """Make the four state tables hold some sales and nothing else."""
    at = datetime.combine(DAYS[0], time(8))
    rows = {
        "users": [state_row("users", key, at) for key in USERS],
        "products": [state_row("products", key, at, name=n, category=c) for key, (n, c) in PRODUCTS.items()],
        "orders": [],
        "order_items": [],
    }
    for key, customer, day, status, lines in sales:
        when = datetime.combine(DAYS[day], time(9))
        total = sum(quantity * Decimal(price) for _, quantity, price in lines)
        rows["orders"].append(state_row("orders", key, when, user_id=customer, status=status, total_amount=total))
        rows["order_items"] += [
            state_row(
                "order_items", key * 10 + number, when,
                order_id=key, product_id=product, quantity=quantity, unit_price=Decimal(price),
            )
            for number, (product, quantity, price) in enumerate(lines)
        ]  # fmt: skip
    for entity, of_entity in rows.items():
        columns = state_columns(load_entity(entity))
        schema = pa.schema([pa.field(c.name, c.type.arrow, nullable=not c.required) for c in columns])
        table = lake.load_table(state_table(entity))
        store = table.overwrite if table.current_snapshot() else table.append
        store(pa.Table.from_pylist(of_entity, schema=schema))


def rows_of(lake, name, *columns):
    found = lake.load_table(analytics_table(name)).scan(selected_fields=columns).to_arrow().select(columns).to_pylist()
    return sorted(tuple(row.values()) for row in found)


CUSTOMER = (
    "customer_id",
    "total_orders",
    "total_spent",
    "avg_order_value",
    "favorite_category",
    "total_items_purchased",
)


def test_customers_are_computed_over_their_history_and_anew_when_a_day_of_theirs_is_asked_for(lake, session):
    write_sales(lake, SALES)
    result = analyze_customers.run(session, AnalyticsRequest())
    first = [
        (1, 2, Decimal("25.47"), Decimal("12.74"), "lighting", 6),
        (2, 1, Decimal("1.00"), Decimal("1.00"), "kitchen", 1),
        (3, 0, Decimal("0.00"), Decimal("0.00"), None, 0),
    ]
    assert (result.row_count, result.deleted_count) == (3, 0)
    assert rows_of(lake, "customer_metrics", *CUSTOMER) == first

    write_sales(lake, (*SALES, (16, 2, 5, "shipped", ((8, 2, "5.00"),)), (17, 1, 6, "shipped", ((7, 1, "1.00"),))))
    again = analyze_customers.run(session, AnalyticsRequest(from_date=DAYS[5], to_date=DAYS[5]))
    assert (again.row_count, again.deleted_count) == (1, 1)
    second = [first[0], (2, 2, Decimal("11.00"), Decimal("5.50"), "lighting", 3), first[2]]
    assert rows_of(lake, "customer_metrics", *CUSTOMER) == second
    nobody = analyze_customers.run(session, AnalyticsRequest(from_date=DAYS[8], to_date=DAYS[8]))
    assert (nobody.row_count, nobody.deleted_count) == (0, 0)
    assert rows_of(lake, "customer_metrics", *CUSTOMER) == second


def test_products_are_ranked_by_day_and_a_repeat_customer_bought_before_the_days_asked_for(lake, session):
    write_sales(lake, SALES)
    columns = ("date", "product_id", "units_sold", "total_revenue", "avg_selling_price", "unique_customers",
               "repeat_customers", "revenue_rank_in_category")  # fmt: skip
    result = analyze_products.run(session, AnalyticsRequest(from_date=DAYS[2]))
    assert (result.row_count, result.deleted_count) == (2, 0)
    third = [
        (DAYS[2], 7, 1, Decimal("1.00"), Decimal("1.00"), 1, 0, 1),
        (DAYS[2], 8, 4, Decimal("19.97"), Decimal("4.99"), 1, 1, 1),
    ]
    assert rows_of(lake, "product_performance", *columns) == third
    analyze_products.run(session, AnalyticsRequest())
    assert rows_of(lake, "product_performance", *columns) == [
        (DAYS[0], 7, 2, Decimal("2.00"), Decimal("1.00"), 1, 0, 1),
        (DAYS[0], 8, 1, Decimal("5.00"), Decimal("5.00"), 1, 0, 1),
        *third,
    ]
