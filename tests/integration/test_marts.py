"""The dbt project over handmade changes: what staging and the daily metrics say, and what an incremental build does.

One shop runs through a few refreshes, each in a fixture, so the tests below only look. The expected numbers are worked
out by hand from the definitions, with the working beside them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse, quote_identifier
from slackwater.ledger.model import WorkLease
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.warehouse_path import Change, WarehousePath, run_dbt
from slackwater.warehouse.dbt_cli import (
    DbtCommand,
    NodeOutcome,
    NodeResult,
    data_test_command,
    docs_command,
    run_command,
    unit_test_command,
)
from slackwater.warehouse.marts import load_marts
from slackwater.warehouse.publish import Publication, publish
from slackwater.warehouse.refresh import Refresh, frozen_values

pytestmark = pytest.mark.integration

UNAVAILABLE = "__debezium_unavailable_value"
DAYS = {day: datetime.fromisoformat(f"2010-12-{day:02d} 10:00:00") for day in range(1, 20)}
LAST_MOMENT = datetime.fromisoformat("2010-12-03 23:59:59.999999")

METRICS = (
    "date::varchar, total_orders, completed_orders, cancelled_orders, new_customers, returning_customers,"
    " total_active_customers, total_revenue, revenue_from_new_customers, revenue_from_returning_customers,"
    " revenue_from_guests, total_items_sold, unique_products_sold, avg_order_value, customer_acquisition_rate,"
    " order_completion_rate, average_items_per_order"
)


@dataclass
class Shop:
    """The way of the test's changes, and dbt for it."""

    path: WarehousePath
    env: dict[str, str]
    dbt: DbtSession
    target_dir: Path

    def dbt_alone(self, command: DbtCommand, **more_env: str) -> tuple[NodeResult, ...]:
        """Run a command that must not find what the session's earlier commands parsed."""
        return run_dbt(command, env=self.env | more_env, target_dir=self.target_dir)

    def build(self, refresh: Refresh, *, is_full: bool = False) -> None:
        results = self.dbt.run(run_command(frozen_values(refresh), target_dir=self.target_dir, is_full=is_full))
        assert {result.outcome for result in results} == {NodeOutcome.PASSED}, [r.message for r in results]

    def build_and_publish(self) -> tuple[Refresh, Publication]:
        refresh, lease = self.path.start()
        self.build(refresh)
        return refresh, self.publish(refresh, lease)

    def publish(self, refresh: Refresh, lease: WorkLease) -> Publication:
        self.path.ledger.mark_tested(lease, refresh.refresh_id)
        done = publish(refresh, ledger=self.path.ledger, warehouse=self.path.warehouse, lease=lease)
        self.path.ledger.release_work(lease)
        return done

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self.path.warehouse.query(sql)

    def metrics(self) -> dict[object, tuple[object, ...]]:
        return {row[0]: row[1:] for row in self.query(f"select {METRICS} from MARTS.DAILY_BUSINESS_METRICS")}

    def publications(self) -> dict[object, object]:
        return dict(self.query("select date::varchar, publication_id from MARTS.DAILY_BUSINESS_METRICS"))

    def content(self, *schemas: str) -> dict[str, list[str]]:
        """Every row of every table of the schemas, as sorted text."""
        names = ", ".join(f"'{schema}'" for schema in schemas)
        tables = self.query(
            "select table_schema, table_name from information_schema.tables"
            f" where table_schema in ({names}) order by 1, 2"
        )
        return {
            f"{schema}.{table}": sorted(map(repr, self.query(f"select * from {quote_identifier(f'{schema}.{table}')}")))
            for schema, table in tables
        }


def _order(order_id: int, user_id: int | None, status: str, total: str, at: datetime, **more: object) -> Change:
    return {
        "id": order_id, "user_id": user_id, "status": status, "total_amount": Decimal(total),
        "shipping_address": f"Street {order_id}", "created_at": at, "updated_at": at, **more,
    }  # type: ignore[return-value]  # fmt: skip


def _line(line_id: int, order_id: int, product_id: int, quantity: int, price: str, **more: object) -> Change:
    return {
        "id": line_id, "order_id": order_id, "product_id": product_id, "quantity": quantity,
        "unit_price": Decimal(price), "created_at": DAYS[1], **more,
    }  # type: ignore[return-value]  # fmt: skip


