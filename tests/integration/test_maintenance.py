"""The upkeep of the lake over the real catalog, store and ledger: what goes, what stays, and that no answer changes."""

import json
from contextlib import closing
from datetime import date, timedelta

import pytest
from lake_engine import engine_of, remove_orphans
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_history import added_files, snapshot_of
from slackwater.clients.iceberg_snapshots import read_history
from slackwater.completeness.ledger_counts import count_ledger
from slackwater.completeness.readers import count_lake
from slackwater.errors import SparkMissing
from slackwater.lake.maintenance import MANIFESTS_WORTH_REWRITING, PurgePlan, TableUpkeep
from slackwater.lake.maintenance_report import as_document, maintenance_markdown, reasons
from slackwater.lake.run_maintenance import maintain
from slackwater.lake.verify import reopen_lost, verify
from slackwater.ledger import purges
from slackwater.ledger.model import BatchState
from slackwater.naming import changelog_table
from slackwater.testing.lake_bench import LakeBench, no_spark, now
from slackwater.testing.landing_files import LandingFile

pytestmark = pytest.mark.integration

CHANGES, STATE = "changes.orders", "ecommerce.orders"
TABLES = (CHANGES, STATE)
LATER = timedelta(days=30)
DAY = date(2010, 12, 1)


@pytest.fixture
def keep(bench, module_sandbox):
    """Do the upkeep, as if so much time had passed; without Spark unless told otherwise."""

    def run(*, later=timedelta(0), is_dry=False, run_spark=no_spark, tables=TABLES):
        def done(lease):
            return maintain(
                ledger=bench.ledger,
                lake=bench.lake,
                settings=module_sandbox.lake,
                now=now() + later,
                lease=lease,
                run_spark=run_spark,
                tables=tables,
            )

        if is_dry:
            return done(None)
        with bench.keeping() as lease:
            return done(lease)

    return run


def of(report, table=CHANGES):
    return next(one for one in report.tables if one.table == table)


def files(count, *, start=0, days=1):
    return [LandingFile(first=start + 10 * number, days=days) for number in range(count)]


def floors(bench):
    with bench.ledger.transaction() as connection:
        return connection.execute(
            "select entity, source_partition, epoch, position from ledger.purged_floor"
        ).fetchall()


def test_expiry_never_takes_a_snapshot_that_an_unloaded_batch_needs(bench, keep):
    first, waiting, last = bench.land(*files(3, days=3))
    bench.publish(first, last)
    ids = bench.snapshot_ids(CHANGES)
    assert of(keep(later=timedelta(days=6))).expiry.expired == ()
    report = keep(later=LATER)
    assert bench.snapshot_ids(CHANGES) == ids[1:]
    assert next(one.reason for one in of(report).expiry.kept) == (
        f"batch {waiting} is not loaded and is loaded from the files it added"
    )
    table = bench.lake.load_table(CHANGES)
    needed = added_files(table, snapshot_of(table, waiting))  # as the load finds them: by the ancestor it wrote
    assert (bench.lake.files_of_batch("orders", waiting), len(needed)) == (list(needed), 3)

    bench.publish(waiting)
    assert of(keep(later=LATER)).expiry.expired == (ids[1],)
    assert bench.positions() == sorted(10 * number + row for number in range(3) for row in range(3))
    assert verify(bench.ledger, bench.lake, actor="test", is_reopening=False).is_good


def test_a_branch_and_a_young_state_outlive_expiry(bench, keep):
    bench.publish(*bench.land(*files(4)))
    ids = bench.snapshot_ids(CHANGES)
    bench.lake.load_table(CHANGES).manage_snapshots().create_branch(ids[0], "audit").commit()
    keep(later=LATER)
    assert bench.snapshot_ids(CHANGES) == [ids[0], ids[3]]


class Overtaken(Lake):
    """A lake of which something else happens between the look at a table and the commit to it."""

    meanwhile = None

    def load_table(self, name):
        table = super().load_table(name)
        if self.meanwhile is not None:
            action, self.meanwhile = self.meanwhile, None
            action()
        return table


