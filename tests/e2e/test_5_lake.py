"""The lake's upkeep by its own flow: the state tables are the shop, once, however often it runs."""

import time

import pytest
from test_1_december import STAGED
from world import World

from slackwater.clients.iceberg import Lake
from slackwater.clients.prefect_api import FlowRun, PrefectApi
from slackwater.ledger import folds
from slackwater.naming import state_table

pytestmark = [pytest.mark.e2e, pytest.mark.spark]

DEPLOYMENT = "compact-table/on-due"
RUN_SECONDS = 300.0


def look_after_the_lake(world: World) -> FlowRun:
    deadline = time.monotonic() + RUN_SECONDS
    with PrefectApi(world.systems.events) as api:
        run = api.start_run(DEPLOYMENT, {"force": True})
        while not run.is_finished:
            assert time.monotonic() < deadline, f"run {run.name} is still {run.state_type}"
            time.sleep(0.5)
            run = api.flow_run(run.id)
    return run


def waiting(world: World) -> int:
    with world.ledger() as ledger, ledger.transaction() as connection:
        return sum(one.batch_count for one in folds.backlogs(connection))


def state_rows(world: World, entity: str) -> list[tuple[object, ...]]:
    columns = STAGED[entity].split(", ")
    table = Lake(world.systems.lake, world.systems.s3).load_table(state_table(entity))
    rows = table.scan(row_filter="__op != 'd'", selected_fields=tuple(columns)).to_arrow()
    return sorted(tuple(row[name] for name in columns) for row in rows.to_pylist())


def snapshots(world: World) -> dict[str, int | None]:
    lake = Lake(world.systems.lake, world.systems.s3)
    found = {entity: lake.load_table(state_table(entity)).current_snapshot() for entity in STAGED}
    return {entity: snapshot.snapshot_id if snapshot else None for entity, snapshot in found.items()}


def test_a_run_folds_what_landed_and_the_state_tables_are_the_shop_row_for_row(december: World) -> None:
    assert waiting(december) > 0
    run = look_after_the_lake(december)
    assert (run.state_type, run.state_message[:6]) == ("COMPLETED", "Folded"), run.state_message
    assert waiting(december) == 0
    for entity, columns in STAGED.items():
        assert state_rows(december, entity) == december.shop(f"select {columns} from shop.{entity} order by id")


def test_a_second_run_has_nothing_to_do_and_commits_nothing(december: World) -> None:
    before = snapshots(december)
    run = look_after_the_lake(december)
    assert (run.state_type, run.state_message) == ("COMPLETED", "Skipped: nothing waits for a fold.")
    assert snapshots(december) == before
