"""Every kind of bad input: what the ledger says, that it is named, and that its neighbours are loaded."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.entities.model import CDC_COLUMNS, load_entity
from slackwater.ledger import listings
from slackwater.ledger import status as answers
from slackwater.ledger.store import Ledger
from slackwater.testing.landing_files import LandingFile, parquet_bytes
from slackwater.testing.ledger_bench import Bench

pytestmark = pytest.mark.integration

BAD = LandingFile(first=100)
BEFORE, AFTER = LandingFile(first=97), LandingFile(first=103)
NEIGHBOURS = [97, 98, 99, 103, 104, 105]


@pytest.fixture
def bench(module_sandbox):
    with Ledger(module_sandbox.ledger.dsn) as ledger:
        with ledger.transaction() as connection:
            connection.execute("alter table ledger.transition disable trigger user")
            connection.execute("truncate ledger.object, ledger.batch, ledger.refresh, ledger.transition cascade")
            connection.execute("alter table ledger.transition enable trigger user")
        lake = Lake(module_sandbox.lake, module_sandbox.s3)
        # Dropped, not emptied: a table's history would say that it holds these batches already.
        lake._open().drop_table("changes.orders")
        lake.ensure_tables([load_entity("orders")])
        yield Bench(ledger, lake, ObjectStore(module_sandbox.s3), module_sandbox.landing)
        lake.close()


def with_column(name, values):
    table = BAD.table()
    return parquet_bytes(table.set_column(table.column_names.index(name), name, values))


@dataclass(frozen=True)
class Case:
    reason: str
    data: Callable[[], bytes]


SKIPPED_AT_READING = {
    "truncated Parquet": Case("truncated", lambda: BAD.parquet()[:-20]),
    "not Parquet": Case("not_parquet", lambda: b"id,status\n1,pending\n"),
    "rows of another entity": Case("schema_change", lambda: LandingFile(entity="users", first=100).parquet()),
    "missing column": Case("missing_column", lambda: parquet_bytes(BAD.table().drop_columns(["status"]))),
    "extra column": Case(
        "schema_change", lambda: parquet_bytes(BAD.table().append_column("colour", pa.array(["red"] * 3)))
    ),
    "money as float": Case("wrong_type", lambda: with_column("total_amount", pa.array([1.5, 2.5, 3.5]))),
    "text for a number": Case("wrong_type", lambda: with_column("user_id", pa.array(["1", "2", "x"]))),
    "null key": Case("null_key", lambda: with_column("id", pa.array([1, None, 3], pa.int64()))),
    "unknown operation": Case("bad_op", lambda: with_column("__op", pa.array(["c", "u", "q"]))),
    "fewer rows than the name says": Case("row_count_mismatch", lambda: parquet_bytes(BAD.table().slice(0, 2))),
    "0 rows where the name says 3": Case("row_count_mismatch", lambda: parquet_bytes(BAD.table().slice(0, 0))),
}


@pytest.mark.parametrize("case", SKIPPED_AT_READING.values(), ids=SKIPPED_AT_READING.keys())
def test_a_bad_file_is_quarantined_by_name_and_its_neighbours_land(bench, case):
    ids = [bench.put_file(BEFORE), bench.put(BAD.key(), case.data()), bench.put_file(AFTER)]
    batch_id = bench.seal("orders", *ids)
    done = bench.append(batch_id)
    assert (done.batch_id, done.row_count, done.object_count) == (batch_id, 6, 3)
    assert [(item.object_id, item.reason) for item in done.skipped] == [(ids[1], case.reason)]
    assert sorted(bench.lake.scan("orders")["_position"].to_pylist()) == NEIGHBOURS
    (orders,) = [item for item in answers.status(bench.ledger).entities if item.entity == "orders"]
    assert orders.quarantined == (f"{BAD.key()}: {case.reason}",)
    assert orders.objects == {"batched": 2, "quarantined": 1}
    (named,) = listings.list_quarantine(bench.ledger, entity="orders")
    assert named.message
    assert named.batch_id == batch_id


def test_an_empty_object_is_quarantined_at_once_and_never_opened(bench):
    object_id = bench.put(BAD.key(), b"")
    assert [item.reason for item in listings.list_quarantine(bench.ledger)] == ["empty"]
    assert bench.ledger.seal("orders", [object_id], actor="test") is None


def test_a_file_below_the_wrong_entity_is_quarantined_at_once(bench):
    key = BAD.key().replace("cdc/orders/", "cdc/users/")
    unknown = BAD.key().replace("cdc/orders/", "cdc/carts/")
    bench.put(key, BAD.parquet())
    bench.put(unknown, BAD.parquet())
    found = {item.key: item.reason for item in answers.status(bench.ledger).unplaced}
    assert found == {key: "wrong_entity", unknown: "unknown_entity"}
    assert bench.ledger.open_objects() == []


def test_a_file_without_rows_whose_name_says_so_lands(bench):
    nothing = LandingFile(first=100, count=0)
    ids = [bench.put_file(BEFORE), bench.put_file(nothing)]
    done = bench.append(bench.seal("orders", *ids))
    assert (done.row_count, done.skipped) == (3, ())
    assert listings.list_quarantine(bench.ledger) == ()


def test_a_delete_with_only_the_key_lands_with_nulls(bench):
    table = BAD.with_row(0, __op="d").with_row(1, __op="d").with_row(2, __op="d").table()
    only_key = table.select(["id", *(column.name for column in CDC_COLUMNS)])
    done = bench.append(bench.seal("orders", bench.put(BAD.key(), parquet_bytes(only_key))))
    assert (done.row_count, done.skipped) == (3, ())
    rows = bench.lake.scan("orders")
    assert sorted(rows["id"].to_pylist()) == [101, 102, 103]
    assert rows["status"].null_count == rows["created_at"].null_count == 3


def test_fabricated_values_of_a_delete_become_null(bench):
    file = BAD.with_row(1, __op="d", status="", user_id=0, total_amount=0, shipping_address="")
    bench.append(bench.seal("orders", bench.put_file(file)))
    by_id = {row["id"]: row for row in bench.lake.scan("orders").to_pylist()}
    assert (by_id[102]["status"], by_id[102]["user_id"], by_id[102]["total_amount"]) == (None, None, None)
    assert by_id[101]["status"] == "pending"


def test_the_same_object_again_is_the_same_object(bench):
    object_id = bench.put_file(BAD)
    batch_id = bench.seal("orders", object_id)
    assert bench.put_file(BAD) == object_id
    bench.append(batch_id)
    assert bench.put_file(BAD) == object_id
    assert bench.ledger.open_objects() == []
    assert bench.lake.scan("orders").num_rows == 3


def test_an_object_overwritten_before_it_was_read_is_superseded_and_the_new_one_lands(bench):
    first = bench.put_file(BAD)
    old_batch = bench.seal("orders", first, bench.put_file(BEFORE))
    second = bench.put(BAD.key(), BAD.with_row(0, status="shipped").parquet())
    old, new = bench.append(old_batch), bench.append(bench.seal("orders", second))
    assert [(item.object_id, item.reason) for item in old.skipped] == [(first, "superseded")]
    assert (old.row_count, new.row_count) == (3, 3)
    found = answers.status(bench.ledger)
    (overwritten,) = found.overwritten
    assert (overwritten.former_object_id, overwritten.object_id) == (first, second)
    assert (overwritten.former_state, overwritten.state) == ("superseded", "batched")
    rows = bench.lake.scan("orders").to_pylist()
    assert {row["status"] for row in rows if row["_object_id"] == second} == {"shipped", "pending"}
    assert first not in {row["_object_id"] for row in rows}


def test_an_object_overwritten_after_it_landed_lands_beside_it_and_is_named(bench):
    first = bench.put_file(BAD)
    bench.append(bench.seal("orders", first))
    second = bench.put(BAD.key(), BAD.with_row(0, status="shipped").parquet())
    bench.append(bench.seal("orders", second))
    assert bench.lake.scan("orders").num_rows == 6
    (overwritten,) = answers.status(bench.ledger).overwritten
    assert (overwritten.former_object_id, overwritten.former_state) == (first, "batched")


def test_a_bad_object_replaced_under_its_key_is_out_of_quarantine(bench):
    bad = bench.put(BAD.key(), BAD.parquet()[:-20])
    bench.append(bench.seal("orders", bad))
    good = bench.put_file(BAD)
    bench.append(bench.seal("orders", good))
    assert bench.lake.scan("orders").num_rows == 3
    assert listings.list_quarantine(bench.ledger) == ()
    assert listings.show_quarantine(bench.ledger, bad).item.state == "superseded"


def test_an_object_deleted_before_it_was_read_is_named(bench):
    ids = [bench.put_file(BEFORE), bench.put_file(BAD)]
    batch_id = bench.seal("orders", *ids)
    bench.store.delete(bench.landing.bucket, BAD.key())
    done = bench.append(batch_id)
    assert [(item.object_id, item.reason) for item in done.skipped] == [(ids[1], "missing_object")]
    assert done.row_count == 3


def test_a_key_with_spaces_and_utf8_lands(bench):
    file = LandingFile(first=100, topic="shop ördérs")
    done = bench.append(bench.seal("orders", bench.put_file(file)))
    assert (done.row_count, done.skipped) == (3, ())
    rows = bench.lake.scan("orders")
    assert set(rows["_file_name"].to_pylist()) == {file.key()}
    assert set(rows["_source_partition"].to_pylist()) == {"shop ördérs+0"}


def test_an_object_larger_than_a_batch_may_be_is_not_opened(bench):
    bench.landing = bench.landing.model_copy(update={"batch_max_bytes": 10})
    done = bench.append(bench.seal("orders", bench.put_file(BAD)))
    assert [item.reason for item in done.skipped] == ["too_large"]


def test_a_retry_after_the_repair_lands_in_a_new_batch(bench):
    ids = [bench.put_file(BEFORE), bench.put_file(BAD)]
    batch_id = bench.seal("orders", *ids)
    bench.landing = bench.landing.model_copy(update={"batch_max_bytes": 10})
    bench.append(batch_id)
    assert bench.lake.row_count("orders") == 0
    bench.landing = bench.landing.model_copy(update={"batch_max_bytes": 2**20})
    for object_id in ids:
        new = listings.retry_quarantine(bench.ledger, object_id, actor="ann")
        assert new != batch_id
        assert bench.append(new).row_count == 3
    assert sorted(bench.lake.scan("orders")["_position"].to_pylist()) == [97, 98, 99, 100, 101, 102]
    assert listings.list_quarantine(bench.ledger) == ()
