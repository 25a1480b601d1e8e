"""Time travel and rollback of the lake: what main loses is done again, once, and the ledger knows it at once."""

import json
from contextlib import closing
from datetime import datetime

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.iceberg import Lake
from slackwater.entities.model import load_entity, state_columns
from slackwater.errors import CommitConflict, ConfigurationError, IllegalTransition, LeaseHeld, NotKnown
from slackwater.lake.history import BatchDifference, KeyDifference
from slackwater.lake.look_back import compare_snapshots, origin_of_file
from slackwater.lake.rewrite import BRANCH
from slackwater.lake.rollback import create_branch, keeping_lake, remove_branch, roll_back
from slackwater.lake.verify import verify
from slackwater.ledger import folds
from slackwater.ledger.model import BatchState
from slackwater.naming import SNAPSHOT_FOLDED_BATCHES
from slackwater.testing.landing_files import LandingFile

pytestmark = pytest.mark.integration

CHANGES, STATE = "changes.orders", "ecommerce.orders"
AT = datetime.fromisoformat("2010-12-01 08:00")


@pytest.fixture
def back(bench):
    """Roll a table back, for a reason."""

    def run(table, snapshot_id, reason="a damaged file"):
        with bench.keeping() as lease:
            return roll_back(
                ledger=bench.ledger, lake=bench.lake, table=table, snapshot_id=snapshot_id, lease=lease, reason=reason
            )

    return run


def files(count):
    return [LandingFile(first=10 * number) for number in range(count)]


def actions(bench):
    with bench.ledger.transaction() as connection:
        rows = connection.execute("select table_name, action, actor, reason, detail from ledger.lake_action order by 1")
        return rows.fetchall()


def states(bench, batch_ids):
    return [bench.ledger.batch(batch_id).state for batch_id in batch_ids]


ALL_ROWS = [0, 1, 2, 10, 11, 12, 20, 21, 22]


def test_what_a_changelog_loses_is_opened_at_once_and_there_once_after_it_is_driven(bench, back):
    kept, loaded, landed = bench.land(*files(3))
    bench.publish(kept, loaded)
    first, _, head = bench.snapshot_ids(CHANGES)
    done = back(CHANGES, first)
    assert (done.from_id, done.to_id, len(done.lost)) == (head, first, 2)
    assert set(done.reopened) == {loaded, landed}
    assert states(bench, [kept, loaded, landed]) == [BatchState.LOADED, BatchState.SEALED, BatchState.SEALED]
    assert bench.positions() == [0, 1, 2]
    ((table, action, actor, reason, detail),) = actions(bench)
    assert (table, action, reason, detail["from_id"]) == (CHANGES, "rollback", "a damaged file", head)
    assert actor == "test"
    with bench.ledger.transaction() as connection:
        told = connection.execute(
            "select detail ->> 'reason' from ledger.transition where subject_id = %s"
            " order by transition_id desc limit 1",
            (landed,),
        ).fetchone()
    assert told == ("rolled back: a damaged file",)

    for batch_id in (loaded, landed):
        bench.append(batch_id)
    assert bench.positions() == ALL_ROWS
    assert verify(bench.ledger, bench.lake, actor="test", is_reopening=False).is_good


def test_a_rollback_is_refused_where_main_moved_and_the_ledger_is_as_before(bench, module_sandbox):
    _, second = bench.land(*files(2))
    first = bench.snapshot_ids(CHANGES)[0]

    class Overtaken(Lake):
        loads = 0

        def load_table(self, name):
            self.loads += 1
            if self.loads == 2:  # after the look, before the commit
                bench.land(LandingFile(first=50))
            return super().load_table(name)

    with (
        closing(Overtaken(module_sandbox.lake, module_sandbox.s3)) as lake,
        bench.keeping() as lease,
        pytest.raises(CommitConflict, match="branch main has changed"),
    ):
        roll_back(ledger=bench.ledger, lake=lake, table=CHANGES, snapshot_id=first, lease=lease, reason="a test")
    assert (bench.positions(), states(bench, [second])) == ([0, 1, 2, 10, 11, 12, 50, 51, 52], [BatchState.LANDED])
    assert actions(bench) == []