def _user(user_id: int, registered: datetime, **more: object) -> Change:
    values = {"id": user_id, "email": f"u{user_id}@example.com", "first_name": "Ada", "last_name": "L"}
    return {**values, "created_at": registered, "updated_at": registered, **more}  # type: ignore[return-value]


def _product(product_id: int, category: str, price: str, **more: object) -> Change:
    values = {"id": product_id, "name": f"P{product_id}", "description": "as made", "stock_quantity": 1}
    times = {"created_at": DAYS[1], "updated_at": DAYS[1]}
    return {**values, **times, "category": category, "price": Decimal(price), **more}  # type: ignore[return-value]


@pytest.fixture(scope="module")
def shop(module_sandbox) -> Iterator[Shop]:
    with Warehouse(module_sandbox.warehouse) as warehouse, Ledger(module_sandbox.ledger.dsn) as ledger:
        path = WarehousePath(ledger, Lake(module_sandbox.lake, module_sandbox.s3), warehouse)
        target = Path(module_sandbox.env["SLACKWATER_QUALITY_DBT_TARGET_DIR"])
        with DbtSession(env=module_sandbox.env, target_dir=target) as dbt:
            yield Shop(path, module_sandbox.env, dbt, target)


@pytest.fixture(scope="module")
def first(shop: Shop) -> Publication:
    """The first refresh: every table is built from nothing."""
    path = shop.path
    path.load("users", _user(1, DAYS[1]), _user(2, datetime.fromisoformat("2010-11-15 00:00:00")), _user(3, DAYS[1]))
    path.load("users", {"id": 3, "op": "d"})
    path.load("products", _product(1, "toys", "2.00"), _product(2, "craft", "3.00"), _product(3, "service", "2.00"))
    # A newer version arrives before its insert, without the address; then a change that is older than both.
    path.load("orders", _order(1, 1, "shipped", "10.05", DAYS[1], op="u", lsn=500, shipping_address=UNAVAILABLE))
    path.load("orders", _order(1, 1, "pending", "10.05", DAYS[1], lsn=300))
    path.load(
        "orders", _order(1, 1, "delivered", "1.00", DAYS[1], op="r", lsn=200, shipping_address="before the insert")
    )
    path.load(
        "orders",
        _order(2, 2, "processing", "5.00", DAYS[1]),
        _order(3, None, "delivered", "1.00", DAYS[1]),
        _order(4, 1, "cancelled", "99.00", DAYS[1]),
        _order(5, 1, "pending", "20.00", DAYS[2]),
        _order(6, 2, "processing", "3.00", LAST_MOMENT),
        _order(7, 1, "shipped", "8.00", DAYS[4]),
        _order(8, 1, "shipped", "8.00", DAYS[4]),
        {"id": 8, "op": "d"},
    )
    lines = [
        _line(1, 1, 1, 3, "2.00"), _line(2, 1, 1, 1, "4.05"), _line(3, 2, 2, 1, "3.00"), _line(4, 2, 3, 1, "2.00"),
        _line(5, 3, 2, 1, "1.00"), _line(6, 4, 1, 7, "14.14"), _line(7, 5, 1, 4, "5.00"), _line(8, 6, 3, 1, "3.00"),
        _line(9, 7, 2, 2, "4.00"),
    ]  # fmt: skip
    path.load("order_items", *lines)
    path.load("order_items", lines[0] | {"lsn": path._next_position - len(lines)})  # the same change in a second object
    return shop.build_and_publish()[1]


@dataclass(frozen=True)
class Repaired:
    """What the second publication followed: marts before and after a rejected refresh, then the publication."""

    marts_before: dict[str, list[str]]
    marts_after_rejection: dict[str, list[str]]
    publication: Publication
    metrics: dict[object, tuple[object, ...]]
    publications: dict[object, object]


