"""The lake's upkeep as tests start it, and what its state tables must hold: the shop's own rows."""

import time

from world import World

from slackwater.clients.iceberg import Lake
from slackwater.clients.prefect_api import FlowRun, PrefectApi
from slackwater.errors import StoreUnavailable
from slackwater.ledger import folds
from slackwater.naming import state_table

DEPLOYMENT = "compact-table/on-due"
RUN_SECONDS = 300.0
SHOP_COLUMNS = {
    "users": "id, email, first_name, last_name, created_at, updated_at",
    "products": "id, name, description, price, stock_quantity, category, created_at, updated_at",
    "orders": "id, user_id, status, total_amount, shipping_address, created_at, updated_at",
    "order_items": "id, order_id, product_id, quantity, unit_price, created_at",
}
"""Written by hand: what is compared of every entity."""


def start_upkeep(world: World) -> FlowRun:
    """Have the upkeep's flow run now, whether or not it is worth it."""
    return start_run(world, DEPLOYMENT, {"force": True})


def start_run(world: World, deployment: str, parameters: dict[str, object]) -> FlowRun:
    """Have a flow run now; a Prefect that is coming back is waited for."""
    deadline = time.monotonic() + RUN_SECONDS
    with PrefectApi(world.systems.events) as api:
        while True:
            try:
                return api.start_run(deployment, parameters)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)


def wait_for_run(world: World, run: FlowRun) -> FlowRun:
    """Return a run when it has ended; Prefect may be away meanwhile."""
    deadline = time.monotonic() + RUN_SECONDS
    with PrefectApi(world.systems.events) as api:
        while not run.is_finished:
            assert time.monotonic() < deadline, f"run {run.name} is {run.state_type} after {RUN_SECONDS:.0f} s"
            time.sleep(0.5)
            try:
                run = api.flow_run(run.id)
            except StoreUnavailable:
                continue
    return run


def look_after_the_lake(world: World) -> FlowRun:
    """Run the upkeep once, to its end."""
    return wait_for_run(world, start_upkeep(world))


def fold_to_the_end(world: World) -> None:
    """Run the upkeep until nothing waits for a fold: a run that was killed holds its lease for a while."""
    deadline = time.monotonic() + RUN_SECONDS
    while unfolded(world):
        assert time.monotonic() < deadline, f"still unfolded after {RUN_SECONDS:.0f} s"
        look_after_the_lake(world)


def unfolded(world: World) -> int:
    """Return how many batches wait for a fold."""
    with world.ledger() as ledger, ledger.transaction() as connection:
        return sum(one.batch_count for one in folds.backlogs(connection))


def state_rows(world: World, entity: str) -> list[tuple[object, ...]]:
    """Return the rows of a state table that exist, by key."""
    columns = SHOP_COLUMNS[entity].split(", ")
    table = Lake(world.systems.lake, world.systems.s3).load_table(state_table(entity))
    rows = table.scan(row_filter="__op != 'd'", selected_fields=tuple(columns)).to_arrow().select(columns)
    return sorted(tuple(row.values()) for row in rows.to_pylist())


def shop_rows(world: World, entity: str) -> list[tuple[object, ...]]:
    """Return the shop's own rows, by key."""
    return world.shop(f"select {SHOP_COLUMNS[entity]} from shop.{entity} order by id")


def state_problems(world: World) -> list[str]:
    """Say how the state tables differ from the shop; nothing may wait for a fold."""
    problems = []
    for entity in SHOP_COLUMNS:
        held, wanted = state_rows(world, entity), shop_rows(world, entity)
        if held != wanted:
            missing, added = set(wanted) - set(held), set(held) - set(wanted)
            shown = f"missing {sorted(missing)[:2]}, not in the shop {sorted(added)[:2]}"
            problems.append(f"state of {entity}: {len(held)} rows, the shop has {len(wanted)}; {shown}")
    return problems
