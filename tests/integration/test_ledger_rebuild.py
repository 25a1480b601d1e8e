"""The ledger is lost and rebuilt: the same answers, and work goes on with nothing lost and nothing twice."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.postgres import connect
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import CommitConflict, ConfigurationError
from slackwater.lake.verify import reopen_lost
from slackwater.landing.sweep import sweep
from slackwater.landing.wiring import Wiring
from slackwater.ledger.model import BatchState, ObjectState
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, EVENT_BATCH_SEALED, changelog_table, raw_table
from slackwater.recovery.lost_ledger import LedgerWatch, refuse_lost_ledger
from slackwater.recovery.run import rebuild
from slackwater.stack.bootstrap import ensure_ledger
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench, RecordingBus
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.load import load_batch
from slackwater.warehouse.publish import publish

pytestmark = pytest.mark.integration

EVERYTHING = {
    "objects": "select object_id, bucket, key, etag, size_bytes, entity, source_partition, first_position,"
    " last_position, epoch, state, batch_id, overwrites from ledger.object order by 1",
    "batches": "select batch_id, entity, state, object_count, size_bytes, row_count, snapshot_id, load_seq,"
    " case when state = 'loaded' then attempt end"
    " from ledger.batch order by 1",
    "manifests": "select batch_id, object_id, is_skipped from ledger.batch_object order by 1, 2",
    "days": "select object_id, day, row_count from ledger.object_day order by 1, 2",
    "refreshes": "select refresh_id, mart_set, state, bounds, as_of, publication_id, started_at < ended_at"
    " from ledger.refresh order by 1",
    "published": "select refresh_id, batch_id from ledger.refresh_batch order by 1, 2",
}


class World:
    """The stores of one sandbox and the whole way of a file through them, without Prefect and dbt."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.lake = Lake(sandbox.lake, sandbox.s3)
        self.store = ObjectStore(sandbox.s3)
        self.ledger = Ledger(sandbox.ledger.dsn)
        self.warehouse = Warehouse(sandbox.warehouse)
        self.bench = Bench(self.ledger, self.lake, self.store, sandbox.landing)
        self.path = WarehousePath(self.ledger, self.lake, self.warehouse)

    def close(self):
        self.ledger.close()
        self.warehouse.close()
        self.lake.close()

    def land(self, *files):
        """Take files into one batch and append it."""
        batch_id = self.bench.seal(files[0].entity, *(self.bench.put_file(file) for file in files))
        self.bench.append(batch_id)
        return batch_id

    def load(self, batch_id):
        lease = self.ledger.claim_batch(batch_id, actor="test")
        load_batch(batch_id, ledger=self.ledger, lake=self.lake, warehouse=self.warehouse, lease=lease, actor="test")
        return batch_id

    def publish(self):
        refresh, lease = self.path.start()
        self.ledger.mark_tested(lease, refresh.refresh_id)
        publish(refresh, ledger=self.ledger, warehouse=self.warehouse, lease=lease, marts=())
        self.ledger.release_work(lease)
        return refresh

    def reject(self):
        refresh, lease = self.path.start()
        self.ledger.mark_rejected(lease, refresh.refresh_id, reasons=["volume"])
        self.ledger.release_work(lease)

    def answers(self):
        with self.ledger.transaction() as connection:
            found = {name: connection.execute(query).fetchall() for name, query in EVERYTHING.items()}
        return {**found, "frontier": self.ledger.published_frontier()}

    def lose_ledger(self):
        self.ledger.close()
        with connect(self.sandbox.ledger.dsn, autocommit=True) as connection:
            connection.execute("drop schema ledger cascade")
        ensure_ledger(self.sandbox.ledger)

    def rebuild(self, *, is_writing=True, store=None):
        return rebuild(
            ledger=self.ledger, lake=self.lake, store=store or self.store, warehouse=self.warehouse,
            landing=self.sandbox.landing, now=datetime.now(UTC), is_writing=is_writing,
        )  # fmt: skip

    def sweep(self):
        """Sweep, as often as it takes to seal what it found, and return the batches that are to be driven."""
        bus, wiring = RecordingBus(), Wiring.of(self.sandbox.s3, self.sandbox.landing)
        reopen_lost(self.ledger, self.lake, actor="sweep")
        deadline = time.monotonic() + 60
        while True:
            report = sweep(ledger=self.ledger, wiring=wiring, bus=bus, actor="sweep", is_full=True)
            if not self.ledger.open_objects() or time.monotonic() > deadline:
                assert report.error is None
                return [payload["batch_id"] for event, _, payload, _ in bus.sent if event == EVENT_BATCH_SEALED]
            time.sleep(0.5)

    def drive(self):
        """Sweep and bring every driven batch to its end, as the ingest flow does."""
        driven = self.sweep()
        for batch_id in driven:
            self.bench.append(batch_id)
            self.load(batch_id)
        return driven

    def lake_rows(self):
        """Return all rows of the lake by entity, object and position."""
        rows = [
            (entity, row["_object_id"], row["_position"])
            for entity in ENTITIES
            for row in self.lake.scan(entity, columns=("_object_id", "_position")).to_pylist()
        ]
        return sorted(rows)

    def raw_rows(self):
        return sorted(
            (entity, str(object_id), int(str(position)))
            for entity in ENTITIES
            for object_id, position in self.warehouse.query(f"select _object_id, _position from {raw_table(entity)}")
        )

    def states(self):
        with self.ledger.transaction() as connection:
            return dict(connection.execute("select key, state from ledger.object").fetchall())


