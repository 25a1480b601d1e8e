"""One batch into the lake: once, complete, whatever else happens meanwhile."""

import multiprocessing
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.entities.model import changelog_schema, load_entity
from slackwater.errors import ConfigurationError, LeaseHeld, LeaseLost, StoreRejected, StoreUnavailable
from slackwater.ledger.model import BatchState
from slackwater.ledger.store import Ledger
from slackwater.naming import SNAPSHOT_BATCH_ID, changelog_table
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench

pytestmark = pytest.mark.integration


def bench_of(sandbox, *, lease_seconds=60.0):
    return Bench(
        Ledger(sandbox.ledger.dsn, lease_seconds=lease_seconds),
        Lake(sandbox.lake, sandbox.s3),
        ObjectStore(sandbox.s3),
        sandbox.landing,
    )


@pytest.fixture
def bench(sandbox):
    found = bench_of(sandbox)
    yield found
    found.ledger.close()
    found.lake.close()


def rows_of_batch(bench, batch_id, entity="orders"):
    return sorted(bench.lake.scan(entity, batch_id=batch_id)["_position"].to_pylist())


def changelog(batch_id, positions, entity="orders"):
    """Rows of a batch as the append makes them, without a landing file."""
    file = LandingFile(entity=entity, first=positions[0], count=len(positions))
    schema = changelog_schema(load_entity(entity))
    cast = dict(zip(file.table().column_names, file.table().columns, strict=True))
    table = pa.table({name: cast[name] for name in schema.names if name in cast})
    for name in ("__ts_ms", "__source_ts_ms"):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.timestamp("ms")))
    count = len(positions)
    extra = {
        "_batch_id": [batch_id] * count, "_file_name": ["k"] * count, "_object_id": [f"o{positions[0]}"] * count,
        "_epoch": [0] * count, "_source_partition": ["p"] * count, "_position": list(positions),
    }  # fmt: skip
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values))
    table = table.append_column("date", table["__source_ts_ms"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False))
    return table.select(schema.names).cast(schema)


def test_a_batch_lands_once_however_often_it_is_appended(bench):
    first, second = LandingFile(count=3), LandingFile(first=3, count=2)
    ids = [bench.put_file(first), bench.put(second.key(form="jsonl.gz"), second.jsonl_gz())]
    batch_id = bench.seal("orders", *ids)
    done, again = bench.append(batch_id), bench.append(batch_id)
    assert (done.row_count, done.object_count, done.skipped, done.was_already_landed) == (5, 2, (), False)
    assert (again.row_count, again.data_files, again.was_already_landed) == (5, done.data_files, True)
    rows = bench.lake.scan("orders")
    assert sorted(rows["_position"].to_pylist()) == [0, 1, 2, 3, 4]
    assert rows["_file_name"].to_pylist().count(first.key()) == 3
    assert set(rows["_source_partition"].to_pylist()) == {"shop.orders+0"}
    assert set(rows["_object_id"].to_pylist()) == set(ids)
    assert bench.ledger.batch(batch_id).state == BatchState.LANDED


def test_a_batch_of_several_dates_is_one_snapshot_sorted_by_key_in_each_date(bench):
    file = replace(LandingFile(count=40, days=4), overrides={i: {"id": 1_000 - i} for i in range(40)})
    done = bench.append(bench.seal("orders", bench.put_file(file)))
    assert len(done.data_files) == 4
    assert all(name.startswith("s3://") for name in done.data_files)
    table = bench.lake.load_table(changelog_table("orders"))
    assert len(table.snapshots()) == 1
    rows = bench.lake.scan("orders")
    for day in rows["date"].unique().to_pylist():
        ids = rows.filter(pa.compute.equal(rows["date"], day))["id"].to_pylist()
        assert ids == sorted(ids)


def test_the_files_of_a_batch_are_found_after_later_appends(bench):
    results = [bench.append(bench.seal("orders", bench.put_file(LandingFile(first=10 * n, days=2)))) for n in range(4)]
    for result in results:
        files = bench.lake.files_of_batch("orders", result.batch_id)
        assert tuple(files) == result.data_files
        assert len(files) == 2
    assert len({name for result in results for name in result.data_files}) == 8
    with pytest.raises(StoreRejected, match="holds no row"):
        bench.lake.files_of_batch("orders", "unknown")


