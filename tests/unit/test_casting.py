"""Accepted physical forms, exact casts, and the refusals with their reasons."""

from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from slackwater.entities.casting import cast_landing_table
from slackwater.entities.model import CDC_COLUMNS, arrow_schema, load_entity
from slackwater.errors import MalformedObject, SchemaDrift
from slackwater.testing.landing_files import LandingFile

ORDERS = load_entity("orders")
NINE = datetime(2010, 12, 1, 9, 0)  # noqa: DTZ001 - the stores hold UTC without a zone


def orders(count=2):
    return LandingFile(entity="orders", count=count).table()


def with_column(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, values)


def reason_of(table, entity=ORDERS):
    with pytest.raises(MalformedObject) as caught:
        cast_landing_table(entity, table)
    return caught.value.reason


@pytest.mark.parametrize("name", ["users", "products", "orders", "order_items"])
def test_every_entity_is_cast_to_its_declared_schema(name):
    entity = load_entity(name)
    table = LandingFile(entity=name, count=4).table()
    result = cast_landing_table(entity, table.select(list(reversed(table.column_names))))
    assert result.schema == arrow_schema(entity, CDC_COLUMNS)
    assert result["id"].to_pylist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([NINE, None], pa.timestamp("s")),
        pa.array([NINE, None], pa.timestamp("ms")),
        pa.array([NINE, None], pa.timestamp("us")),
        pa.array([NINE, None], pa.timestamp("ns")),
        pa.array([1291194000000000, None], pa.timestamp("us", "UTC")),
        pa.array([1291194000000, None], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([1291194000000, None], pa.int64()),
        pa.array(["2010-12-01T09:00:00", None]),
        pa.array(["2010-12-01 09:00:00.000", None]),
        pa.array(["2010-12-01T09:00:00Z", None]),
        pa.array(["2010-12-01T09:00:00.000000Z", None], pa.large_string()),
        pa.array(["2010-12-01T10:00:00+01:00", None]),
        pa.array(["2010-12-01T09:00:00Z", None]).dictionary_encode(),
    ],
    ids=lambda values: f"{values.type}:{values[0]}",
)
def test_a_time_may_be_a_timestamp_epoch_milliseconds_or_iso_text(values):
    result = cast_landing_table(ORDERS, with_column(orders(), "created_at", values))
    assert result["created_at"].to_pylist() == [NINE, None]


def test_texts_with_and_without_zone_may_be_mixed():
    values = pa.array(["2010-12-01T09:00:00", "2010-12-01T09:00:00Z"])
    result = cast_landing_table(ORDERS, with_column(orders(), "created_at", values))
    assert result["created_at"].to_pylist() == [NINE, NINE]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([Decimal("12.30"), None], pa.decimal128(10, 2)),
        pa.array([Decimal("12.3000"), None], pa.decimal128(20, 4)),
        pa.array([Decimal("12.3"), None], pa.decimal256(40, 1)),
        pa.array(["12.3", None]),
        pa.array(["+12.3000", None]),
    ],
    ids=lambda values: f"{values.type}:{values[0]}",
)
def test_money_may_be_a_decimal_or_a_decimal_text(values):
    result = cast_landing_table(ORDERS, with_column(orders(), "total_amount", values))
    assert result["total_amount"].to_pylist() == [Decimal("12.30"), None]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("total_amount", pa.array([12.5, 1.0])),
        ("total_amount", pa.array([12, 1])),
        ("total_amount", pa.array(["12.345", "1.00"])),
        ("total_amount", pa.array(["1e2", "1.00"])),
        ("total_amount", pa.array(["", "1.00"])),
        ("total_amount", pa.array(["123456789.00", "1.00"])),
        ("total_amount", pa.array([Decimal("0.001"), None], pa.decimal128(10, 3))),
        ("user_id", pa.array(["1", "2"])),
        ("user_id", pa.array([1.0, 2.0])),
        ("user_id", pa.array([2**63, 1], pa.uint64())),
        ("status", pa.array([1, 2])),
        ("status", pa.array([b"a", b"b"])),
        ("status", pa.array([b"\xff", b"b"]).view(pa.string())),
        ("created_at", pa.array(["yesterday", "2010-12-01"])),
        ("created_at", pa.array([1.5, 2.5])),
        ("created_at", pa.array([1, 2], pa.int32())),
        ("created_at", pa.array([1291194000000000, 1], pa.int64())),
        ("created_at", pa.array([1291194000000000001, 1], pa.timestamp("ns"))),
        ("id", pa.array(["1", "2"])),
        ("__source_lsn", pa.array([1.0, 2.0])),
        ("__op", pa.array([1, 2])),
    ],
    ids=lambda item: item if isinstance(item, str) else str(item.type),
)
def test_a_value_that_does_not_fit_exactly_is_refused(column, values):
    assert reason_of(with_column(orders(), column, values)) == "wrong_type"