@pytest.fixture
def world(sandbox):
    found = World(sandbox)
    yield found
    found.close()


def orders(first, **more):
    return LandingFile(first=first, count=5, **more)


def filled(world):
    """Two publications, a rejected refresh, a loaded and a landed batch; everything has rows."""
    old = world.load(world.land(orders(0), orders(5, days=3)))
    world.load(world.land(LandingFile("users", count=4)))
    first = world.publish()
    world.load(world.land(orders(10)))
    world.load(world.land(LandingFile("users", first=4, count=4, days=2)))
    world.reject()
    world.load(world.land(orders(15, days=2)))
    second = world.publish()
    loaded = world.load(world.land(orders(20)))
    landed = world.land(orders(25), orders(30))
    return old, first, second, loaded, landed


def test_the_rebuilt_ledger_gives_the_answers_of_the_lost_one_and_work_goes_on(world):
    _, first, second, loaded, landed = filled(world)
    before = world.answers()
    world.lose_ledger()
    report = world.rebuild()

    after = world.answers()
    ids = {first.refresh_id, second.refresh_id}
    before["refreshes"] = [row for row in before["refreshes"] if row[0] in ids]  # the rejected one cannot be restored
    before["published"] = [row for row in before["published"] if row[0] in ids]
    assert after == before
    assert (report.published_refreshes, report.findings.unpublished_refreshes) == (2, 1)
    assert sum(one.objects for one in report.entities) == len(before["objects"]) == 9
    assert [(one.entity, one.landed_batches, one.loaded_batches, one.published_batches) for one in report.entities] == [
        ("users", 0, 2, 2), ("products", 0, 0, 0), ("orders", 1, 4, 3), ("order_items", 0, 0, 0)
    ]  # fmt: skip

    world.bench.put_file(orders(35))
    driven = world.drive()
    assert landed in driven
    assert len(driven) == 2
    assert {loaded, *driven} == set(world.publish().batch_ids)
    assert world.ledger.published_frontier()["orders", "shop.orders+0"] == 39
    rows = world.lake_rows()
    assert rows == world.raw_rows()
    assert len(rows) == len(set(rows)) == 8 * 5 + 8
    assert world.drive() == []


def test_every_restored_row_has_its_transition_and_events_and_attempts_get_new_numbers(world):
    *_, landed = filled(world)
    raises = world.ledger.flag_raises("core")
    world.lose_ledger()
    world.rebuild()
    with world.ledger.transaction() as connection:
        found = connection.execute(
            "select subject, to_state, count(*) from ledger.transition where from_state is null"
            " and actor = 'ledger-rebuild' and detail ->> 'is_rebuilt' = 'true' group by 1, 2 order by 1, 2"
        ).fetchall()
    assert found == [
        ("batch", "landed", 1),
        ("batch", "loaded", 6),
        ("object", "batched", 9),
        ("refresh", "published", 2),
    ]
    assert world.ledger.flag_raises("core") > raises > 0
    assert world.path.claim(landed).attempt > 100


