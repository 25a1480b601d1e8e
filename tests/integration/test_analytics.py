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
from spark.jobs import analyze_days

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
