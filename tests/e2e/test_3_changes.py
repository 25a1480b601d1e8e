"""What one change does to the marts, and what the gate does with a set-level violation."""

import json
from decimal import Decimal

import pytest
from world import FOREIGN_LSN, World

from slackwater.clients.postgres import connect
from slackwater.clients.s3 import ObjectStore
from slackwater.ledger.status import status
from slackwater.testing.landing_files import LandingFile, Value

pytestmark = pytest.mark.e2e

CHANGED_MS = 1_767_225_600_000
"""2026-01-01: later than everything in the sample."""

ORDER_COLUMNS = ("id", "user_id", "status", "total_amount", "shipping_address", "created_at", "updated_at")


def test_a_status_change_of_a_past_day_rewrites_only_that_days_row(december: World) -> None:
    [order] = delivered_orders(december, count=1)
    before = december.publications()
    with connect(december.systems.shop.dsn, autocommit=True) as shop:
        shop.execute("update shop.orders set status = 'cancelled' where id = %s", (order["id"],))
    land(december, [{**order, "status": "cancelled"}], op="u", first=0)
    december.settle()
    after = december.publications()
    day = order["created_at"].date()  # type: ignore[union-attr]
    assert after.keys() == before.keys()
    assert {date for date in after if after[date] != before[date]} == {day}
    assert december.published_metrics() == december.expected_metrics()


def test_a_set_level_violation_rejects_the_refresh_and_its_repair_publishes_everything(december: World) -> None:
    marts = "select * from MARTS.DAILY_BUSINESS_METRICS order by date"
    orders = delivered_orders(december, count=100)
    spoiled = [{**order, "total_amount": Decimal("-1.00")} for order in orders]
    before, publications = december.warehouse(marts), december.warehouse("select count(*) from MARTS.PUBLICATION")
    key = land(december, spoiled, op="u", first=100, lsn=FOREIGN_LSN + 1_000)
    december.settle()

    assert december.warehouse(marts) == before
    assert december.warehouse("select count(*) from MARTS.PUBLICATION") == publications
    with december.ledger() as ledger:
        rejected = status(ledger).last_refresh
    assert rejected is not None
    assert rejected.state == "rejected"
    report = json.loads((december.systems.quality.reports_dir / "scans" / "latest.json").read_text())
    failed = [check for check in report["checks"] if check["outcome"] == "failed" and check["severity"] == "error"]
    named = {(row["key"], row["file_name"]) for check in failed for row in check["failing_rows"]}
    assert named & {(str(order["id"]), key) for order in orders}, failed

    land(december, orders, op="u", first=200, lsn=FOREIGN_LSN + 2_000)
    december.settle()
    with december.ledger() as ledger:
        published = status(ledger)
    assert published.last_refresh is not None
    assert published.last_refresh.state == "published"
    assert all(entity.batches.get("loaded", 0) == 0 for entity in published.entities)
    assert december.published_metrics() == december.expected_metrics()


def delivered_orders(world: World, *, count: int) -> list[dict[str, Value]]:
    """Return the first orders that are delivered, as the shop has them."""
    rows = world.shop(
        f"select {', '.join(ORDER_COLUMNS)} from shop.orders where status = 'delivered'"
        f" order by created_at, id limit {count}"
    )
    return [dict(zip(ORDER_COLUMNS, row, strict=True)) for row in rows]  # type: ignore[arg-type]


def land(world: World, orders: list[dict[str, Value]], *, op: str, first: int, lsn: int = FOREIGN_LSN) -> str:
    """Put a file of order changes below the landing prefix and return its key."""
    changed = {
        number: {**order, "__op": op, "__source_lsn": lsn + number, "__source_ts_ms": CHANGED_MS}
        for number, order in enumerate(orders)
    }
    file = LandingFile("orders", topic="foreign.orders", first=first, count=len(orders), overrides=changed)
    ObjectStore(world.systems.s3).put(world.systems.landing.bucket, file.key(), file.parquet())
    return file.key()