def test_what_cannot_be_rolled_back_is_named(bench, back):
    bench.land(*files(3))
    first, second, head = bench.snapshot_ids(CHANGES)
    assert back(CHANGES, head).lost == ()
    assert actions(bench) == []
    with pytest.raises(NotKnown, match=r"no table 'changes\.nothing'"):
        back("changes.nothing", first)
    with pytest.raises(NotKnown, match="has no snapshot 7"):
        back(CHANGES, 7)
    with pytest.raises(ConfigurationError, match="without a reason"):
        back(CHANGES, first, reason=" ")
    back(CHANGES, first)
    with pytest.raises(NotKnown, match=f"snapshot {second} of changes.orders is no ancestor of main"):
        back(CHANGES, second)
    with (
        bench.keeping(),
        pytest.raises(LeaseHeld, match="another run keeps the lake"),
        keeping_lake(bench.ledger, actor="other"),
    ):
        pass


def test_an_old_snapshot_still_shows_the_old_rows_and_the_difference_is_counted(bench):
    first, second = bench.land(*files(2))
    old, head = bench.snapshot_ids(CHANGES)
    table = bench.lake.load_table(CHANGES)
    assert sorted(table.scan(snapshot_id=old).to_arrow()["_position"].to_pylist()) == [0, 1, 2]
    found = compare_snapshots(bench.lake, CHANGES, old, head)
    assert (found.before_rows, found.after_rows, found.batches) == (3, 6, (BatchDifference(second, 0, 3),))
    assert compare_snapshots(bench.lake, CHANGES, head, old).batches == (BatchDifference(second, 3, 0),)
    table.overwrite(table.scan().to_arrow())  # what compaction does
    rewritten = bench.lake.load_table(CHANGES).current_snapshot().snapshot_id
    assert compare_snapshots(bench.lake, CHANGES, head, rewritten).batches == ()
    assert {one.batch_id for one in compare_snapshots(bench.lake, CHANGES, old, rewritten).batches} == {second}
    assert first != second
    with pytest.raises(NotKnown, match="has no snapshot 7"):
        compare_snapshots(bench.lake, CHANGES, 7, head)


def test_a_branch_is_made_listed_and_dropped_and_mistakes_are_named(bench):
    bench.land(*files(2))
    old, head = bench.snapshot_ids(CHANGES)

    def create(name, snapshot_id=None, table=CHANGES):
        return create_branch(
            ledger=bench.ledger, lake=bench.lake, table=table, branch=name, snapshot_id=snapshot_id, actor="ann"
        )

    def drop(name):
        return remove_branch(ledger=bench.ledger, lake=bench.lake, table=CHANGES, branch=name, actor="ann")

    assert (create("audit", old), create("now")) == (old, head)
    rows = bench.lake.load_table(CHANGES).scan().use_ref("audit").to_arrow()
    assert sorted(rows["_position"].to_pylist()) == [0, 1, 2]
    with pytest.raises(ConfigurationError, match=f"has a branch audit already, at snapshot {old}"):
        create("audit", head)
    with pytest.raises(ConfigurationError, match="the branch rewrite belongs to the rewrites"):
        create(BRANCH)
    with pytest.raises(NotKnown, match="has no snapshot 7"):
        create("other", 7)
    with pytest.raises(NotKnown, match="nothing was written to it"):
        create("other", table=STATE)
    assert drop("audit") == old
    with pytest.raises(NotKnown, match="has no branch audit; it has main, now"):
        drop("audit")
    with pytest.raises(ConfigurationError, match=r"main of changes\.orders is what readers see"):
        drop("main")
    with bench.keeping(), pytest.raises(LeaseHeld):
        drop("now")
    assert [(action, detail["branch"]) for _, action, _, _, detail in actions(bench)] == [
        ("create branch", "audit"),
        ("create branch", "now"),
        ("drop branch", "audit"),
    ]


