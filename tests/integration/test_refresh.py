"""Starting a refresh: what it freezes and which keys and dates it touches, from old and new versions."""

from collections.abc import Iterator
from datetime import date, datetime

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, MART_SET
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.refresh import dbt_vars, read_bounds, start_refresh

pytestmark = pytest.mark.integration

DAY = [datetime(2010, 12, number, 10) for number in range(1, 12)]
BASE_COLUMNS = {
    "users": "id, __op, created_at",
    "products": "id, __op, category",
    "orders": "id, __op, user_id, created_at",
    "order_items": "id, __op, order_id, product_id",
}


@pytest.fixture
def path(sandbox) -> Iterator[WarehousePath]:
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        yield WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse)


def _build_base(path: WarehousePath) -> None:
    """Do what the base models do here: every key has one version in these tests, so no order is needed."""
    for entity in ENTITIES:
        path.warehouse.execute(
            f"create or replace table STAGING.BASE_{entity} as select {BASE_COLUMNS[entity]} from RAW.{entity}"
        )


def _publish(path: WarehousePath) -> None:
    """Publish everything that is loaded, as far as the next start can see it."""
    refresh, lease = path.start()
    path.warehouse.execute(
        "insert into MARTS.PUBLICATION (publication_id, publication_seq, refresh_id, mart_set, rows_deleted,"
        " rows_inserted, published_at) select 'p', 1, ?, ?, 0, 0, sysdate()",
        (refresh.refresh_id, MART_SET),
    )
    path.ledger.mark_tested(lease, refresh.refresh_id)
    path.ledger.mark_published(lease, refresh.refresh_id, publication_id="p")
    path.ledger.release_refresh(lease)


def _shop(path: WarehousePath) -> None:
    """Three orders on three days: 1 of user 1 with product 1, 2 of user 2 with product 2, 3 of a guest with product 1."""
    path.load("users", {"id": 1, "created_at": DAY[0]}, {"id": 2, "created_at": DAY[1]})
    path.load("products", {"id": 1, "category": "toys"}, {"id": 2, "category": "toys"})
    path.load(
        "orders",
        {"id": 1, "user_id": 1, "created_at": DAY[0]},
        {"id": 2, "user_id": 2, "created_at": DAY[1]},
        {"id": 3, "user_id": None, "created_at": DAY[2]},
    )
    path.load(
        "order_items",
        {"id": 1, "order_id": 1, "product_id": 1},
        {"id": 2, "order_id": 2, "product_id": 2},
        {"id": 3, "order_id": 3, "product_id": 1},
    )


def _impact(path: WarehousePath, refresh_id: str) -> dict[str, set[object]]:
    rows = path.warehouse.query(
        "select coalesce(entity, scope), coalesce(key_id::varchar, key_date::varchar) from OPS.IMPACT where refresh_id = ?",
        (refresh_id,),
    )
    found: dict[str, set[object]] = {}
    for name, value in rows:
        found.setdefault(str(name), set()).add(int(value) if name != "date" else date.fromisoformat(str(value)))
    return found


def test_the_first_refresh_touches_everything_that_is_loaded(path):
    _shop(path)

    refresh, _ = path.start()

    assert _impact(path, refresh.refresh_id) == {
        "users": {1, 2},
        "products": {1, 2},
        "orders": {1, 2, 3},
        "order_items": {1, 2, 3},
        "date": {DAY[0].date(), DAY[1].date(), DAY[2].date()},
    }
    assert refresh.impact_counts == {
        "key:users": 2, "key:products": 2, "key:orders": 3, "key:order_items": 3, "date": 3,
    }  # fmt: skip
    assert refresh.bounds == {"users": 1, "products": 1, "orders": 1, "order_items": 1}
    assert refresh.as_of == DAY[2]
    assert len(refresh.batch_ids) == 4


@pytest.mark.parametrize(
    ("entity", "change", "dates"),
    [
        pytest.param("orders", {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[1]}, {1}, id="status of an order"),
        pytest.param("orders", {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[7]}, {1, 7}, id="order moves day"),
        pytest.param("orders", {"id": 2, "op": "d"}, {1}, id="order deleted, columns null"),
        pytest.param("order_items", {"id": 1, "op": "u", "order_id": 1, "product_id": 1}, {0}, id="line changed"),
        pytest.param("order_items", {"id": 1, "op": "u", "order_id": 2, "product_id": 1}, {0, 1}, id="line moves order"),
        pytest.param("order_items", {"id": 3, "op": "d"}, {2}, id="line deleted"),
        pytest.param("order_items", {"id": 9, "order_id": 2, "product_id": 1}, {1}, id="line added"),
        pytest.param("order_items", {"id": 9, "order_id": 99, "product_id": 1}, set(), id="line of an unknown order"),
        pytest.param("users", {"id": 2, "op": "u", "email": "new", "created_at": DAY[1]}, set(), id="e-mail changed"),
        pytest.param("users", {"id": 2, "op": "u", "created_at": DAY[5]}, {1}, id="user registered another day"),
        pytest.param("users", {"id": 1, "op": "d"}, {0}, id="user deleted"),
        pytest.param("products", {"id": 1, "op": "u", "category": "toys", "stock_quantity": 5}, set(), id="stock changed"),
        pytest.param("products", {"id": 1, "op": "u", "category": "service"}, {0, 2}, id="category changed"),
        pytest.param("products", {"id": 1, "op": "u", "category": None}, {0, 2}, id="category lost"),
        pytest.param("products", {"id": 2, "op": "d"}, {1}, id="product deleted"),
    ],
)
def test_a_change_touches_the_dates_of_its_old_and_new_parents_only(path, entity, change, dates):
    _shop(path)
    _publish(path)
    _build_base(path)
    path.load(entity, {**change, "at": DAY[10]})

    refresh, _ = path.start()

    impact = _impact(path, refresh.refresh_id)
    assert impact.pop("date", set()) == {DAY[index].date() for index in dates}
    assert impact == {entity: {change["id"]}}