def test_integers_of_any_width_fit_or_are_refused():
    items = load_entity("order_items")
    table = LandingFile(entity="order_items", count=2).table()
    fits = with_column(table, "quantity", pa.array([5, 2**31 - 1], pa.int64()))
    assert cast_landing_table(items, fits)["quantity"].to_pylist() == [5, 2**31 - 1]
    assert reason_of(with_column(table, "quantity", pa.array([5, 2**31], pa.int64())), items) == "wrong_type"


def test_a_refusal_is_schema_drift_only_where_the_schema_differs():
    with pytest.raises(SchemaDrift):
        cast_landing_table(ORDERS, orders().append_column("colour", pa.array(["red", "red"])))
    with pytest.raises(MalformedObject) as caught:
        cast_landing_table(ORDERS, with_column(orders(), "__op", pa.array(["c", "x"])))
    assert not isinstance(caught.value, SchemaDrift)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (orders().append_column("colour", pa.array(["red", "red"])), "schema_change"),
        (orders().append_column("status", pa.array(["a", "b"])), "schema_change"),
        (orders().drop_columns(["status"]), "missing_column"),
        (orders().drop_columns(["id"]), "missing_column"),
        (orders().drop_columns(["__source_lsn"]), "missing_column"),
        (with_column(orders(), "id", pa.array([1, None], pa.int64())), "null_key"),
        (with_column(orders(), "__source_ts_ms", pa.array([1, None], pa.int64())), "null_key"),
        (with_column(orders(), "__op", pa.array(["c", "x"])), "bad_op"),
        (with_column(orders(), "__op", pa.array(["c", None])), "null_key"),
    ],
    ids=["extra", "twice", "missing", "no key", "no lsn", "null key", "null time of change", "bad op", "null op"],
)
def test_a_file_outside_the_contract_has_a_reason(table, reason):
    assert reason_of(table) == reason


def test_the_deleted_marker_and_a_missing_time_of_capture_are_accepted():
    table = orders().append_column("__deleted", pa.array(["false", "false"])).drop_columns(["__ts_ms"])
    result = cast_landing_table(ORDERS, table)
    assert result["__ts_ms"].null_count == 2
    assert "__deleted" not in result.column_names


def test_a_delete_keeps_its_key_and_loses_fabricated_values():
    fabricated = {"user_id": 0, "status": "", "total_amount": Decimal(0), "shipping_address": "", "__op": "d"}
    table = LandingFile(count=2).with_row(1, **fabricated).table()
    live, deleted = cast_landing_table(ORDERS, table).to_pylist()
    assert live["status"] == "pending"
    assert {name: deleted[name] for name in ORDERS.column_names} == dict.fromkeys(ORDERS.column_names) | {"id": 2}
    assert deleted["__source_lsn"] == 1_001
    assert deleted["__ts_ms"] is not None


def test_a_fabricated_text_that_is_no_time_is_no_error_in_a_delete():
    table = with_column(orders(), "__op", pa.array(["c", "d"]))
    table = with_column(table, "created_at", pa.array(["2010-12-01T09:00:00Z", ""]))
    assert cast_landing_table(ORDERS, table)["created_at"].to_pylist() == [NINE, None]


def test_a_file_of_deletes_may_hold_only_the_key():
    table = with_column(orders(), "__op", pa.array(["d", "d"]))
    only_key = table.select(["id", *(column.name for column in CDC_COLUMNS)])
    assert cast_landing_table(ORDERS, only_key)["id"].to_pylist() == [1, 2]
    mixed = with_column(only_key, "__op", pa.array(["d", "c"]))
    assert reason_of(mixed) == "missing_column"


def test_no_rows_are_cast_to_no_rows():
    assert cast_landing_table(ORDERS, orders(2).slice(0, 0)).num_rows == 0