def test_a_data_file_says_which_batch_brought_it_even_when_it_is_damaged(bench, back):
    first, second = bench.land(*files(2))
    (address,) = bench.lake.files_of_batch("orders", second)
    damage(bench, address)
    found = origin_of_file(bench.lake, address)
    assert (found.table, found.batch_ids, found.is_live, found.problem) == (CHANGES, (second,), True, None)
    assert (found.file.row_count, found.snapshot.parent_id) == (3, bench.snapshot_ids(CHANGES)[0])

    back(CHANGES, found.snapshot.parent_id)
    bench.append(second)
    assert bench.positions() == [0, 1, 2, 10, 11, 12]
    assert not origin_of_file(bench.lake, address).is_live

    table = bench.lake.load_table(CHANGES)
    table.overwrite(table.scan().to_arrow())
    (rewritten,) = bench.lake.files_of_batch("orders", first)
    table = bench.lake.load_table(CHANGES)
    table.maintenance.expire_snapshots().by_ids(bench.snapshot_ids(CHANGES)[:-1]).commit()
    (rewritten,) = [task.file.file_path for task in bench.lake.load_table(CHANGES).scan().plan_files()]
    assert origin_of_file(bench.lake, rewritten).batch_ids == tuple(sorted((first, second)))
    damage(bench, rewritten)
    damaged = origin_of_file(bench.lake, rewritten)
    assert (damaged.batch_ids, f"data file {rewritten} cannot be read" in damaged.problem) == ((), True)
    with pytest.raises(NotKnown, match="lies below no table of the lake"):
        origin_of_file(bench.lake, "s3://elsewhere/data/x.parquet")
    with pytest.raises(NotKnown, match=r"no known snapshot of changes\.orders names"):
        origin_of_file(bench.lake, address)


def damage(bench, address):
    io = bench.lake.load_table(CHANGES).io
    with io.new_output(address).create(overwrite=True) as stream:
        stream.write(b"PAR1 damaged")


def test_the_commands_speak_json_and_name_mistakes(bench, module_sandbox, monkeypatch):
    first, second = bench.land(*files(2))
    old, head = bench.snapshot_ids(CHANGES)
    for name, value in module_sandbox.env.items():
        monkeypatch.setenv(name, value)

    def run(*arguments, exit_code=0):
        done = CliRunner().invoke(app, ["lake", *(str(one) for one in arguments)])
        assert done.exit_code == exit_code, done.output
        return json.loads(done.stdout) if "--json" in arguments else done.output

    listed = run("snapshots", CHANGES, "--json")
    assert [(one["snapshot_id"], one["appended_batches"], one["refs"]) for one in listed] == [
        (head, [second], ["main"]),
        (old, [first], []),
    ]
    assert [(one["is_current"], one["is_ancestor"], one["added_rows"]) for one in listed] == [
        (True, True, 3),
        (False, True, 3),
    ]
    assert first in run("snapshots", CHANGES)
    assert run("diff", CHANGES, old, head, "--json")["batches"] == [
        {"batch_id": second, "before_rows": 0, "after_rows": 3}
    ]
    assert {"name": "audit", "kind": "branch", "snapshot_id": old} in run(
        "branch", CHANGES, "create", "audit", "--snapshot", old, "--json"
    )
    assert "name the branch" in run("branch", CHANGES, "drop", exit_code=1)
    assert "has no branch other" in run("branch", CHANGES, "drop", "other", exit_code=1)
    (address,) = bench.lake.files_of_batch("orders", second)
    assert run("file", address, "--json")["batch_ids"] == [second]
    assert "--reason" in run("rollback", CHANGES, old, exit_code=2)
    assert run("rollback", CHANGES, old, "--reason", "a test", "--json")["reopened"] == [second]
    assert "already" in run("rollback", CHANGES, old, "--reason", "a test")
    assert "the lake has no table 'orders'" in run("snapshots", "orders", exit_code=1)
    assert "no ancestor of main" in run("rollback", CHANGES, head, "--reason", "a test", exit_code=1)


def commit_fold(bench, *batch_ids, keys, note=True):
    """Commit what a fold of these batches would, without Spark: one new row per key; return the snapshot."""
    columns = state_columns(load_entity("orders"))
    place = {"__op": "c", "__source_ts_ms": AT, "__source_lsn": 1, "_object_id": "o", "_epoch": 0, "_position": 0}
    rows = [{"id": key, "date": AT.date(), "_source_partition": "p", **place} for key in keys]
    fields = [pa.field(column.name, column.type.arrow, nullable=not column.required) for column in columns]
    table = bench.lake.load_table(STATE)
    properties = {SNAPSHOT_FOLDED_BATCHES: ",".join(batch_ids)}
    table.append(pa.Table.from_pylist(rows, schema=pa.schema(fields)), snapshot_properties=properties)
    snapshot_id = table.current_snapshot().snapshot_id
    with bench.keeping() as lease, bench.ledger.transaction() as connection:
        folds.mark_folded(connection, lease, batch_ids, snapshot_id=snapshot_id if note else None)
    return snapshot_id