def test_an_append_whose_snapshot_expires_under_it_is_committed_once(bench, keep, module_sandbox):
    bench.publish(*bench.land(*files(2)))
    base = bench.snapshot_ids(CHANGES)[-1]
    (late,) = [bench.seal("orders", bench.put_file(LandingFile(first=100)))]

    def meanwhile():
        bench.publish(*bench.land(LandingFile(first=50)))
        keep(later=LATER)
        assert base not in bench.snapshot_ids(CHANGES)

    with closing(Overtaken(module_sandbox.lake, module_sandbox.s3)) as lake:
        lake.meanwhile = meanwhile
        done = LakeBench(bench.ledger, lake, bench.store, bench.landing).append(late)
    assert (done.row_count, bench.positions()) == (3, [0, 1, 2, 10, 11, 12, 50, 51, 52, 100, 101, 102])
    assert verify(bench.ledger, bench.lake, actor="test", is_reopening=False).is_good


def test_a_purge_takes_old_rows_writes_the_floor_and_is_no_loss(bench, keep):
    old, unpublished, young = bench.land(*files(3, days=2))
    bench.publish(old, young)
    bench.age(100, old, unpublished)
    bench.age(80, young)
    report = of(keep())
    assert (report.purged.batch_ids, report.purged.row_count, len(report.purged.files)) == ((old,), 3, 2)
    assert report.purged.rows_by_day == {DAY: 2, DAY + timedelta(days=1): 1}
    assert bench.positions() == [10, 11, 12, 20, 21, 22]
    assert floors(bench) == [("orders", "shop.orders+0", 0, 2)]
    assert read_history(bench.lake, CHANGES).snapshots[-1].purge_id is not None

    found = verify(bench.ledger, bench.lake, actor="test", is_reopening=True)
    assert (found.is_good, found.checked_batches, found.reopened) == (True, 2, ())
    assert reopen_lost(bench.ledger, bench.lake, actor="test").reopened == ()
    assert bench.ledger.batch(old).state is BatchState.LOADED
    assert count_ledger(bench.ledger).committed == count_lake(bench.lake)
    assert not count_ledger(bench.ledger).lacks_days
    assert of(keep()).purged.files == ()  # a second run finds nothing more


def test_rows_are_not_purged_before_their_fold_is_older_than_any_snapshot_it_could_be_rolled_back_to(bench, keep):
    (old,) = bench.land(*files(1))
    bench.publish(old)
    bench.age(100, old)
    with bench.ledger.transaction() as connection:
        connection.execute("update ledger.batch set folded_at = clock_timestamp() - interval '6 days'")
    assert of(keep()).purged.files == ()
    assert of(keep(later=timedelta(days=2))).purged.batch_ids == (old,)


def test_a_file_below_the_floor_is_too_late_and_one_above_it_is_not(bench, keep):
    (old,) = bench.land(LandingFile(first=10))
    bench.publish(old)
    bench.age(100, old)
    keep()
    late = bench.put_file(LandingFile(first=5, count=8))
    after = bench.put_file(LandingFile(first=12, count=2))
    elsewhere = bench.put_file(LandingFile(first=5, topic="other"))
    with bench.ledger.transaction() as connection:
        found = dict(connection.execute("select object_id, coalesce(reason, state) from ledger.object").fetchall())
        told = connection.execute("select message from ledger.object where object_id = %s", (late,)).fetchone()[0]
    assert (found[late], found[after], found[elsewhere]) == ("too_late", "seen", "seen")
    assert "positions 5 to 12 of shop.orders+0 came after everything up to 12 was purged" in told
    newer_source = bench.landing.model_copy(update={"epoch": 1})
    again = LakeBench(bench.ledger, bench.lake, bench.store, newer_source).put_file(LandingFile(first=0, count=2))
    assert again in {one.object_id for one in bench.ledger.open_objects("orders")}
    retried = bench.ledger.retry_quarantine(late, actor="test")  # a person may let it in
    assert bench.append(retried).row_count == 8


def test_a_rewritten_file_with_a_younger_batch_in_it_stays_whole(bench, keep):
    old, young = bench.land(*files(2))
    bench.publish(old, young)
    table = bench.lake.load_table(CHANGES)
    table.overwrite(table.scan().to_arrow())
    bench.age(100, old)
    report = of(keep())
    assert (report.purged.files, report.purged.kept_files, len(bench.positions())) == ((), 1, 6)
    bench.age(100, young)
    assert of(keep()).purged.batch_ids == tuple(sorted((old, young)))
    assert bench.positions() == []