@pytest.fixture(scope="module")
def repaired(shop: Shop, first: Publication) -> Repaired:
    """A refresh that is built and rejected, then one that publishes its batches and a few more."""
    path, before = shop.path, shop.content("MARTS")
    path.load("order_items", _line(1, 7, 1, 3, "2.00", op="u"))  # moves from order 1 to order 7
    rejected, lease = path.start()
    shop.build(rejected)
    path.ledger.mark_tested(lease, rejected.refresh_id)
    path.ledger.mark_rejected(lease, rejected.refresh_id, reasons=["planted"])
    path.ledger.release_work(lease)
    after = shop.content("MARTS")
    path.load("orders", {"id": 6, "op": "d"})
    path.load("order_items", {"id": 8, "op": "d"})
    path.load("products", _product(2, "service", "3.00", op="u", description=UNAVAILABLE))
    path.load("products", _product(1, "toys", "2.50", op="u", description=None))
    path.load("orders", _order(3, None, "cancelled", "1.00", DAYS[1], op="u", lsn=1))  # older than what is known
    _, done = shop.build_and_publish()
    return Repaired(before, after, done, shop.metrics(), shop.publications())


@pytest.fixture(scope="module")
def late(shop: Shop, repaired: Repaired) -> tuple[Refresh, Publication]:
    """A status change of one order of a past day, and nothing else."""
    shop.path.load("orders", _order(5, 1, "processing", "20.00", DAYS[2], op="u", updated_at=DAYS[9]))
    return shop.build_and_publish()


def test_the_daily_metrics_are_those_worked_out_by_hand(shop, first):
    d = Decimal
    # 1 Dec: orders 1-4. Counted 1, 2, 3: 10.05 (user 1, registered that day) + 5.00 (user 2) + 1.00 (guest) = 16.05.
    # Items without the service line and without the cancelled order: 3 + 1 + 1 + 1 = 6 of products 1 and 2.
    assert shop.metrics() == {
        "2010-12-01": (
            4, 2, 1, 1, 1, 2, d("16.05"), d("10.05"), d("5.00"), d("1.00"), 6, 2,
            d("5.35"), d("0.5000"), d("0.5000"), d("2.00"),
        ),
        # 2 Dec: one pending order: counted by nothing but total_orders, every ratio has denominator 0 or numerator 0.
        "2010-12-02": (
            1, 0, 0, 0, 0, 0, d("0.00"), d("0.00"), d("0.00"), d("0.00"), 0, 0,
            d("0.00"), d("0.0000"), d("0.0000"), d("0.00"),
        ),
        # 3 Dec, in its last microsecond: a service only; revenue counts it, items do not.
        "2010-12-03": (
            1, 0, 0, 0, 1, 1, d("3.00"), d("0.00"), d("3.00"), d("0.00"), 0, 0,
            d("3.00"), d("0.0000"), d("0.0000"), d("0.00"),
        ),
        # 4 Dec: user 1 returns; order 8 was deleted.
        "2010-12-04": (
            1, 1, 0, 0, 1, 1, d("8.00"), d("0.00"), d("8.00"), d("0.00"), 2, 1,
            d("8.00"), d("0.0000"), d("1.0000"), d("2.00"),
        ),
    }  # fmt: skip


def test_the_newest_change_wins_whatever_arrived_last_and_keeps_the_withheld_address(shop, first):
    assert shop.query("select status, total_amount, shipping_address from STAGING.STG_ORDERS where id = 1") == [
        ("shipped", Decimal("10.05"), "Street 1")
    ]


def test_a_deleted_row_stays_as_a_tombstone_in_base_and_leaves_staging(shop, first):
    assert shop.query("select __op, email, created_at is null from STAGING.BASE_USERS where id = 3") == [
        ("d", None, True)
    ]
    assert shop.query("select id from STAGING.STG_USERS order by id") == [(1,), (2,)]


def test_the_same_change_in_two_objects_counts_once(shop, first):
    assert shop.query("select count(*) from RAW.ORDER_ITEMS where id = 1") == [(2,)]
    assert shop.query("select id, quantity from STAGING.STG_ORDER_ITEMS where id = 1") == [(1, 3)]


