"""Bytes to rows: both forms, and a reason for everything that cannot be read."""

import gzip

import pyarrow as pa
import pytest

from slackwater.entities.model import load_entity
from slackwater.errors import MalformedObject
from slackwater.landing.reader import parse_object
from slackwater.testing.landing_files import LandingFile, jsonl_gz_bytes, parquet_bytes

ORDERS = load_entity("orders")
FILE = LandingFile(count=3)


def read(data, *, rows=3, is_json=False, entity=ORDERS):
    return parse_object(data, entity=entity, is_json=is_json, expected_rows=rows)


@pytest.mark.parametrize("name", ["users", "products", "orders", "order_items"])
def test_both_forms_give_the_same_rows(name):
    file = LandingFile(entity=name, count=5)
    entity = load_entity(name)
    assert read(file.jsonl_gz(), rows=5, is_json=True, entity=entity).equals(
        read(file.parquet(), rows=5, entity=entity)
    )


def damaged(data):
    middle = len(data) // 3
    return data[:middle] + bytes(40) + data[middle + 40 :]


@pytest.mark.parametrize(
    ("data", "is_json", "reason"),
    [
        (b"", False, "empty"),
        (b"", True, "empty"),
        (b"id,status\n1,pending\n", False, "not_parquet"),
        (FILE.jsonl_gz(), False, "not_parquet"),
        (FILE.parquet()[:-9], False, "truncated"),
        (FILE.parquet()[: len(FILE.parquet()) // 2], False, "truncated"),
        (b"PAR1" + bytes(50) + b"PAR1", False, "corrupt"),
        (FILE.parquet(), True, "not_gzip"),
        (FILE.jsonl_gz()[:-12], True, "truncated"),
        (gzip.compress(b"not json\n"), True, "not_json"),
        (gzip.compress(b'[1, 2]\n'), True, "not_json"),
        (gzip.compress(b'{"id": 1, "id": 2}\n'), True, "not_json"),
        (gzip.compress("{\"id\": \"ö\"}\n".encode("latin-1")), True, "not_json"),
    ],
    ids=[
        "empty", "empty json", "csv", "gzip as parquet", "footer cut", "half", "garbage between marks",
        "parquet as gzip", "gzip cut", "no json", "array", "column twice", "not utf-8",
    ],
)  # fmt: skip
def test_bytes_that_cannot_be_read_have_a_reason(data, is_json, reason):
    with pytest.raises(MalformedObject) as caught:
        read(data, is_json=is_json, rows=1)
    assert caught.value.reason == reason


def test_damage_inside_a_file_is_a_malformed_object_and_no_crash():
    with pytest.raises(MalformedObject):
        read(damaged(LandingFile(count=500).parquet()), rows=500)


@pytest.mark.parametrize("is_json", [False, True])
def test_a_row_count_other_than_the_name_promises_is_refused(is_json):
    data = FILE.jsonl_gz() if is_json else FILE.parquet()
    for promised in (2, 4, 0):
        with pytest.raises(MalformedObject) as caught:
            read(data, rows=promised, is_json=is_json)
        assert caught.value.reason == "row_count_mismatch"


def test_a_file_without_rows_is_legal_where_its_name_says_so():
    nothing = FILE.table().slice(0, 0)
    assert read(parquet_bytes(nothing), rows=0).num_rows == 0
    assert read(parquet_bytes(pa.table({})), rows=0).num_rows == 0
    assert read(jsonl_gz_bytes([]), rows=0, is_json=True).num_rows == 0
    with pytest.raises(MalformedObject):
        read(jsonl_gz_bytes([]), rows=1, is_json=True)


def test_a_json_number_is_no_money():
    rows = [{**row, "total_amount": 12.5} for row in FILE.rows()]
    with pytest.raises(MalformedObject) as caught:
        read(jsonl_gz_bytes(rows), is_json=True)
    assert caught.value.reason == "wrong_type"


def test_a_text_that_looks_like_a_date_stays_text():
    file = FILE.with_row(0, status="2010-12-01").with_row(1, status="2010-12-01").with_row(2, status="2010-12-02")
    assert read(file.jsonl_gz(), is_json=True)["status"].to_pylist() == ["2010-12-01", "2010-12-01", "2010-12-02"]


def test_a_column_missing_from_json_is_missing():
    rows = [{name: value for name, value in row.items() if name != "status"} for row in FILE.rows()]
    with pytest.raises(MalformedObject) as caught:
        read(jsonl_gz_bytes(rows), is_json=True)
    assert caught.value.reason == "missing_column"


def test_a_json_delete_may_hold_only_its_key_beside_full_rows():
    rows = FILE.rows()
    rows[1] = {name: rows[1][name] for name in ("id", "__source_ts_ms", "__source_lsn")} | {"__op": "d"}
    result = read(jsonl_gz_bytes(rows), is_json=True).to_pylist()
    assert result[1]["id"] == 2
    assert result[1]["status"] is None
    assert result[2]["status"] == "pending"
