"""A batch older than the lake's snapshot retention, driven again: found by its rows, loaded from their files, once."""

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import StoreRejected
from slackwater.ledger.model import BatchState
from slackwater.ledger.store import Ledger
from slackwater.naming import changelog_table
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench, seen
from slackwater.testing.warehouse_path import changelog_rows
from slackwater.warehouse.load import load_batch

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(sandbox):
    lake = Lake(sandbox.lake, sandbox.s3)
    with Ledger(sandbox.ledger.dsn) as ledger:
        yield Bench(ledger, lake, ObjectStore(sandbox.s3), sandbox.landing)
    lake.close()


@pytest.fixture
def warehouse(sandbox):
    with Warehouse(sandbox.warehouse) as opened:
        yield opened


def expire_all_but_main(bench):
    table = bench.lake.load_table(changelog_table("orders"))
    head = table.current_snapshot().snapshot_id
    old = [snapshot.snapshot_id for snapshot in table.snapshots() if snapshot.snapshot_id != head]
    table.maintenance.expire_snapshots().by_ids(old).commit()


def load(bench, warehouse, batch_id):
    lease = bench.ledger.claim_batch(batch_id, actor="test")
    return load_batch(batch_id, ledger=bench.ledger, lake=bench.lake, warehouse=warehouse, lease=lease, actor="test")


def raw(warehouse):
    return warehouse.query("select batch_id, _position from RAW.ORDERS order by _position")


def later_batches(bench, first=100):
    """Two appends after which the older snapshots may go."""
    for number in range(2):
        bench.append(bench.seal("orders", bench.put_file(LandingFile(first=first + 10 * number))))


def test_a_landed_batch_is_loaded_from_the_files_that_hold_its_rows(bench, warehouse):
    batch_id = bench.seal("orders", bench.put_file(LandingFile(count=6, days=3)))
    done = bench.append(batch_id)
    later_batches(bench)
    expire_all_but_main(bench)

    again = bench.append(batch_id)
    assert again.was_already_landed
    assert (again.data_files, len(again.data_files)) == (done.data_files, 3)
    assert load(bench, warehouse, batch_id).row_count == 6
    assert raw(warehouse) == [(batch_id, position) for position in range(6)]


def test_a_batch_whose_ledger_was_never_told_is_held_by_its_rows_and_loaded_once(bench, warehouse):
    good, bad = LandingFile(count=4), LandingFile(first=4, count=2)
    batch_id = bench.seal("orders", bench.put_file(good), bench.put(bad.key(), b"PAR1 cut"))
    bench.append(batch_id)
    with bench.ledger.transaction() as connection:  # as if the process had died before it told the ledger
        connection.execute(
            "update ledger.batch set state = 'sealed', snapshot_id = null, row_count = null, landed_at = null"
        )
        connection.execute("update ledger.batch_object set is_skipped = false, reason = null")
        connection.execute("update ledger.object set state = 'batched'")
    later_batches(bench)
    expire_all_but_main(bench)

    done = bench.append(batch_id)
    assert (done.was_already_landed, done.snapshot_id, done.row_count) == (False, None, 4)
    assert [(item.key, item.reason) for item in done.skipped] == [(bad.key(), "truncated")]
    first, second = load(bench, warehouse, batch_id), load_again(bench, warehouse, batch_id)
    assert (first.was_already_loaded, second.was_already_loaded) == (False, True)
    assert bench.lake.row_count("orders") == 4 + 2 * 3
    assert raw(warehouse) == [(batch_id, position) for position in range(4)]
    assert bench.ledger.batch(batch_id).state == BatchState.LOADED


def load_again(bench, warehouse, batch_id):
    """Load a batch the ledger holds as landed although the warehouse has it."""
    with bench.ledger.transaction() as connection:
        connection.execute("update ledger.batch set state = 'landed', load_seq = null where batch_id = %s", (batch_id,))
    return load(bench, warehouse, batch_id)


def test_a_rewritten_file_of_many_batches_gives_each_only_its_rows(bench, warehouse):
    """What compaction leaves: one file of several batches, whose snapshots are gone."""
    ids = [bench.seal("orders", bench.put_file(LandingFile(first=10 * n, count=3))) for n in range(3)]
    for batch_id in ids:
        bench.append(batch_id)
    table = bench.lake.load_table(changelog_table("orders"))
    table.overwrite(table.scan().to_arrow())
    expire_all_but_main(bench)

    files = {tuple(bench.lake.files_of_batch("orders", batch_id)) for batch_id in ids}
    assert [len(found) for found in files] == [1]
    for number, batch_id in enumerate(ids):
        assert load(bench, warehouse, batch_id).row_count == 3
        assert [row for row in raw(warehouse) if row[0] == batch_id] == [
            (batch_id, 10 * number + index) for index in range(3)
        ]
    assert len(raw(warehouse)) == 9


def test_only_files_with_rows_of_the_batch_are_its_files(bench):
    """The planner sees 16 characters of a batch id: two that begin alike look the same to it."""
    names = ["the-same-beginning-1", "the-same-beginning-2", "the-same-beginning-3"]
    for number, name in enumerate(names):
        source = seen(LandingFile(first=number, count=1))
        bench.lake.append_batch_rows(
            "orders", changelog_rows("orders", [{"id": number}], batch_id=name, source=source), batch_id=name
        )
    expire_all_but_main(bench)
    files = [bench.lake.files_of_batch("orders", name) for name in names]
    assert [len(found) for found in files] == [1, 1, 1]
    assert len({found[0] for found in files}) == 3
    with pytest.raises(StoreRejected, match="holds no row of batch the-same-beginning-4"):
        bench.lake.files_of_batch("orders", "the-same-beginning-4")