def test_every_data_test_has_a_result_and_one_failure_hides_none(shop, late):
    refresh, _ = late
    command = data_test_command(frozen_values(refresh), target_dir=shop.target_dir)
    good = shop.dbt.run(command)
    assert {result.outcome for result in good} == {NodeOutcome.PASSED}
    table = "STAGING.STG_ORDER_ITEMS"
    shop.path.warehouse.execute(f"insert into {table} select * from {table} where id = 2")
    shop.path.warehouse.execute(f"update {table} set order_id = 999, batch_id = 'b9', file_name = 'f9' where id = 3")
    try:
        bad = shop.dbt_alone(command, SLACKWATER_QUALITY_ORPHAN_GRACE_MINUTES="0")
    finally:
        shop.path.warehouse.execute(f"delete from {table} where id in (2, 3)")
        shop.path.warehouse.execute(f"insert into {table} ({_columns(shop)}) {_rebuilt_lines()}")

    assert {result.unique_id for result in bad} == {result.unique_id for result in good}
    failed = {result.name: result.failures for result in bad if result.outcome is NodeOutcome.FAILED}
    assert failed == {
        "unique_stg_order_items_id": 1,
        "unique_key_order_items_enhanced_id": 1,  # the view shows the same two rows
        "has_parent_stg_order_items_order_id__ref_stg_orders_": 1,
    }
    orphan = next(result for result in bad if result.name.startswith("has_parent_stg_order_items_order"))
    assert orphan.compiled_sql is not None
    assert "batch_id" in orphan.compiled_sql


def _columns(shop: Shop) -> str:
    rows = shop.query(
        "select column_name from information_schema.columns where table_schema = 'STAGING'"
        " and table_name = 'STG_ORDER_ITEMS' order by ordinal_position"
    )
    return ", ".join(str(name) for (name,) in rows)


def _rebuilt_lines() -> str:
    return (
        "select id, order_id, product_id, quantity, unit_price, created_at, (quantity * unit_price)::number(18,2),"
        " true, batch_id, file_name, loaded_at from STAGING.BASE_ORDER_ITEMS where id in (2, 3)"
    )


def test_a_rejected_refresh_changes_no_byte_of_marts(repaired):
    assert repaired.marts_after_rejection == repaired.marts_before
    assert len(repaired.marts_before["MARTS.DAILY_BUSINESS_METRICS"]) == 4


def test_the_next_refresh_publishes_the_rejected_batches_on_both_days_of_the_moved_line(repaired):
    d = Decimal
    # 1 Dec: line 1 left, product 2 became a service: only line 2 (1 piece of product 1) is left of the items.
    assert repaired.metrics["2010-12-01"] == (
        4, 2, 1, 1, 1, 2, d("16.05"), d("10.05"), d("5.00"), d("1.00"), 1, 1,
        d("5.35"), d("0.5000"), d("0.5000"), d("0.33"),
    )  # fmt: skip
    # 4 Dec: line 1 came (3 pieces of product 1), product 2 no longer counts.
    assert repaired.metrics["2010-12-04"][10:12] == (3, 1)


def test_a_day_whose_only_order_was_deleted_vanishes(repaired):
    assert "2010-12-03" not in repaired.metrics


def test_a_day_that_nothing_touched_keeps_its_publication(first, repaired):
    assert repaired.publications == {
        "2010-12-01": repaired.publication.publication_id,
        "2010-12-02": first.publication_id,
        "2010-12-04": repaired.publication.publication_id,
    }


def test_a_withheld_description_keeps_its_value_and_a_null_is_a_value(shop, repaired):
    assert shop.query("select id, description, price from STAGING.STG_PRODUCTS order by id") == [
        (1, None, Decimal("2.50")),
        (2, "as made", Decimal("3.00")),
        (3, "as made", Decimal("2.00")),
    ]


def test_a_late_status_change_rewrites_only_the_row_of_its_day(shop, late, repaired):
    _, publication = late
    daily = next(one for one in publication.marts if one.mart == "daily_business_metrics")
    assert (daily.rows_deleted, daily.rows_inserted) == (1, 1)
    assert shop.publications() == repaired.publications | {"2010-12-02": publication.publication_id}
    revenue, items = shop.metrics()["2010-12-02"][6], shop.metrics()["2010-12-02"][10]
    assert (revenue, items) == (Decimal("20.00"), 4)


def test_an_incremental_build_equals_a_full_one(shop, late):
    refresh, _ = late
    incremental = shop.content("STAGING", "CANDIDATE")

    shop.build(refresh, is_full=True)

    assert shop.content("STAGING", "CANDIDATE") == incremental
    assert {name.split(".")[0] for name in incremental} == {"STAGING", "CANDIDATE"}
    assert {f"CANDIDATE.{mart.name.upper()}" for mart in load_marts()} <= set(incremental)


