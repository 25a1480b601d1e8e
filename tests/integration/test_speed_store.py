"""The feed of ClickHouse: killed and resumed at any point it neither doubles nor loses a row."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from slackwater.clients.clickhouse import SpeedStore, content_token
from slackwater.entities.ddl import CLICKHOUSE_CHANGE_COLUMNS, CLICKHOUSE_DEDUPLICATION_WINDOW
from slackwater.entities.model import all_entities, arrow_schema, load_entity
from slackwater.errors import MalformedObject, StoreRejected, StoreUnavailable

pytestmark = pytest.mark.integration

AT = datetime(2010, 12, 1, 8, 26, 0, 123456)  # noqa: DTZ001 - UTC without a zone, as in the landing files


def _rows(first: int, last: int, *, partition: str = "shop.orders+0", epoch: int = 0, **changed) -> pa.Table:
    row = {
        "user_id": None,
        "status": "pending",
        "total_amount": Decimal("12345678.91"),
        "shipping_address": "Straße 1",
        "created_at": AT,
        "updated_at": AT,
        "__op": "c",
        "__ts_ms": AT,
        "__source_ts_ms": AT,
        "_object_id": "0" * 32,
        "_epoch": epoch,
        "_source_partition": partition,
    } | changed
    made = [row | {"id": p, "__source_lsn": p, "_position": p} for p in range(first, last + 1)]
    return pa.Table.from_pylist(made, schema=arrow_schema(load_entity("orders"), CLICKHOUSE_CHANGE_COLUMNS))


@pytest.fixture
def speed(sandbox):
    with SpeedStore(sandbox.clickhouse) as store:
        yield store


def _count(speed: SpeedStore, condition: str = "1 = 1") -> tuple[int, int]:
    found = speed.query(
        f"select count() as rows, uniqExact(_epoch, _source_partition, _position) as places from orders_changes"
        f" where {condition}"
    )
    (row,) = found.to_pylist()
    return row["rows"], row["places"]


def test_tables_can_be_ensured_again(speed):
    speed.insert_changes("orders", _rows(0, 3))
    speed.ensure_tables(all_entities())
    assert _count(speed) == (4, 4)


def test_values_arrive_exactly(speed):
    speed.insert_changes("orders", _rows(5, 5))
    (row,) = speed.query("select * except (ingested_at) from orders_changes").to_pylist()
    assert row["total_amount"] == Decimal("12345678.91")
    assert row["created_at"] == AT.replace(tzinfo=UTC)
    assert (row["user_id"], row["shipping_address"], row["_position"]) == (None, "Straße 1", 5)


def test_feed_killed_in_the_middle_sends_only_what_is_missing(speed):
    everything = _rows(0, 99)
    speed.insert_changes("orders", everything.slice(0, 37))  # then the process died

    assert speed.insert_changes("orders", everything) == 63
    assert speed.insert_changes("orders", everything) == 0
    assert _count(speed) == (100, 100)


def test_resuming_does_not_depend_on_the_window_of_remembered_tokens(speed):
    first = _rows(0, 9)
    speed.insert_changes("orders", first)
    speed.command("alter table orders_changes modify setting non_replicated_deduplication_window = 3")
    for start in range(10, 15):  # more blocks than are remembered
        speed.insert_changes("orders", _rows(start, start))
    assert CLICKHOUSE_DEDUPLICATION_WINDOW > 3

    assert speed.insert_changes("orders", first) == 0
    assert _count(speed) == (15, 15)


def test_same_position_of_another_partition_or_epoch_is_another_row(speed):
    speed.insert_changes("orders", _rows(0, 4))
    assert speed.insert_changes("orders", _rows(0, 4, partition="shop.orders+1")) == 5
    assert speed.insert_changes("orders", _rows(0, 4, epoch=1)) == 5
    assert _count(speed) == (15, 15)


def test_rows_of_several_partitions_are_resumed_each_by_its_own_range(speed):
    speed.insert_changes("orders", _rows(0, 4))
    both = pa.concat_tables([_rows(0, 9), _rows(0, 9, partition="shop.orders+1")])
    assert speed.insert_changes("orders", both) == 15
    assert _count(speed) == (20, 20)


def test_rows_deleted_since_are_inserted_again_though_their_token_is_remembered(speed):
    rows = _rows(0, 9)
    speed.insert_changes("orders", rows)
    for _ in range(2):
        speed.command("alter table orders_changes delete where _position >= 0 settings mutations_sync = 2")
        assert speed.insert_changes("orders", rows) == 10
        assert _count(speed) == (10, 10)


def test_token_is_of_content_and_not_of_order():
    rows = _rows(0, 9)
    assert content_token(rows) == content_token(rows.sort_by([("_position", "descending")]))
    assert content_token(rows) != content_token(_rows(0, 9, status="shipped"))


def test_empty_feed_inserts_nothing(speed):
    assert speed.insert_changes("orders", _rows(0, 3).slice(0, 0)) == 0


def test_rows_without_a_declared_column_are_refused_by_name(speed):
    with pytest.raises(MalformedObject, match="_position"):
        speed.insert_changes("orders", _rows(0, 1).drop_columns(["_position"]))


def test_refused_statement_is_not_retried_and_names_the_statement(speed):
    with pytest.raises(StoreRejected, match="no_such_table"):
        speed.query("select * from no_such_table")


def test_server_that_does_not_answer_is_a_transient_error(sandbox):
    away = sandbox.clickhouse.model_copy(update={"port": 1})
    with SpeedStore(away) as store, pytest.raises(StoreUnavailable):
        store.query("select 1")


def test_newest_version_wins_and_a_delete_is_marked(speed):
    speed.insert_changes("orders", _rows(1, 1))
    newest = _rows(2, 2, __op="d", status=None).set_column(0, "id", pa.array([1], pa.int64()))
    speed.insert_changes("orders", newest)
    (row,) = speed.query("select id, is_deleted, _position from orders_realtime").to_pylist()
    assert (row["id"], bool(row["is_deleted"]), row["_position"]) == (1, True, 2)
