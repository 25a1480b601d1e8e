"""Starting a refresh: what it freezes and what it touches, from old and new versions."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse, quote_identifier
from slackwater.ledger.model import SeenObject
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, MART_SET
from slackwater.testing.warehouse_path import Change, WarehousePath, changelog_rows
from slackwater.warehouse.impact import FROM_EVER, SCOPE_MOVED_ORDER, LoadRange, impact_statements
from slackwater.warehouse.refresh import frozen_values, read_bounds, start_refresh

pytestmark = pytest.mark.integration

DAY = [datetime.fromisoformat(f"2010-12-{number:02d} 10:00:00") for number in range(1, 12)]
EVER = date.fromisoformat(FROM_EVER)
BASE_COLUMNS = {
    "users": "id, __op, created_at",
    "products": "id, __op, name, category",
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
    path.ledger.release_work(lease)


def _shop(path: WarehousePath) -> None:
    """Orders of users 1 and 2 and of a guest on three days, with products 1, 2 and 1."""
    path.load("users", {"id": 1, "created_at": DAY[0]}, {"id": 2, "created_at": DAY[1]})
    path.load("products", {"id": 1, "name": "P1", "category": "toys"}, {"id": 2, "name": "P2", "category": "toys"})
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


def _impact(warehouse: Warehouse, refresh_id: str) -> dict[str, set[object]]:
    """What is touched by scope (keys by entity): ids, dates, and of products pairs of id and the date it begins at.

    Without the moved orders: no model is built by them, and what follows from them is here.
    """
    rows = warehouse.query(
        "select coalesce(entity, scope), key_id, key_date from OPS.IMPACT where refresh_id = ? and scope <> ?",
        (refresh_id, SCOPE_MOVED_ORDER),
    )
    found: dict[str, set[object]] = {}
    for name, key, day in rows:
        value = day if key is None else int(str(key)) if day is None else (int(str(key)), day)
        found.setdefault(str(name), set()).add(value)
    return found


def test_the_first_refresh_touches_everything_that_is_loaded(path):
    _shop(path)

    refresh, _ = path.start()

    assert _impact(path.warehouse, refresh.refresh_id) == {
        "users": {1, 2},
        "products": {1, 2},
        "orders": {1, 2, 3},
        "order_items": {1, 2, 3},
        "date": {DAY[0].date(), DAY[1].date(), DAY[2].date()},
        "order": {1, 2, 3},
        "customer": {1, 2},
        "product": {(1, EVER), (2, EVER)},
    }
    assert refresh.impact_counts == {
        "key:users": 2, "key:products": 2, "key:orders": 3, "key:order_items": 3,
        "moved-order": 3, "date": 3, "order": 3, "customer": 2, "product": 2,
    }  # fmt: skip
    assert refresh.bounds == {"users": 1, "products": 1, "orders": 1, "order_items": 1}
    assert refresh.as_of == DAY[2]
    assert len(refresh.batch_ids) == 4


@dataclass
class BuiltShop:
    """A warehouse whose base tables hold `_shop` and a few orphans; changes are put into raw as loads of their own."""

    warehouse: Warehouse
    load_seq: int = 100

    def impact_of(self, entity: str, change: Change) -> dict[str, set[object]]:
        """Return what one change would touch."""
        self.load_seq += 1
        source = SeenObject("o" * 32, "landing", "cdc/file", "e", 1, entity, f"shop.{entity}+0", 1, 1)
        (row,) = changelog_rows(entity, [{"at": DAY[10], **change}], batch_id="b", source=source).to_pylist()
        renamed = {"_batch_id": "batch_id", "_file_name": "file_name"}
        values = {renamed.get(name, name): value for name, value in row.items() if name != "date"}
        values |= {"load_seq": self.load_seq, "loaded_at": DAY[10]}
        names = ", ".join(quote_identifier(name) for name in values)
        self.warehouse.execute(
            f"insert into RAW.{entity} ({names}) select {', '.join('?' for _ in values)}",
            [str(value) if isinstance(value, Decimal) else value for value in values.values()],
        )
        refresh_id = f"r{self.load_seq}"
        nothing = LoadRange(0, 0)
        ranges = dict.fromkeys(ENTITIES, nothing) | {entity: LoadRange(self.load_seq - 1, self.load_seq)}
        for statement in impact_statements(refresh_id, ranges, built=ENTITIES):
            self.warehouse.execute(statement.sql, statement.params)
        return _impact(self.warehouse, refresh_id)


@pytest.fixture(scope="module")
def built(module_sandbox) -> Iterator[BuiltShop]:
    with Warehouse(module_sandbox.warehouse) as warehouse, Ledger(module_sandbox.ledger.dsn) as ledger:
        path = WarehousePath(ledger, Lake(module_sandbox.lake, module_sandbox.s3), warehouse)
        _shop(path)
        path.load(
            "orders",
            {"id": 7, "user_id": 77, "created_at": DAY[3]},
            {"id": 8, "created_at": DAY[4]},
        )
        path.load(
            "order_items",
            {"id": 8, "order_id": 8, "product_id": 88},
            {"id": 9, "order_id": 99, "product_id": 2},
        )
        _build_base(path)
        yield BuiltShop(warehouse)


def _touched(
    dates: Collection[int] = (),
    orders: Collection[int] = (),
    customers: Collection[int] = (),
    products: Mapping[int, int | None] | None = None,
) -> dict[str, set[object]]:
    """Days by their index; of a product the index of the day it is touched from, None from ever."""
    pairs = {(key, EVER if day is None else DAY[day].date()) for key, day in (products or {}).items()}
    found = {
        "date": {DAY[day].date() for day in dates}, "order": set(orders), "customer": set(customers), "product": pairs
    }  # fmt: skip
    return {scope: values for scope, values in found.items() if values}


@pytest.mark.parametrize(
    ("entity", "change", "touched"),
    [
        pytest.param(
            "orders",
            {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[1]},
            _touched([1], [2], [2], {2: 1}),
            id="status of an order",
        ),
        pytest.param(
            "orders",
            {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[7]},
            _touched([1, 7], [2], [2], {2: 1}),
            id="order moves day",
        ),
        pytest.param(
            "orders",
            {"id": 2, "op": "u", "user_id": 1, "created_at": DAY[1]},
            _touched([1], [2], [1, 2], {2: 1}),
            id="order moves to another user",
        ),
        pytest.param("orders", {"id": 2, "op": "d"}, _touched([1], [2], [2], {2: 1}), id="order deleted, columns null"),
        pytest.param(
            "orders", {"id": 99, "created_at": DAY[5]}, _touched([5], [99], [], {2: 5}), id="order after line"
        ),
        pytest.param(
            "order_items",
            {"id": 1, "op": "u", "order_id": 1, "product_id": 1},
            _touched([0], [1], [1], {1: 0}),
            id="line changed",
        ),
        pytest.param(
            "order_items",
            {"id": 1, "op": "u", "order_id": 2, "product_id": 1},
            _touched([0, 1], [1, 2], [1, 2], {1: 0, 2: 1}),
            id="line moves order",
        ),
        pytest.param(
            "order_items",
            {"id": 3, "op": "u", "order_id": 3, "product_id": 2},
            _touched([2], [3], [], {1: 2, 2: 2}),
            id="line changes product",
        ),
        pytest.param("order_items", {"id": 3, "op": "d"}, _touched([2], [3], [], {1: 2}), id="line of a guest deleted"),
        pytest.param(
            "order_items",
            {"id": 10, "order_id": 2, "product_id": 1},
            _touched([1], [2], [2], {1: 1, 2: 1}),
            id="line added",
        ),
        pytest.param(
            "order_items",
            {"id": 10, "order_id": 98, "product_id": 1},
            _touched([], [98]),
            id="line of an unknown order",
        ),
        pytest.param(
            "users",
            {"id": 2, "op": "u", "email": "new", "created_at": DAY[1]},
            _touched([], [], [2]),
            id="e-mail changed",
        ),
        pytest.param(
            "users",
            {"id": 2, "op": "u", "created_at": DAY[5]},
            _touched([1], [2], [2], {2: 1}),
            id="user registered another day",
        ),
        pytest.param("users", {"id": 1, "op": "d"}, _touched([0], [1], [1], {1: 0}), id="user deleted"),
        pytest.param("users", {"id": 77, "created_at": DAY[3]}, _touched([3], [7], [77]), id="user after its order"),
        pytest.param(
            "products",
            {"id": 1, "op": "u", "name": "P1", "category": "toys", "stock_quantity": 5},
            _touched([], [], [], {1: 10}),
            id="stock changed",
        ),
        pytest.param(
            "products",
            {"id": 1, "op": "u", "name": "P1", "category": "toys", "price": Decimal("3.00"), "at": DAY[1]},
            _touched([], [3], [], {1: 1}),
            id="price changed before an order",
        ),
        pytest.param(
            "products",
            {"id": 1, "op": "u", "name": "new", "category": "toys"},
            _touched([], [1, 3], [], {1: None}),
            id="renamed",
        ),
        pytest.param(
            "products",
            {"id": 1, "op": "u", "name": "P1", "category": "service"},
            _touched([0, 2], [1, 3], [1], {1: None}),
            id="category changed",
        ),
        pytest.param(
            "products",
            {"id": 1, "op": "u", "name": "P1", "category": None},
            _touched([0, 2], [1, 3], [1], {1: None}),
            id="category lost",
        ),
        pytest.param("products", {"id": 2, "op": "d"}, _touched([1], [2, 99], [2], {2: None}), id="product deleted"),
        pytest.param(
            "products",
            {"id": 88, "category": "service"},
            _touched([4], [8], [], {88: None}),
            id="product after its line",
        ),
    ],
)
def test_a_change_touches_what_hangs_on_its_old_and_new_versions_only(built, entity, change, touched):
    impact = built.impact_of(entity, change)

    assert impact.pop(entity) == {change["id"]}
    assert impact == touched


def test_nothing_new_starts_nothing(path):
    lease = path.ledger.claim_work(MART_SET, actor="test")
    assert lease is not None
    assert start_refresh(ledger=path.ledger, warehouse=path.warehouse, lease=lease) is None
    path.ledger.release_work(lease)
    _shop(path)
    _publish(path)
    lease = path.ledger.claim_work(MART_SET, actor="test")
    assert lease is not None
    assert start_refresh(ledger=path.ledger, warehouse=path.warehouse, lease=lease) is None


def test_a_rejected_refresh_leaves_its_batches_and_impact_to_the_next(path):
    _shop(path)
    _publish(path)
    _build_base(path)
    path.load("order_items", {"id": 1, "op": "u", "order_id": 3, "product_id": 1})
    rejected, lease = path.start()
    path.warehouse.execute("update STAGING.BASE_ORDER_ITEMS set order_id = 3 where id = 1")
    path.ledger.mark_rejected(lease, rejected.refresh_id, reasons=["broken key"])
    path.ledger.release_work(lease)
    path.load("orders", {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[1]})

    repaired, _ = path.start()

    impact = _impact(path.warehouse, repaired.refresh_id)
    # The base no longer knows that line 1 belonged to order 1 of the first day; the rejected refresh's impact does.
    assert impact["date"] == {DAY[0].date(), DAY[1].date(), DAY[2].date()}
    assert impact["order_items"] == {1}
    assert impact["order"] == {1, 2, 3}
    assert impact["customer"] == {1, 2}
    assert impact["product"] == {(1, DAY[0].date()), (1, DAY[2].date()), (2, DAY[1].date())}
    assert set(rejected.batch_ids) < set(repaired.batch_ids)


def test_a_resumed_refresh_keeps_its_bounds_and_its_impact(path):
    _shop(path)
    _publish(path)
    _build_base(path)
    path.load("order_items", {"id": 1, "op": "u", "order_id": 3, "product_id": 1})
    first, lease = path.start()
    before = _impact(path.warehouse, first.refresh_id)
    path.warehouse.execute("update STAGING.BASE_ORDER_ITEMS set order_id = 3 where id = 1")
    path.ledger.release_work(lease)
    path.load("orders", {"id": 2, "op": "u", "user_id": 2, "created_at": DAY[1]})

    resumed, _ = path.start()

    assert (resumed.refresh_id, resumed.bounds, resumed.as_of) == (first.refresh_id, first.bounds, first.as_of)
    assert _impact(path.warehouse, resumed.refresh_id) == before
    assert before["date"] == {DAY[0].date(), DAY[2].date()}


def test_models_get_the_frozen_bounds_not_the_newest(path):
    _shop(path)
    refresh, _ = path.start()
    path.load("orders", {"id": 4, "created_at": DAY[4]})

    assert read_bounds(path.warehouse)["orders"] == 2
    assert frozen_values(refresh) == {
        "refresh_id": refresh.refresh_id,
        "as_of": "2010-12-03 10:00:00",
        "touched": sorted(refresh.impact_counts),
        "touched_from": "0001-01-01",  # products that appear are touched from ever
        "bound_users": 1,
        "bound_products": 1,
        "bound_orders": 1,
        "bound_order_items": 1,
    }