def test_what_has_no_rows_is_taken_again_by_the_sweep_and_nothing_is_doubled(world):
    bad, empty, never_read = orders(5), LandingFile(first=10, count=0), orders(10)
    bad_id = world.bench.put(bad.key(), b"PAR1 cut")
    mixed = world.bench.seal("orders", world.bench.put_file(orders(0)), bad_id, world.bench.put_file(empty))
    world.bench.append(mixed)
    world.load(mixed)
    world.bench.put("cdc/orders/notes.txt", b"a name that says nothing")
    world.publish()
    frontier = world.ledger.published_frontier()
    world.bench.put_file(never_read)
    world.lose_ledger()
    report = world.rebuild()

    assert world.states() == {orders(0).key(): ObjectState.BATCHED}
    assert (report.findings.partly_known_batches, report.findings.unread_objects) == ((mixed,), 4)
    world.drive()
    assert world.states() == {
        orders(0).key(): ObjectState.BATCHED, bad.key(): ObjectState.QUARANTINED, empty.key(): ObjectState.BATCHED,
        never_read.key(): ObjectState.BATCHED, "cdc/orders/notes.txt": ObjectState.QUARANTINED,
    }  # fmt: skip
    assert world.ledger.published_frontier() == frontier
    rows = world.lake_rows()
    assert rows == world.raw_rows()
    assert sorted(row[2] for row in rows) == [*range(5), *range(10, 15)]
    world.publish()
    with world.ledger.transaction() as connection:
        reason = connection.execute("select reason from ledger.object where object_id = %s", (bad_id,)).fetchone()
    assert reason == ("truncated",)


def test_overwritten_deleted_and_long_expired_files_are_restored_from_their_rows(world):
    v1 = orders(0)
    old = world.load(world.land(v1))
    gone = world.load(world.land(orders(5)))
    v2 = world.load(world.land(v1.with_row(0, status="shipped")))
    world.publish()
    before = world.answers()
    table = world.lake.load_table(changelog_table("orders"))
    for snapshot in table.snapshots()[:2]:
        table.maintenance.expire_snapshots().by_id(snapshot.snapshot_id).commit()
    world.store.delete(world.bench.landing.bucket, orders(5).key())
    world.lose_ledger()
    report = world.rebuild()

    assert report.findings.unlisted_keys == (v1.key(), orders(5).key())
    after = world.answers()
    assert (after["frontier"], after["published"], after["manifests"], after["days"]) == (
        before["frontier"], before["published"], before["manifests"], before["days"]
    )  # fmt: skip
    assert [row[:3] + row[5:] for row in after["objects"]] == [row[:3] + row[5:] for row in before["objects"]]
    assert {row[0]: row[6] is None for row in after["batches"]} == {old: True, gone: True, v2: False}
    assert reopen_lost(world.ledger, world.lake, actor="sweep").is_good
    assert world.drive() == []


def test_a_batch_that_raw_holds_and_a_rolled_back_lake_does_not_is_appended_again_and_not_loaded_again(world):
    kept, lost = world.load(world.land(orders(0))), world.load(world.land(orders(5), orders(10)))
    world.publish()
    frontier = world.ledger.published_frontier()
    table = world.lake.load_table(changelog_table("orders"))
    table.manage_snapshots().set_current_snapshot(table.snapshots()[0].snapshot_id).commit()
    world.lose_ledger()

    assert world.rebuild().findings.raw_only_batches == (lost,)
    assert (world.ledger.batch(kept).state, world.ledger.batch(lost).state) == (BatchState.LOADED, BatchState.SEALED)
    assert world.ledger.published_frontier() == frontier
    assert world.drive() == [lost]
    assert world.lake_rows() == world.raw_rows()
    assert len(world.raw_rows()) == 15
    assert world.warehouse.scalar("select count(*) from OPS.LOAD_HISTORY") == 2
    assert not world.ledger.is_refresh_due("core")


def test_a_look_writes_nothing_and_a_filled_ledger_is_refused(world):
    world.load(world.land(orders(0)))
    with pytest.raises(ConfigurationError, match="the ledger is not empty"):
        world.rebuild()
    before = world.answers()
    assert not world.rebuild(is_writing=False).is_written
    assert world.answers() == before
    world.lose_ledger()
    assert sum(one.objects for one in world.rebuild(is_writing=False).entities) == 1
    assert world.ledger.is_empty()


class AppendingStore(ObjectStore):
    """A landing bucket during whose listing somebody appends to the lake."""

    world = None

    def list(self, bucket, prefix=""):
        self.world.lake.load_table(changelog_table("orders")).append(self.world.lake.scan("orders"))
        yield from super().list(bucket, prefix)


