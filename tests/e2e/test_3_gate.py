"""A person accepts what the gate rejected: the same set, driven again, is published, and says so."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner
from world import FOREIGN_LSN, World

from slackwater.cli import app
from slackwater.clients.prefect_api import PrefectApi
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.status import status
from slackwater.stack.environment import full_environment
from slackwater.testing.landing_files import LandingFile, Value

pytestmark = pytest.mark.e2e

CHANGED_MS = 1_767_225_600_000
"""2026-01-01: later than everything in the sample."""

ORDER_COLUMNS = ("id", "user_id", "status", "total_amount", "shipping_address", "created_at", "updated_at")
CHECK = "STAGING.STG_ORDERS: TOTAL_AMOUNT is not negative"
SPOILED = 100
RUN_SECONDS = 300


@pytest.fixture
def undecided(december: World) -> Iterator[None]:
    """Later tests of the shared system find no decision of this one's."""
    yield
    with Warehouse(december.systems.warehouse, query_tag="test") as warehouse:
        warehouse.execute("delete from OPS.CHECK_ACCEPTANCE")


@pytest.fixture
def orders(december: World) -> list[dict[str, Value]]:
    """Some delivered orders as the shop has them."""
    rows = december.shop(
        f"select {', '.join(ORDER_COLUMNS)} from shop.orders where status = 'delivered'"
        f" order by created_at desc, id desc limit {SPOILED}"
    )
    return [dict(zip(ORDER_COLUMNS, row, strict=True)) for row in rows]  # type: ignore[arg-type]


def _land(world: World, orders: list[dict[str, Value]], *, first: int) -> None:
    """Put a file of changes of orders below the landing prefix; a greater `first` is newer."""
    changed = {
        number: {
            **order,
            "__op": "u",
            "__source_lsn": FOREIGN_LSN + 10_000 + first + number,
            "__source_ts_ms": CHANGED_MS,
        }
        for number, order in enumerate(orders)
    }
    file = LandingFile("orders", topic="foreign.gate", first=first, count=len(orders), overrides=changed)
    ObjectStore(world.systems.s3).put(world.systems.landing.bucket, file.key(), file.parquet())


def _gate(world: World, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["gate", *arguments, "--json"], env=full_environment(world.profile))
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.output)
    return document


def _drive_again(world: World) -> str:
    with PrefectApi(world.systems.events) as api:
        run = api.start_run("refresh-marts/on-due", {"force": True})
        deadline = time.monotonic() + RUN_SECONDS
        while not run.is_finished and time.monotonic() < deadline:
            time.sleep(1)
            run = api.flow_run(run.id)
    assert run.state_type == "COMPLETED", run.state_message
    return run.state_message


def test_accepted_failure_is_published_by_the_next_drive_and_shown_as_accepted(
    december: World, orders: list[dict[str, Value]], undecided: None
) -> None:
    publications = "select count(*) from MARTS.PUBLICATION"
    [(before,)] = december.warehouse(publications)
    _land(december, [{**order, "total_amount": Decimal("-1.00")} for order in orders], first=0)
    december.settle()

    rejected = _gate(december, "show")
    assert (rejected["state"], rejected["is_passed"]) == ("rejected", False)
    assert [check["id"] for check in rejected["failing"] if check["is_rejecting"]] == [CHECK]
    named = next(check for check in rejected["failing"] if check["id"] == CHECK)["failing_rows"]
    assert {row["key"] for row in named} == {str(order["id"]) for order in orders}
    assert {row["file_name"].rpartition("/")[2].partition("+")[0] for row in named} == {"foreign.gate"}

    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    told = _gate(december, "accept", rejected["refresh_id"], CHECK, "--reason", "credit notes", "--expires", tomorrow)
    assert "force=true" in told["next_step"]
    assert december.warehouse(publications) == [(before,)]  # deciding publishes nothing

    assert "Published" in _drive_again(december)

    assert december.warehouse(publications) == [(before + 1,)]  # type: ignore[operator]
    shown = _gate(december, "show")
    assert (shown["state"], shown["is_passed"]) == ("published", True)
    [accepted] = [check for check in shown["failing"] if check["acceptance"]]
    assert (accepted["id"], accepted["acceptance"]["reason"]) == (CHECK, "credit notes")

    _land(december, orders, first=SPOILED)
    december.settle()
    with december.ledger() as ledger:
        last = status(ledger).last_refresh
    assert last is not None
    assert last.state == "published"
    assert december.published_metrics() == december.expected_metrics()
