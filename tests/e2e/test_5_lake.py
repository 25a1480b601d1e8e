"""The lake's upkeep by its own flow: the state tables are the shop, once, however often it runs."""

import pytest
from upkeep import SHOP_COLUMNS, look_after_the_lake, shop_rows, state_rows, unfolded
from world import World

from slackwater.clients.iceberg import Lake
from slackwater.naming import state_table

pytestmark = [pytest.mark.e2e, pytest.mark.spark]


def snapshots(world: World) -> dict[str, int | None]:
    lake = Lake(world.systems.lake, world.systems.s3)
    found = {entity: lake.load_table(state_table(entity)).current_snapshot() for entity in SHOP_COLUMNS}
    return {entity: snapshot.snapshot_id if snapshot else None for entity, snapshot in found.items()}


def test_a_run_folds_what_landed_and_the_state_tables_are_the_shop_row_for_row(december: World) -> None:
    if unfolded(december):
        run = look_after_the_lake(december)
        assert (run.state_type, run.state_message[:6]) == ("COMPLETED", "Folded"), run.state_message
    assert unfolded(december) == 0
    for entity in SHOP_COLUMNS:
        held = state_rows(december, entity)
        assert held == shop_rows(december, entity)
        assert held


def test_a_second_run_has_nothing_to_do_and_commits_nothing(december: World) -> None:
    before = snapshots(december)
    run = look_after_the_lake(december)
    assert (run.state_type, run.state_message) == ("COMPLETED", "Skipped: nothing waits for a fold.")
    assert snapshots(december) == before