def test_what_a_refresh_does_not_touch_is_not_asked_for(shop, late):
    shop.path.load("users", _user(4, DAYS[9]))
    refresh, lease = shop.path.start()

    results = shop.dbt.run(run_command(frozen_values(refresh), target_dir=shop.target_dir))

    shop.publish(refresh, lease)
    untouched = {result.name for result in results if result.message == "UNTOUCHED"}
    assert {"base_orders", "stg_order_items", "hist_products", "fct_order_lines"} <= untouched
    assert untouched.isdisjoint({"base_users", "stg_users", "int_customer_metrics", "inventory"})
    assert {result.outcome for result in results} == {NodeOutcome.PASSED}


def test_a_table_of_other_columns_than_its_model_is_named_and_left_alone_until_it_is_built_whole(shop, late):
    shop.path.load("users", _user(1, DAYS[1], first_name="Grace"))
    refresh, lease = shop.path.start()
    changes = {
        "EXTRA": ("add column extra varchar", "drop column extra"),
        "FULL_NAME": ("rename column full_name to whole_name", "rename column whole_name to full_name"),
        "IS_VALID_EMAIL": ("alter column is_valid_email set data type varchar", None),
    }
    for column, (change, undo) in changes.items():
        shop.query(f"alter table STAGING.STG_USERS {change}")
        before = shop.query("select * from STAGING.STG_USERS order by id")

        told = shop.dbt.run(run_command(frozen_values(refresh), target_dir=shop.target_dir).selecting("base_users+1"))

        refused = next(result for result in told if result.name == "stg_users")
        assert (refused.outcome, column in refused.message) == (NodeOutcome.ERROR, True)
        assert "--full-refresh --select stg_users" in refused.message
        assert shop.query("select * from STAGING.STG_USERS order by id") == before
        if undo:
            shop.query(f"alter table STAGING.STG_USERS {undo}")

    whole = run_command(frozen_values(refresh), target_dir=shop.target_dir, is_full=True).selecting("stg_users")
    assert [result.outcome for result in shop.dbt.run(whole)] == [NodeOutcome.PASSED]
    assert shop.query("select first_name from STAGING.STG_USERS where id = 1") == [("Grace",)]
    shop.build(refresh)
    shop.publish(refresh, lease)


def test_staging_equals_base_without_tombstones_in_the_shop_s_own_columns(shop, late):
    for entity in ENTITIES:
        kept = f"select id from STAGING.BASE_{entity} where __op <> 'd'"
        assert shop.query(f"{kept} except select id from STAGING.STG_{entity}") == []
        assert shop.query(f"select id from STAGING.STG_{entity} except {kept}") == []


def test_the_models_unit_tests_pass(shop, late):
    refresh, _ = late
    results = shop.dbt.run(unit_test_command(frozen_values(refresh), target_dir=shop.target_dir))

    assert {result.kind for result in results} == {"unit_test"}
    assert {result.outcome for result in results} == {NodeOutcome.PASSED}, [result.message for result in results]
    assert len(results) == 11


def test_the_documentation_describes_every_column_of_every_model(shop, late):
    shop.dbt_alone(docs_command(target_dir=shop.target_dir))

    catalog = json.loads((shop.target_dir / "catalog.json").read_text(encoding="utf-8"))["nodes"]
    manifest = json.loads((shop.target_dir / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    models = {name: node for name, node in manifest.items() if node["resource_type"] == "model"}
    # The embedded warehouse's catalog leaves views out; their columns are asked for instead.
    tables = {name for name, node in models.items() if node["config"]["materialized"] != "view"}
    assert set(catalog) == tables
    columns = shop.query(
        "select lower(table_name), lower(column_name) from information_schema.columns"
        " where table_schema in ('STAGING', 'CANDIDATE')"
    )
    described = {node["name"]: node["columns"] for node in models.values()}
    assert {table for table, _ in columns} == set(described)
    missing = {
        (table, column)
        for table, column in columns
        if not described[str(table)].get(str(column), {}).get("description")
    }
    assert missing == set()