def test_a_purge_killed_before_or_after_its_commit_is_counted_once(bench, keep):
    old, other, young = bench.land(*files(3))
    bench.publish(old, other, young)
    bench.age(100, old)
    planned = of(keep(is_dry=True)).purged
    with bench.keeping() as lease, bench.ledger.transaction() as connection:
        purges.note_purge(connection, lease, "orders", planned)  # killed before the commit
    assert purged(bench) == {}
    assert verify(bench.ledger, bench.lake, actor="test", is_reopening=False).is_good
    keep()
    assert purged(bench) == {("orders", DAY): 3}

    bench.age(100, other)
    keep()
    with bench.ledger.transaction() as connection:  # killed after the commit
        connection.execute("update ledger.purge set done_at = null")
    assert purged(bench) == {}
    keep()
    assert purged(bench) == {("orders", DAY): 6}
    assert count_ledger(bench.ledger).committed == count_lake(bench.lake)


def purged(bench):
    with bench.ledger.transaction() as connection:
        return purges.purged_rows(connection)


def test_a_tombstone_stays_while_a_file_from_before_it_is_on_its_way(bench):
    (deleting,) = bench.land(LandingFile(first=100))
    bench.publish(deleting)
    bench.age(100, deleting)
    (object_id,) = [item.object_id for item in bench.ledger.batch(deleting).objects]

    def buried():
        before = now() - timedelta(days=90)
        with bench.ledger.transaction() as connection:
            return purges.buried_objects(connection, "orders", [object_id], folded_before=before)

    assert buried() == (object_id,)
    bench.put_file(LandingFile(first=200))  # after it: nothing to wait for
    assert buried() == (object_id,)
    early = bench.put_file(LandingFile(first=0))
    assert buried() == ()
    batch_id = bench.seal("orders", early)
    assert buried() == ()
    bench.append(batch_id)
    assert buried() == ()
    bench.age(0, batch_id)  # folded now
    assert buried() == (object_id,)


def test_without_java_the_rest_is_done_and_the_report_says_what_was_left_out(bench, keep):
    def missing(_):
        raise SparkMissing("no Java here")

    bench.publish(*bench.land(*files(3)))
    report = keep(later=LATER, run_spark=missing)
    assert len(bench.snapshot_ids(CHANGES)) == 1
    assert reasons(report)[-1] == (
        "left out: tombstones, manifests, statistics and files without a snapshot: no Java here"
    )


def test_the_command_waits_for_nobody(bench, module_sandbox, monkeypatch):
    for name, value in module_sandbox.env.items():
        monkeypatch.setenv(name, value)
    with bench.keeping():
        refused = CliRunner().invoke(app, ["lake", "maintain"])
    assert (refused.exit_code, "another run keeps the lake" in refused.stderr) == (1, True)


# with Spark


@pytest.fixture(scope="module")
def session(module_sandbox):
    return module_sandbox.spark()


@pytest.fixture
def spark_bench(bench, session):
    from spark.jobs import fold_changes

    bench.fold_with = lambda request: fold_changes.run(session, request)
    return bench


@pytest.fixture
def run_spark(session):
    """Do Spark's part; files are as old as the store says, so the time of the orphans is never moved on."""
    return engine_of(session).maintain


def put_orphan(bench, table, name="left-behind.parquet"):
    loaded = bench.lake.load_table(table)
    address = f"{loaded.location()}/data/{name}"
    with loaded.io.new_output(address).create() as stream:
        stream.write(b"1234567")
    return address


def exists(bench, address):
    return bench.lake.load_table(CHANGES).io.new_input(address).exists()


def everything(bench):
    """What a dry run could have changed: metadata files, objects in the store, the ledger's rows."""
    tables = [bench.lake.load_table(name) for name in TABLES]
    with bench.ledger.transaction() as connection:
        rows = [
            connection.execute(f"select * from ledger.{name} order by 1").fetchall()
            for name in ("batch", "purge", "purged_floor", "lake_action", "transition")
        ]
    listed = [sorted(one.path for one in _listed(table)) for table in tables]
    return [table.metadata_location for table in tables], listed, rows


def _listed(table):
    from pyarrow.fs import FileSelector

    _, netloc, path = table.io.parse_location(table.location())
    return table.io.fs_by_scheme("s3", netloc).get_file_info(FileSelector(path, recursive=True))


