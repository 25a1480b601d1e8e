"""What a refresh costs, as the warehouse tells it: every model by name, and only what changed is rewritten."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from slackwater.warehouse.costs import Step, TableCost, record_costs
from slackwater.warehouse.marts import load_marts

pytestmark = pytest.mark.integration

AT = datetime.fromisoformat("2010-12-01 09:00:00")
ORDERS = 40


def _order(key: int, status: str, *, op: str = "c"):
    at = AT + timedelta(days=key)
    changed = AT + timedelta(days=ORDERS, minutes=key)
    row = {"id": key, "user_id": 1, "status": status, "total_amount": Decimal("5.00"), "created_at": at}
    return {**row, "op": op, "updated_at": at if op == "c" else changed, "at": at if op == "c" else changed}


@pytest.fixture(scope="module")
def refreshes(module_refreshes):
    """Two refreshes, forty orders and then the status of one of them; per refresh what was recorded."""
    path, warehouse = module_refreshes.path, module_refreshes.path.warehouse
    path.load("users", {"id": 1, "email": "a@example.com", "created_at": AT, "updated_at": AT})
    found = []
    for batch in ([_order(key, "shipped") for key in range(1, ORDERS + 1)], [_order(7, "cancelled", op="u")]):
        path.load("orders", *batch)
        refresh, lease = path.start()
        module_refreshes.build(refresh)
        module_refreshes.publish(refresh, lease)
        record_costs(warehouse, refresh.refresh_id)
        costs = record_costs(warehouse, refresh.refresh_id)
        stored = warehouse.query(
            "select step, table_name, statements, rows_deleted, rows_inserted, rows_scanned, warehouse_seconds"
            " from OPS.REFRESH_COSTS where refresh_id = ? order by step, table_name",
            (refresh.refresh_id,),
        )
        found.append((costs, stored))
    return found


def _by_table(costs, step: Step) -> dict[str, TableCost]:
    return {cost.table: cost for cost in costs if cost.step is step}


def test_the_costs_are_kept_once_and_as_they_were_read(refreshes):
    for costs, stored in refreshes:
        assert stored == sorted(
            (c.step.value, c.table, c.statements, c.rows_deleted, c.rows_inserted, c.rows_scanned, c.seconds)
            for c in costs
        )


def test_every_table_that_a_refresh_builds_or_publishes_has_a_row(refreshes):
    tables = {"STAGING.BASE_ORDERS", "STAGING.STG_ORDERS", "STAGING.HIST_ORDER_STATUS", "STAGING.INT_ORDER_ANALYTICS"}
    for costs, _ in refreshes:
        built, published = _by_table(costs, Step.BUILD), _by_table(costs, Step.PUBLISH)
        assert set(built) >= tables | {f"CANDIDATE.{mart.name.upper()}" for mart in load_marts()}
        assert set(published) >= {f"MARTS.{mart.name.upper()}" for mart in load_marts()}
        assert _by_table(costs, Step.IMPACT)["OPS.IMPACT"].rows_inserted > 0
        assert all(cost.seconds >= 0 for cost in costs)
        assert sum(cost.seconds for cost in costs) > 0


def test_the_first_refresh_writes_every_row_and_the_next_one_those_that_changed(refreshes):
    first, second = (_by_table(costs, Step.BUILD) for costs, _ in refreshes)
    for table in ("STAGING.BASE_ORDERS", "STAGING.STG_ORDERS"):
        assert (first[table].rows_deleted, first[table].rows_inserted) == (0, ORDERS), table
        assert (second[table].rows_deleted, second[table].rows_inserted) == (1, 1), table
        assert second[table].rows_scanned >= 1, table
    assert second["STAGING.HIST_ORDER_STATUS"].rows_inserted == 2
    assert second["CANDIDATE.DAILY_BUSINESS_METRICS"].rows_rewritten == 2


def test_publishing_counts_the_rows_it_moved(refreshes):
    published = _by_table(refreshes[1][0], Step.PUBLISH)["MARTS.DAILY_BUSINESS_METRICS"]
    assert (published.rows_deleted, published.rows_inserted) == (1, 1)
    assert published.rows_scanned >= 2 * ORDERS
