"""Main is set back to an earlier snapshot: the batches it lost are found, driven again, and held once everywhere."""

import json

import pytest
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.entities.model import all_entities
from slackwater.errors import ConfigurationError
from slackwater.lake.verify import reopen_lost, verify
from slackwater.landing.sweep import sweep
from slackwater.landing.wiring import Wiring
from slackwater.ledger.model import BatchState
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_BATCH_SEALED, changelog_table
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench, RecordingBus
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


def land(bench, *files):
    """One batch per file, appended in this order."""
    ids = [bench.seal(file.entity, bench.put_file(file)) for file in files]
    for batch_id in ids:
        bench.append(batch_id)
    return ids


def load(bench, warehouse, batch_id):
    lease = bench.ledger.claim_batch(batch_id, actor="test")
    return load_batch(batch_id, ledger=bench.ledger, lake=bench.lake, warehouse=warehouse, lease=lease, actor="test")


def roll_back_to(bench, batch_id, entity="orders"):
    table = bench.lake.load_table(changelog_table(entity))
    target = next(s for s in table.snapshots() if s.summary["slackwater.batch-id"] == batch_id)
    table.manage_snapshots().set_current_snapshot(target.snapshot_id).commit()


def positions(bench, entity="orders"):
    return sorted(bench.lake.scan(entity)["_position"].to_pylist())


def raw_positions(warehouse):
    return [row[0] for row in warehouse.query("select _position from RAW.ORDERS order by _position")]


def states(bench, batch_ids):
    return [bench.ledger.batch(batch_id).state for batch_id in batch_ids]


def set_landed_at(bench, batch_id, offset):
    with bench.ledger.transaction() as connection:
        connection.execute(
            "update ledger.batch set landed_at = clock_timestamp() + %s::interval where batch_id = %s",
            (offset, batch_id),
        )


def files(count):
    return [LandingFile(first=10 * number) for number in range(count)]


ALL_ROWS = [0, 1, 2, 10, 11, 12, 20, 21, 22]


def test_batches_a_rollback_took_are_opened_driven_and_held_once_in_lake_and_raw(bench, warehouse, sandbox):
    kept, loaded, only_landed = land(bench, *files(3))
    load(bench, warehouse, kept)
    load(bench, warehouse, loaded)
    roll_back_to(bench, kept)
    assert positions(bench) == [0, 1, 2]

    found = reopen_lost(bench.ledger, bench.lake, actor="sweep")
    assert set(found.reopened) == {loaded, only_landed}
    assert states(bench, [kept, loaded, only_landed]) == [BatchState.LOADED, BatchState.SEALED, BatchState.SEALED]
    bus = RecordingBus()
    sweep(ledger=bench.ledger, wiring=Wiring.of(sandbox.s3, sandbox.landing), bus=bus, actor="sweep")
    driven = [payload["batch_id"] for event, _, payload, _ in bus.sent if event == EVENT_BATCH_SEALED]
    assert sorted(driven) == sorted([loaded, only_landed])

    for batch_id in driven:
        assert bench.append(batch_id).row_count == 3
        load(bench, warehouse, batch_id)
    assert positions(bench) == ALL_ROWS
    assert raw_positions(warehouse) == ALL_ROWS
    history = dict(warehouse.query("select batch_id, count(*) from OPS.LOAD_HISTORY group by batch_id"))
    assert history == {kept: 1, loaded: 1, only_landed: 1}
    assert reopen_lost(bench.ledger, bench.lake, actor="sweep").is_good


def test_an_intact_lake_opens_nothing_even_when_its_history_was_expired(bench):
    first, second = land(bench, *files(2))
    assert reopen_lost(bench.ledger, bench.lake, actor="sweep").checked_batches == 2
    table = bench.lake.load_table(changelog_table("orders"))
    table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()
    assert reopen_lost(bench.ledger, bench.lake, actor="sweep").checked_batches == 1
    set_landed_at(bench, first, "1 second")  # told late, so that it should be in the known history and is not
    found = reopen_lost(bench.ledger, bench.lake, actor="sweep")
    assert (found.is_good, found.checked_batches, found.reopened) == (True, 2, ())
    assert states(bench, [first, second]) == [BatchState.LANDED] * 2