def test_a_batch_without_any_row_lands_without_a_snapshot(bench):
    empty = LandingFile(first=7, count=0)
    batch_id = bench.seal("orders", bench.put_file(empty))
    done = bench.append(batch_id)
    assert (done.row_count, done.snapshot_id, done.data_files, done.skipped) == (0, None, (), ())
    assert bench.ledger.batch(batch_id).state == BatchState.LANDED
    assert bench.lake.is_empty()
    assert bench.append(batch_id).was_already_landed


def test_a_batch_of_only_bad_objects_lands_without_rows_and_names_them(bench):
    batch_id = bench.seal("orders", bench.put(LandingFile().key(), b"not parquet"))
    done = bench.append(batch_id)
    assert [(item.key, item.reason) for item in done.skipped] == [(LandingFile().key(), "not_parquet")]
    assert (done.row_count, done.snapshot_id) == (0, None)
    assert bench.lake.is_empty()


def test_another_live_holder_is_left_alone(bench):
    batch_id = bench.seal("orders", bench.put_file(LandingFile()))
    lease = bench.ledger.claim_batch(batch_id, actor="other")
    with pytest.raises(LeaseHeld):
        bench.append(batch_id)
    assert bench.lake.is_empty()
    bench.ledger.release(lease)
    assert bench.append(batch_id).row_count == 3


def test_an_unknown_batch_is_a_clear_error(bench):
    with pytest.raises(ConfigurationError, match="there is no batch"):
        bench.append("unknown")


def test_a_failed_attempt_leaves_its_error_and_no_lease(bench, sandbox):
    batch_id = bench.seal("orders", bench.put_file(LandingFile()))
    away = Bench(bench.ledger, bench.lake, ObjectStore(sandbox.s3.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})),
                 bench.landing)  # fmt: skip
    with pytest.raises(StoreUnavailable):
        away.append(batch_id)
    assert "StoreUnavailable" in bench.ledger.batch(batch_id).last_error
    assert bench.append(batch_id).row_count == 3
    assert bench.ledger.batch(batch_id).last_error is None


def test_killed_between_commit_and_ledger_the_next_attempt_only_finishes(bench):
    good, bad = LandingFile(), LandingFile(first=3)
    ids = [bench.put_file(good), bench.put(bad.key(), b"PAR1 cut")]
    batch_id = bench.seal("orders", *ids)
    bench.ledger.claim_batch(batch_id, actor="killed")
    rows = changelog(batch_id, [0, 1, 2])
    rows = rows.set_column(rows.column_names.index("_object_id"), rows.schema.field("_object_id"),
                           pa.array([ids[0]] * 3))  # fmt: skip
    committed = bench.lake.append_batch_rows("orders", rows, batch_id=batch_id)
    with bench.ledger.transaction() as connection:
        connection.execute("update ledger.batch set leased_until = clock_timestamp() - interval '1 s'")
    # Even when the object is gone by now: the lake holds it, so it is not skipped.
    bench.store.delete(bench.landing.bucket, good.key())
    done = bench.append(batch_id)
    assert (done.snapshot_id, done.row_count, done.was_already_landed) == (committed.snapshot_id, 3, False)
    assert [(item.object_id, item.reason) for item in done.skipped] == [(ids[1], "truncated")]
    assert rows_of_batch(bench, batch_id) == [0, 1, 2]


def test_a_stale_holder_commits_nothing_twice_and_cannot_mark(bench):
    batch_id = bench.seal("orders", bench.put_file(LandingFile()))
    stale = bench.ledger.claim_batch(batch_id, actor="stale")
    with bench.ledger.transaction() as connection:
        connection.execute("update ledger.batch set leased_until = clock_timestamp() - interval '1 s'")
    bench.append(batch_id)
    late = bench.lake.append_batch_rows("orders", changelog(batch_id, [0, 1, 2]), batch_id=batch_id)
    assert late.was_held
    with pytest.raises(LeaseLost):
        bench.ledger.mark_landed(stale, snapshot_id=late.snapshot_id, row_count=3)
    assert rows_of_batch(bench, batch_id) == [0, 1, 2]


