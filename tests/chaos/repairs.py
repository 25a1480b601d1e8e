"""What an operator's repair undoes: a snapshot rolled back, history expired under a batch, the ledger lost."""

import os
import random
import subprocess
import sys
import time

from accounts import ENTITIES
from killing import flow_processes, kill_tree
from world import World

from slackwater.clients.iceberg import Lake
from slackwater.clients.postgres import connect
from slackwater.clients.prefect_api import PrefectApi
from slackwater.ledger import batches
from slackwater.naming import changelog_table
from slackwater.stack.environment import full_environment
from slackwater.stack.supervisor import Supervisor, socket_path

SWEEP = "sweep-landing/every-minute"
WAIT_SECONDS = 180.0
WRITERS = ("bridge", "worker")
_REOPENED = (
    "select count(*) from ledger.transition where subject = 'batch' and to_state = 'sealed' and from_state <> ''"
)


def roll_back_a_snapshot(world: World, source: random.Random) -> None:
    """Set an entity's main back by one snapshot and return when a sweep has opened the batch again."""
    entity = source.choice(ENTITIES)
    table = Lake(world.systems.lake, world.systems.s3).load_table(changelog_table(entity))
    head = table.current_snapshot()
    assert head is not None, f"{entity} has no snapshot to roll back"
    assert head.parent_snapshot_id is not None, f"{entity} has one snapshot only"
    before = _reopened(world)
    table.manage_snapshots().set_current_snapshot(head.parent_snapshot_id).commit()
    start_sweep(world)
    deadline = time.monotonic() + WAIT_SECONDS
    while _reopened(world) == before:
        assert time.monotonic() < deadline, f"no sweep found that {entity} was rolled back within {WAIT_SECONDS} s"
        time.sleep(0.5)


def expire_snapshots_and_drive_again(world: World, source: random.Random) -> None:
    """Expire all history of an entity but the newest snapshot and open its oldest batch again."""
    entity = source.choice(ENTITIES)
    table = Lake(world.systems.lake, world.systems.s3).load_table(changelog_table(entity))
    head = table.current_snapshot()
    assert head is not None, f"{entity} has no snapshot"
    old = [snapshot.snapshot_id for snapshot in table.snapshots() if snapshot.snapshot_id != head.snapshot_id]
    assert old, f"{entity} has one snapshot only"
    table.maintenance.expire_snapshots().by_ids(old).commit()
    with world.ledger() as ledger, ledger.transaction() as connection:
        row = connection.execute(
            "select batch_id from ledger.batch where entity = %s order by landed_at limit 1", (entity,)
        ).fetchone()
        assert row is not None
        batches.reopen(connection, row[0], reason="driven again by a test", actor="test")


def lose_and_rebuild_ledger(world: World) -> None:
    """Drop the ledger's tables and do what the runbook says: stop who writes, rebuild by the command, start again."""
    remote = Supervisor(socket_path(world.profile.home))
    for service in WRITERS:
        remote.stop(service)
    try:
        for process in flow_processes(world.profile):  # what the worker left behind
            kill_tree(process.pid)
        with connect(world.systems.ledger.dsn, autocommit=True) as connection:
            connection.execute("drop schema ledger cascade")
        run_command(world, "ledger", "rebuild", "--json")
    finally:
        for service in WRITERS:
            remote.start(service)


def start_sweep(world: World) -> None:
    """Have the sweep's flow run now."""
    with PrefectApi(world.systems.events) as api:
        api.start_run(SWEEP, {})


def run_command(world: World, *arguments: str) -> str:
    """Run `slackwater` on the stack and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "slackwater.cli", *arguments],
        env={**os.environ, **full_environment(world.profile), "SLACKWATER_STACK_HOME": str(world.profile.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"slackwater {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def _reopened(world: World) -> int:
    with connect(world.systems.ledger.dsn, autocommit=True) as connection:
        row = connection.execute(_REOPENED).fetchone()
    return int(row[0]) if row else 0