def test_a_lake_that_moves_meanwhile_is_refused_and_nothing_is_written(world):
    world.load(world.land(orders(0)))
    world.lose_ledger()
    store = AppendingStore(world.sandbox.s3)
    store.world = world
    with pytest.raises(CommitConflict, match=r"somebody still appends.*orders"):
        world.rebuild(store=store)
    assert world.ledger.is_empty()


def test_an_object_with_rows_in_two_batches_is_named_and_given_to_the_first(world):
    first = world.load(world.land(orders(0)))
    rows = world.lake.scan("orders")
    again = rows.set_column(rows.column_names.index("_batch_id"), rows.schema.field("_batch_id"), [["f" * 32] * 5])
    world.lake.append_batch_rows("orders", again, batch_id="f" * 32)
    world.lose_ledger()
    findings = world.rebuild().findings
    with world.ledger.transaction() as connection:
        held = connection.execute("select object_id, batch_id from ledger.object").fetchall()
    assert [batch_id for _, batch_id in held] == [first]
    assert findings.doubled_objects == (held[0][0],)
    refuse_lost_ledger(world.ledger, world.lake)
    assert reopen_lost(world.ledger, world.lake, actor="sweep").is_good


def test_killed_in_the_middle_it_wrote_nothing_and_the_next_run_restores_all(world):
    filled(world)
    before = world.answers()
    world.lose_ledger()
    command = [sys.executable, "-m", "slackwater.cli", "ledger", "rebuild", "--json"]
    environment = {**os.environ, **world.sandbox.env}
    with connect(world.sandbox.ledger.dsn) as blocker:
        blocker.execute("lock table ledger.refresh_batch in access exclusive mode")  # the last table but one it fills
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: "refresh_batch" in waiting_statement(world))
        finally:
            running.kill()
            running.wait()
            running.stdout.close()
    wait_until(lambda: waiting_statement(world) == "")
    assert {name: rows for name, rows in world.answers().items() if rows} == {}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["is_written"] is True
    after = world.answers()
    assert (after["objects"], after["batches"], after["frontier"]) == (
        before["objects"], before["batches"], before["frontier"]
    )  # fmt: skip
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (again.returncode, "the ledger is not empty" in again.stderr) == (1, True)


def waiting_statement(world):
    """Return the statement of the ledger session that is under way in the sandbox's database, empty without one."""
    with connect(world.sandbox.ledger.dsn, autocommit=True, application_name="watcher") as connection:
        row = connection.execute(
            "select query from pg_stat_activity where datname = current_database() and state <> 'idle'"
            " and application_name = 'slackwater-ledger' and query ilike '%copy ledger%'"
        ).fetchone()
    return row[0] if row else ""


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def test_nobody_works_over_a_lost_ledger_nor_over_one_from_an_old_backup(world):
    refuse_lost_ledger(world.ledger, world.lake)
    world.bench.put_file(orders(0))
    watch = LedgerWatch(world.ledger)
    watch.check()
    world.land(orders(5))
    with world.ledger.transaction() as connection:
        backup = connection.execute("select batch_id from ledger.batch").fetchall()
    assert len(backup) == 1
    newer = world.land(orders(10))
    refuse_lost_ledger(world.ledger, world.lake)
    with world.ledger.transaction() as connection:  # what a backup taken before the last batch would hold
        connection.execute("delete from ledger.object_day")
        connection.execute("delete from ledger.batch_object where batch_id = %s", (newer,))
        connection.execute("delete from ledger.object where batch_id = %s", (newer,))
        connection.execute("delete from ledger.batch where batch_id = %s", (newer,))
    for refuse in (refuse_lost_ledger, lambda ledger, lake: reopen_lost(ledger, lake, actor="sweep")):
        with pytest.raises(ConfigurationError, match=f"does not have, such as {newer}.*slackwater ledger rebuild"):
            refuse(world.ledger, world.lake)
    watch.check()
    world.lake.load_table(changelog_table("orders")).delete(f"_batch_id == '{newer}'")
    refuse_lost_ledger(world.ledger, world.lake)  # what holds no row any more is nothing to lose
    world.lose_ledger()
    with pytest.raises(ConfigurationError, match="held objects and is empty now"):
        watch.check()
    with pytest.raises(ConfigurationError, match="empty but the lake is not"):
        refuse_lost_ledger(world.ledger, world.lake)
    with pytest.raises(ConfigurationError, match="slackwater ledger rebuild"):
        reopen_lost(world.ledger, world.lake, actor="sweep")