def test_a_rolled_back_snapshot_does_not_count_as_held(bench):
    kept = bench.lake.append_batch_rows("orders", changelog("kept", [0]), batch_id="kept")
    bench.lake.append_batch_rows("orders", changelog("undone", [1]), batch_id="undone")
    table = bench.lake.load_table(changelog_table("orders"))
    table.manage_snapshots().set_current_snapshot(kept.snapshot_id).commit()
    assert bench.lake.held("orders", "undone") is None
    assert bench.lake.held("orders", "kept") is not None
    again = bench.lake.append_batch_rows("orders", changelog("undone", [1]), batch_id="undone")
    assert not again.was_held
    assert sorted(bench.lake.scan("orders")["_position"].to_pylist()) == [0, 1]


def test_beyond_snapshot_retention_a_batch_is_held_by_its_rows(bench):
    for number, name in enumerate(["old", "new", "newest"]):
        bench.lake.append_batch_rows("orders", changelog(name, [number]), batch_id=name)
    table = bench.lake.load_table(changelog_table("orders"))
    first = table.snapshots()[0]
    table.maintenance.expire_snapshots().by_id(first.snapshot_id).commit()
    again = bench.lake.append_batch_rows("orders", changelog("old", [0]), batch_id="old")
    assert (again.was_held, again.snapshot_id, again.row_count) == (True, None, 1)
    assert bench.lake.row_count("orders") == 3
    unseen = bench.lake.append_batch_rows("orders", changelog("unseen", [9]), batch_id="unseen")
    assert not unseen.was_held


def test_a_batch_sealed_within_the_kept_history_needs_no_scan(bench):
    bench.lake.append_batch_rows("orders", changelog("a", [0]), batch_id="a")
    kept = bench.lake.append_batch_rows("orders", changelog("b", [1]), batch_id="b")
    table = bench.lake.load_table(changelog_table("orders"))
    committed_at = table.snapshot_by_id(kept.snapshot_id).timestamp_ms
    table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()
    newer = datetime.fromtimestamp(committed_at / 1000, UTC) + timedelta(hours=2)
    assert bench.lake.held("orders", "a", sealed_at=newer) is None  # the caller vouches, so nobody looks
    assert bench.lake.held("orders", "a") is not None


def test_the_summary_names_the_batch_and_the_table_keeps_its_own_retries(bench):
    done = bench.append(bench.seal("orders", bench.put_file(LandingFile())))
    table = bench.lake.load_table(changelog_table("orders"))
    assert table.snapshot_by_id(done.snapshot_id).summary[SNAPSHOT_BATCH_ID] == done.batch_id
    assert table.properties["commit.retry.num-retries"] == "20"
    assert table.format_version == 2


def test_appends_of_many_threads_lose_and_double_nothing(bench, sandbox):
    def work(number):
        lake = Lake(sandbox.lake, sandbox.s3)
        for turn in range(3):
            name = f"b{number}-{turn}"
            lake.append_batch_rows("orders", changelog(name, [10 * number + turn]), batch_id=name, attempts=60)
        lake.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sorted(10 * number + turn for number in range(3) for turn in range(3))
    assert sorted(bench.lake.scan("orders")["_position"].to_pylist()) == expected


def _append_in_child(lake_settings, s3, batch_ids, barrier, queue):
    lake = Lake(lake_settings, s3)
    lake.load_table(changelog_table("orders"))
    for number, batch_id in enumerate(batch_ids):
        barrier.wait()
        rows = changelog(batch_id, [3 * number, 3 * number + 1, 3 * number + 2])
        queue.put((batch_id, lake.append_batch_rows("orders", rows, batch_id=batch_id).was_held))
    lake.close()


def test_of_two_processes_with_the_same_batch_one_commits_its_rows(bench, sandbox):
    context = multiprocessing.get_context("spawn")
    batch_ids = [f"round-{number}" for number in range(5)]
    barrier, queue = context.Barrier(2), context.Queue()
    arguments = (sandbox.lake, sandbox.s3, batch_ids, barrier, queue)
    children = [context.Process(target=_append_in_child, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    found = [queue.get(timeout=120) for _ in range(10)]
    for child in children:
        child.join()
    assert sorted(found) == sorted([(name, held) for name in batch_ids for held in (False, True)])
    assert sorted(bench.lake.scan("orders")["_position"].to_pylist()) == list(range(15))