@pytest.mark.parametrize(
    ("first", "late"),
    [
        pytest.param("orders", ("users", {"id": 7, "created_at": DAY[3]}), id="user after its order"),
        pytest.param("order_items", ("products", {"id": 7, "category": "service"}), id="product after its line"),
        pytest.param("order_items", ("orders", {"id": 7, "created_at": DAY[3]}), id="order after its line"),
    ],
)
def test_a_parent_that_comes_after_its_child_touches_the_child_s_date(path, first, late):
    _shop(path)
    if first == "orders":
        path.load("orders", {"id": 7, "user_id": 7, "created_at": DAY[3]})
    else:
        path.load("orders", {"id": 8, "created_at": DAY[3]})
        path.load("order_items", {"id": 7, "order_id": 7 if late[0] == "orders" else 8, "product_id": 7})
    _publish(path)
    _build_base(path)
    path.load(*late)

    refresh, _ = path.start()

    assert _impact(path, refresh.refresh_id)["date"] == {DAY[3].date()}


def test_nothing_new_starts_nothing(path):
    lease = path.ledger.claim_refresh(MART_SET, actor="test")
    assert lease is not None
    assert start_refresh(ledger=path.ledger, warehouse=path.warehouse, lease=lease) is None
    path.ledger.release_refresh(lease)
    _shop(path)
    _publish(path)
    lease = path.ledger.claim_refresh(MART_SET, actor="test")
    assert lease is not None
    assert start_refresh(ledger=path.ledger, warehouse=path.warehouse, lease=lease) is None


def test_a_rejected_refresh_leaves_its_batches_and_dates_to_the_next(path):
    _shop(path)
    _publish(path)
    _build_base(path)
    path.load("order_items", {"id": 1, "op": "u", "order_id": 3, "product_id": 1})
    rejected, lease = path.start()
    path.warehouse.execute("update STAGING.BASE_ORDER_ITEMS set order_id = 3 where id = 1")
    path.ledger.mark_rejected(lease, rejected.refresh_id, reasons=["broken key"])
    path.ledger.release_refresh(lease)
    path.load("orders", {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[1]})

    repaired, _ = path.start()

    impact = _impact(path, repaired.refresh_id)
    # The base no longer knows that line 1 belonged to order 1 of the first day; the rejected refresh's impact does.
    assert impact["date"] == {DAY[0].date(), DAY[1].date(), DAY[2].date()}
    assert impact["order_items"] == {1}
    assert set(rejected.batch_ids) < set(repaired.batch_ids)


def test_a_resumed_refresh_keeps_its_bounds_and_its_impact(path):
    _shop(path)
    _publish(path)
    _build_base(path)
    path.load("order_items", {"id": 1, "op": "u", "order_id": 3, "product_id": 1})
    first, lease = path.start()
    before = _impact(path, first.refresh_id)
    path.warehouse.execute("update STAGING.BASE_ORDER_ITEMS set order_id = 3 where id = 1")
    path.ledger.release_refresh(lease)
    path.load("orders", {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[1]})

    resumed, _ = path.start()

    assert (resumed.refresh_id, resumed.bounds, resumed.as_of) == (first.refresh_id, first.bounds, first.as_of)
    assert _impact(path, resumed.refresh_id) == before
    assert before["date"] == {DAY[0].date(), DAY[2].date()}


def test_models_get_the_frozen_bounds_not_the_newest(path):
    _shop(path)
    refresh, _ = path.start()
    path.load("orders", {"id": 4, "created_at": DAY[4]})

    assert read_bounds(path.warehouse)["orders"] == 2
    assert dbt_vars(refresh) == {
        "refresh_id": refresh.refresh_id,
        "as_of": "2010-12-03 10:00:00",
        "bound_users": 1,
        "bound_products": 1,
        "bound_orders": 1,
        "bound_order_items": 1,
    }