def test_a_batch_lost_behind_a_later_append_is_found_although_main_moved_on(bench):
    kept, lost = land(bench, *files(2))
    set_landed_at(bench, lost, "-1 minute")  # clocks differ; over a whole history they do not matter
    roll_back_to(bench, kept)
    (later,) = land(bench, LandingFile(first=50))
    assert reopen_lost(bench.ledger, bench.lake, actor="sweep").reopened == (lost,)
    assert states(bench, [kept, lost, later]) == [BatchState.LANDED, BatchState.SEALED, BatchState.LANDED]


def test_a_quarantined_file_that_a_retry_gave_another_batch_stays_there(bench):
    """Driven again, the old batch must not read what it set aside before: the new batch holds it."""
    (kept,) = land(bench, LandingFile(first=100))
    good, bad = LandingFile(), LandingFile(first=3)
    bad_id = bench.put(bad.key(), b"PAR1 cut")
    mixed = bench.seal("orders", bench.put_file(good), bad_id)
    assert [item.object_id for item in bench.append(mixed).skipped] == [bad_id]
    retried = bench.ledger.retry_quarantine(bad_id, actor="test")
    with bench.ledger.transaction() as connection:  # as if its entity file had been corrected: it reads well now
        etag = bench.store.put(bench.landing.bucket, bad.key(), bad.parquet())
        connection.execute("update ledger.object set etag = %s where object_id = %s", (etag, bad_id))
    assert bench.append(retried).row_count == 3
    roll_back_to(bench, kept)

    assert set(reopen_lost(bench.ledger, bench.lake, actor="sweep").reopened) == {mixed, retried}
    assert bench.append(mixed).row_count == 3
    assert bench.append(retried).row_count == 3
    assert positions(bench) == [0, 1, 2, 3, 4, 5, 100, 101, 102]


def test_an_empty_lake_is_reopened_by_a_person_alone(bench):
    (batch_id,) = land(bench, LandingFile())
    bench.lake.load_table(changelog_table("orders")).catalog.drop_table(changelog_table("orders"))
    bench.lake.ensure_tables(all_entities())

    with pytest.raises(ConfigurationError, match="is empty but the ledger has 1 batches there"):
        reopen_lost(bench.ledger, bench.lake, actor="sweep")
    assert states(bench, [batch_id]) == [BatchState.LANDED]
    looked = verify(bench.ledger, bench.lake, actor="cli", is_reopening=False)
    assert ([batch.batch_id for batch in looked.lost], looked.reopened) == ([batch_id], ())
    assert verify(bench.ledger, bench.lake, actor="cli", is_reopening=True).reopened == (batch_id,)
    bench.append(batch_id)
    assert positions(bench) == [0, 1, 2]


def test_rows_deleted_or_doubled_behind_our_back_are_counted_and_named(bench):
    first, second = land(bench, *files(2))
    table = bench.lake.load_table(changelog_table("orders"))
    rows = table.scan().to_arrow()
    table.delete(delete_filter=f"_position == 0 and _batch_id == '{first}'")
    table.append(rows.filter(rows["_batch_id"].combine_chunks().to_numpy(zero_copy_only=False) == second))
    found = verify(bench.ledger, bench.lake, actor="cli", is_reopening=True)
    assert [(d.batch_id, d.expected_rows, d.found_rows) for d in found.different] == [(first, 3, 2), (second, 3, 6)]
    assert found.reopened == ()


def test_the_command_says_what_is_lost_opens_it_when_told_and_fails_otherwise(bench, sandbox, monkeypatch):
    kept, lost = land(bench, *files(2))
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    run = CliRunner()
    assert run.invoke(app, ["ledger", "verify"]).exit_code == 0
    roll_back_to(bench, kept)
    looked = run.invoke(app, ["ledger", "verify", "--json"])
    assert (looked.exit_code, [one["batch_id"] for one in json.loads(looked.stdout)["lost"]]) == (1, [lost])
    assert states(bench, [lost]) == [BatchState.LANDED]
    acted = run.invoke(app, ["ledger", "verify", "--reopen"])
    assert (acted.exit_code, f"{lost}, 3 rows: opened again" in acted.stdout) == (0, True)
    assert states(bench, [lost]) == [BatchState.SEALED]
