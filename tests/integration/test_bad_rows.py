"""Bad input: every kind of bad row is planted once, and exactly one check flags it; the rest is published."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.store import Ledger
from slackwater.quality.gate import run_gate
from slackwater.quality.results import GateVerdict, Outcome
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.dbt_cli import RUN_RESULTS, data_test_command, run_command
from slackwater.warehouse.refresh import frozen_values

pytestmark = pytest.mark.integration

AT = datetime(2010, 12, 1, 9)  # noqa: DTZ001 - UTC without a zone, as in the landing files
FUTURE = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=400)
SOUND = range(1, 301)
"""Keys of sound rows of every entity: so many that one bad row is a small share."""

ORDERS, ITEMS, PRODUCTS, USERS = (f"STAGING.STG_{name}" for name in ("ORDERS", "ORDER_ITEMS", "PRODUCTS", "USERS"))


def _user(key: int, **changed):
    return {"id": key, "email": f"user-{key}@shop.example", "created_at": AT, "updated_at": AT} | changed


def _product(key: int, **changed):
    row = {"id": key, "name": "Mug", "category": "kitchen", "price": Decimal("5.00"), "stock_quantity": 3}
    return row | {"created_at": AT, "updated_at": AT} | changed


def _order(key: int, **changed):
    row = {"id": key, "user_id": 1, "status": "shipped", "total_amount": Decimal("5.00")}
    return row | {"created_at": AT, "updated_at": AT} | changed


def _item(key: int, **changed):
    row = {"id": key, "order_id": key, "product_id": 1, "quantity": 1, "unit_price": Decimal("5.00"), "created_at": AT}
    return row | changed


BAD_ORDERS = [
    _order(901, status="lost"),
    _order(902, total_amount=Decimal("-5.00")),
    _order(903, user_id=999),
    _order(904, total_amount=Decimal("5.02")),
    _order(905, total_amount=Decimal("5.01")),  # a cent is none
    _order(906, created_at=FUTURE, updated_at=FUTURE),
    _order(907, created_at=FUTURE),  # younger than its update as well
    _order(908, updated_at=FUTURE),
    _order(909, updated_at=AT - timedelta(days=1)),
]
BAD_PRODUCTS = [_product(901, price=Decimal("-0.01")), _product(902, created_at=FUTURE, updated_at=FUTURE)]
BAD_USERS = [
    _user(901, email="same@shop.example"),
    _user(902, email="Same@Shop.example"),
    _user(903, email="nobody"),
    _user(904, email="nobody"),  # an address that is none belongs to the check of addresses
    _user(905, email=""),
    _user(906, email=None),
    _user(907, email=None),
    _user(908, created_at=FUTURE, updated_at=FUTURE),
]
BAD_ITEMS = [
    *(_item(row["id"]) for row in BAD_ORDERS),
    _item(921, order_id=1, quantity=0),
    _item(922, order_id=2, unit_price=Decimal("-5.00")),
    _item(923, order_id=999),
    _item(924, order_id=3, product_id=999, unit_price=Decimal(0)),
    _item(925, order_id=4, unit_price=Decimal(0), created_at=FUTURE),
]

OWNERS = {
    (ORDERS, "901"): "accepted_values_stg_orders_status",
    (ORDERS, "902"): "TOTAL_AMOUNT is not negative",
    (ORDERS, "903"): "has_parent_stg_orders_user_id",
    (ORDERS, "904"): "TOTAL_AMOUNT is the sum of the order's lines",
    (ORDERS, "906"): "no time is in the future",
    (ORDERS, "907"): "no time is in the future",
    (ORDERS, "908"): "no time is in the future",
    (ORDERS, "909"): "UPDATED_AT is not before CREATED_AT",
    (PRODUCTS, "901"): "PRICE is not negative",
    (PRODUCTS, "902"): "no time is in the future",
    (USERS, "901"): "EMAIL belongs to one customer",
    (USERS, "902"): "EMAIL belongs to one customer",
    (USERS, "903"): "EMAIL looks like an address",
    (USERS, "904"): "EMAIL looks like an address",
    (USERS, "905"): "EMAIL is filled",
    (USERS, "906"): "EMAIL is filled",
    (USERS, "907"): "EMAIL is filled",
    (USERS, "908"): "no time is in the future",
    (ITEMS, "921"): "QUANTITY is positive",
    (ITEMS, "922"): "UNIT_PRICE is not negative",
    (ITEMS, "923"): "has_parent_stg_order_items_order_id",
    (ITEMS, "924"): "has_parent_stg_order_items_product_id",
    (ITEMS, "925"): "no time is in the future",
}
"""Beginning of the name of the one check that owns each planted row."""


@pytest.fixture(scope="module")
def verdict(module_sandbox, tmp_path_factory) -> GateVerdict:
    sandbox, target = module_sandbox, tmp_path_factory.mktemp("dbt")
    env = sandbox.env | {
        "SLACKWATER_QUALITY_ORPHAN_GRACE_MINUTES": "0",
        "SLACKWATER_QUALITY_DBT_TARGET_DIR": str(target),
    }
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        path = WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse)
        path.load("users", *map(_user, SOUND), *BAD_USERS)
        path.load("products", *map(_product, SOUND), *BAD_PRODUCTS)
        path.load("orders", *map(_order, SOUND), *BAD_ORDERS)
        path.load("order_items", *map(_item, SOUND), *BAD_ITEMS)
        refresh, _ = path.start()
        frozen = frozen_values(refresh)
        with DbtSession(env=env, target_dir=target) as dbt:
            dbt.run(run_command(frozen, target_dir=target))
            dbt.run(data_test_command(frozen, target_dir=target))
    return run_gate(
        refresh.refresh_id,
        warehouse_settings=sandbox.warehouse,
        dbt_run_results=target / RUN_RESULTS,
        reports_dir=tmp_path_factory.mktemp("reports"),
    )


def test_every_planted_row_is_flagged_by_the_one_check_that_owns_it_and_no_other_row_is(verdict):
    flagged = defaultdict(list)
    for check in verdict.checks:
        for row in check.failing_rows:
            flagged[check.dataset, row.key].append(check.name)
    assert {row: len(names) for row, names in flagged.items()} == dict.fromkeys(OWNERS, 1)
    wrong = {row: names for row, names in flagged.items() if not names[0].startswith(OWNERS[row])}
    assert wrong == {}


def test_every_flagged_row_names_its_batch_and_file(verdict):
    rows = [row for check in verdict.checks for row in check.failing_rows]
    assert rows
    assert [row.key for row in rows if not (row.batch_id and row.file_name)] == []


def test_bad_rows_are_published_and_only_broken_references_reject(verdict):
    assert {check.name.split("__")[0] for check in verdict.rejecting_checks} == {
        "has_parent_stg_orders_user_id",
        "has_parent_stg_order_items_order_id",
        "has_parent_stg_order_items_product_id",
    }
    assert {check.outcome for check in verdict.checks if check.failing_rows} == {Outcome.WARNED, Outcome.FAILED}


def test_every_check_that_ran_says_who_acts_and_how(verdict):
    assert len(verdict.checks) > 100
    assert [check.id for check in verdict.checks if not (check.owner and check.remedy)] == []
