"""December through the whole system: every day over is complete and final, by counts of each store written by hand."""

import time
from decimal import Decimal

import pytest
from world import World

from slackwater.clients.clickhouse import SpeedStore

pytestmark = pytest.mark.e2e

ENTITIES = ("users", "products", "orders", "order_items")
WAIT_SECONDS = 120


def _days(rows) -> dict:
    return {row[0]: int(str(row[1])) for row in rows}


def _wait_until_counted(world: World) -> None:
    """The count follows the publication; wait until it was made for the one that is current."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        counted = world.warehouse("select refresh_id from OPS.COMPLETENESS_CLOCK")
        if counted == world.warehouse("select refresh_id from MARTS.PUBLICATION_CURRENT"):
            return
        time.sleep(1)
    raise AssertionError(f"the publication was not counted within {WAIT_SECONDS} s")


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_day_that_is_over_is_complete_and_final_by_counts_written_by_hand(december: World, entity: str) -> None:
    _wait_until_counted(december)
    written = _days(december.shop(f"select event_time::date, count(*) from shop_history.{entity} group by 1"))
    raw = _days(december.warehouse(f"select cast(__source_ts_ms as date), count(*) from RAW.{entity} group by 1"))
    with SpeedStore(december.systems.clickhouse) as speed:
        counted = speed.query(
            f"select toDate32(__source_ts_ms) as day, toInt64(count()) as n from {entity}_changes group by day"
        )
    fast = {row["day"]: row["n"] for row in counted.to_pylist()}
    shown = december.warehouse(
        "select day, source_rows, landed_rows, lake_rows, raw_rows, published_rows, clickhouse_rows, expected_rows,"
        f" missing_positions, quarantined_rows, percent, is_final from OPS.COMPLETENESS where entity = '{entity}'"
        " order by day"
    )
    last = december.shop(
        "select max(event_time)::date from ("
        + " union all ".join(f"select max(event_time) as event_time from shop_history.{name}" for name in ENTITIES)
        + ") as newest"
    )[0][0]

    assert len(shown) >= 20
    assert written == raw == fast
    assert {row[0]: row[1] for row in shown if row[1]} == written
    for day, *counts, missing, quarantined, percent, is_final in shown:
        assert counts == [written.get(day, 0)] * 7, day
        assert (missing, quarantined, percent) == (0, 0, Decimal("100.00")), day
        assert is_final == (day < last), day
    assert shown[-1][0] == last