def test_lost_folds_are_forgotten_whether_the_ledger_knew_their_snapshot_or_not(bench, back):
    first, second, third = bench.land(*files(3))
    old = commit_fold(bench, first, keys=[1])
    middle = commit_fold(bench, second, keys=[2], note=False)  # told by a later run, which found it committed
    head = commit_fold(bench, third, keys=[3])
    found = compare_snapshots(bench.lake, STATE, old, head)
    assert found.keys == KeyDifference(added=2, changed=0, deleted=0, tombstones_added=0, tombstones_removed=0)
    assert (found.folded, found.before_rows, found.after_rows) == (tuple(sorted((second, third))), 1, 3)
    done = back(STATE, old)
    assert (done.refolded, done.lost, folded(bench, first, second, third)) == (2, (head, middle), {first})
    assert bench.state_rows()["id"].to_pylist() == [1]
    assert [(table, action) for table, action, *_ in actions(bench)] == [(STATE, "rollback")]


def test_folds_of_expired_snapshots_are_not_forgotten_and_purged_batches_cannot_be(bench, back):
    first, second, third = bench.land(*files(3))
    ids = [commit_fold(bench, batch_id, keys=[key]) for key, batch_id in enumerate((first, second, third))]
    bench.lake.load_table(STATE).maintenance.expire_snapshots().by_id(ids[0]).commit()
    with bench.ledger.transaction() as connection:
        connection.execute("update ledger.batch set purged_at = clock_timestamp() where batch_id = %s", (third,))
    with pytest.raises(IllegalTransition, match=f"batch {third} of orders cannot be folded again"):
        back(STATE, ids[1])
    assert bench.lake.load_table(STATE).current_snapshot().snapshot_id == ids[2]
    with bench.ledger.transaction() as connection:
        connection.execute("update ledger.batch set purged_at = null")
    assert back(STATE, ids[1]).refolded == 1
    assert folded(bench, first, second, third) == {first, second}


def folded(bench, *batch_ids):
    with bench.ledger.transaction() as connection:
        rows = connection.execute(
            "select batch_id from ledger.batch where folded_at is not null and batch_id = any(%s)", (list(batch_ids),)
        ).fetchall()
    return {row[0] for row in rows}


# with Spark


@pytest.fixture(scope="module")
def session(module_sandbox):
    return module_sandbox.spark()


@pytest.fixture
def spark_bench(bench, session):
    from spark.jobs import fold_changes

    bench.fold_with = lambda request: fold_changes.run(session, request)
    return bench


@pytest.mark.spark
def test_a_state_table_rolled_back_and_folded_again_has_the_same_content(spark_bench, back):
    bench = spark_bench
    change = LandingFile(first=10).with_row(0, id=1, status="shipped").with_row(1, __op="d", id=2).with_row(2, id=20)
    first, second, third = bench.land(LandingFile(), change, LandingFile(first=30))
    bench.fold(first)
    bench.fold(second)
    assert bench.fold(second).snapshot_id is None
    with bench.ledger.transaction() as connection:  # told by a later run, which found the fold committed
        connection.execute("update ledger.batch set fold_snapshot_id = null where batch_id = %s", (second,))
    bench.fold(third)
    whole = bench.state_rows()
    old, middle, head = bench.snapshot_ids(STATE)

    assert bench.state_rows(snapshot_id=old)["status"].to_pylist() == ["pending"] * 3
    found = compare_snapshots(bench.lake, STATE, old, middle)
    assert found.keys == KeyDifference(added=1, changed=1, deleted=1, tombstones_added=1, tombstones_removed=0)
    assert (found.folded, found.unfolded, found.before_rows, found.after_rows) == ((second,), (), 3, 4)

    done = back(STATE, old)
    assert (done.refolded, done.lost, folded(bench, first, second, third)) == (2, (head, middle), {first})
    assert bench.state_rows()["id"].to_pylist() == [1, 2, 3]
    bench.fold(second, third)
    assert bench.state_rows() == whole
    assert folded(bench, first, second, third) == {first, second, third}
