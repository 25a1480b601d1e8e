"""Kill any one part in the middle of a replay: the system comes back by itself and ends in the same numbers."""

from datetime import date

import pytest
from killing import FLOW_PROCESS, kill_part
from world import World

pytestmark = pytest.mark.e2e

DAYS = {
    FLOW_PROCESS: date(2011, 1, 4),
    "snowflake": date(2011, 1, 5),
    "postgres": date(2011, 1, 6),
    "ministack": date(2011, 1, 7),
    "clickhouse": date(2011, 1, 9),
    "prefect": date(2011, 1, 10),
    "worker": date(2011, 1, 11),
    "bridge": date(2011, 1, 12),
}
IN_EVERY_TEST_RUN = {FLOW_PROCESS, "snowflake", "ministack"}


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=() if part in IN_EVERY_TEST_RUN else pytest.mark.slow) for part in DAYS],
)
def test_killing_one_part_in_mid_replay_changes_no_number(december: World, part: str) -> None:
    before = len(december.published_metrics())
    december.replay(to_date=DAYS[part])
    pid = kill_part(december.profile, part)
    assert pid > 0
    december.settle()
    published = december.published_metrics()
    assert len(published) > before
    assert published == december.expected_metrics()
    for entity in ("users", "products", "orders", "order_items"):
        count, positions = december.warehouse(f"select count(*), count(distinct _position) from RAW.{entity}")[0]
        assert count == positions, f"{entity}: {count} rows for {positions} positions"