@pytest.mark.spark
def test_a_dry_run_changes_nothing_and_says_what_the_real_one_then_does(spark_bench, keep, run_spark):
    bench = spark_bench
    delete = LandingFile(first=100).with_row(0, __op="d", id=1).with_row(1, __op="d", id=2).with_row(2, id=3)
    first, deleting, recent = bench.land(
        LandingFile(count=4), delete, LandingFile(first=200, count=1).with_row(0, id=9)
    )
    bench.fold(first, deleting)
    bench.fold(recent)
    bench.publish(first, deleting, recent)
    bench.age(100, first, deleting)
    orphan = put_orphan(bench, STATE)
    before = everything(bench)

    looked = keep(is_dry=True, run_spark=run_spark, later=LATER)
    assert everything(bench) == before
    assert (of(looked).purged.row_count, len(of(looked).expiry.expired)) == (7, 2)
    assert (of(looked, STATE).tombstones, of(looked, STATE).expiry.expired) == (2, (bench.snapshot_ids(STATE)[0],))
    assert "2 tombstones would go" in " ".join(reasons(looked))
    document = json.loads(json.dumps(as_document(looked), default=str))
    assert (document["is_dry"], document["after"], document["tables"][0]["purged"]["row_count"]) == (True, None, 7)

    done = keep(run_spark=run_spark, later=LATER)
    assert [one.spark.error for one in done.tables] == [None, None]
    assert (of(done, STATE).tombstones, of(done, STATE).spark.tombstones) == (2, 2)
    assert [(row["id"], row["__op"]) for row in bench.state_rows().to_pylist()] == [(3, "c"), (4, "c"), (9, "c")]
    assert bench.positions() == [200]
    assert floors(bench) == [("orders", "shop.orders+0", 0, 102)]
    assert exists(bench, orphan)  # written today, whatever the time of the run
    assert "| changes.orders |" in maintenance_markdown(done)
    assert of(done).after.file_count > 0
    assert verify(bench.ledger, bench.lake, actor="test", is_reopening=False).is_good


@pytest.mark.spark
def test_only_files_no_snapshot_names_are_orphans_and_young_ones_are_left(spark_bench, keep, run_spark, session):
    bench = spark_bench
    bench.publish(*bench.land(*files(3)))
    orphan = put_orphan(bench, CHANGES)
    young = of(keep(run_spark=run_spark, is_dry=True)).spark
    assert (young.error, young.orphan_files) == (None, ())

    keep(later=LATER)  # two snapshots expire: their manifest lists are orphans too
    gone = remove_orphans(session, CHANGES, now() + timedelta(minutes=1))
    assert orphan in gone
    assert all(address == orphan or "/metadata/" in address for address in gone)
    assert bench.positions() == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert session.table(CHANGES).count() == 9


@pytest.mark.spark
def test_many_manifests_become_few_and_statistics_are_computed_once(spark_bench, keep, run_spark):
    bench = spark_bench
    bench.land(*files(MANIFESTS_WORTH_REWRITING))
    before = bench.lake.scan("orders").sort_by("_position")
    done = of(keep(run_spark=run_spark)).spark
    assert (done.error, done.manifests_before, done.manifests_after) == (None, MANIFESTS_WORTH_REWRITING, 1)
    assert done.has_new_statistics
    assert bench.lake.scan("orders").sort_by("_position") == before
    table = bench.lake.load_table(changelog_table("orders"))
    assert [one.snapshot_id for one in table.metadata.statistics] == [table.current_snapshot().snapshot_id]
    assert verify(bench.ledger, bench.lake, actor="test", is_reopening=False).is_good
    again = of(keep(run_spark=run_spark)).spark
    assert (again.has_new_statistics, again.manifests_before, again.manifests_after) == (False, 1, 1)


@pytest.mark.spark
def test_a_table_that_cannot_be_kept_is_named_and_the_others_are_kept(spark_bench, session, run_spark):
    from slackwater.lake.maintenance import MaintainRequest

    spark_bench.land(*files(1))
    session.sql(f"alter table {STATE} set tblproperties ('format-version' = '3')")
    limit = now() - timedelta(days=3)
    request = MaintainRequest(
        tables=(TableUpkeep(table=STATE, orphans_before=limit), TableUpkeep(table=CHANGES, orphans_before=limit)),
        is_dry=False,
    )
    kept = {one.table: one.error for one in run_spark(request).tables}
    assert (kept[CHANGES], kept[STATE]["kind"]) == (None, "ConfigurationError")
    assert "ecommerce.orders is in Iceberg format version 3" in kept[STATE]["message"]


def test_an_empty_plan_purges_nothing():
    assert (PurgePlan((), (), {}, 0).row_count, PurgePlan((), (), {}, 0).size_bytes) == (0, 0)
