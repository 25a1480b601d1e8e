"""Stages and COPY."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snowflake.connector.pandas_tools import write_pandas
from snowflake_sessions import (
    MIDNIGHT,
    NOT_NULL,
    STAGE_FILE,
    make_table,
    refusal,
    rows,
)

pytestmark = pytest.mark.contract


def parquet_rows(first: int, count: int) -> pa.Table:
    ids = list(range(first, first + count))
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "total_amount": pa.array([Decimal(i) / 4 for i in ids], pa.decimal128(10, 2)),
            "created_at": pa.array([MIDNIGHT + dt.timedelta(seconds=i) for i in ids], pa.timestamp("us")),
            "note": pa.array([None if i % 2 else f"n{i}" for i in ids]),
        }
    )


def put_parquet(s3: Any, key: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    s3.put_object(Bucket="lake", Key=key, Body=sink.getvalue().to_pybytes())


COPY_TAIL = "file_format=(type=parquet use_logical_type=true) match_by_column_name=case_insensitive"


@pytest.fixture
def lake_stage(s3: Any, connection: Any) -> str:
    s3.create_bucket(Bucket="lake")
    connection.cursor().execute(
        "create or replace stage raw.lake_stage url='s3://lake/wh/'"
        " credentials=(aws_key_id='test' aws_secret_key='test') file_format=(type=parquet)"
    )
    return "@raw.lake_stage"


def test_copy_loads_named_files_of_an_external_stage(s3: Any, connection: Any, lake_stage: str) -> None:
    for n in range(3):
        put_parquet(s3, f"wh/changes.db/orders/data/date=2024-01-01/f{n}.parquet", parquet_rows(n * 100, 100))
    rows(
        connection,
        "create or replace transient table load_b1"
        " (id number, total_amount number(10,2), created_at timestamp_ntz, note string)",
    )
    names = ", ".join(f"'changes.db/orders/data/date=2024-01-01/f{n}.parquet'" for n in range(2))
    loaded = rows(connection, f"copy into load_b1 from {lake_stage} files=({names}) {COPY_TAIL}")
    assert [(line[1], line[3]) for line in loaded] == [("LOADED", 100), ("LOADED", 100)]
    assert rows(
        connection, "select count(*), sum(total_amount), min(created_at), max(created_at), count(note) from load_b1"
    ) == [(200, Decimal(sum(range(200))) / 4, MIDNIGHT, MIDNIGHT + dt.timedelta(seconds=199), 100)]


def test_copy_of_the_same_file_again_is_skipped_and_force_loads_it(s3: Any, connection: Any, lake_stage: str) -> None:
    put_parquet(s3, "wh/again.parquet", parquet_rows(0, 10))
    rows(connection, "create or replace table again (id number, total_amount number(10,2))")
    copy = f"copy into again from {lake_stage} files=('again.parquet') {COPY_TAIL} purge=false force="
    for force, expected in (("false", 10), ("false", 10), ("true", 20)):
        rows(connection, copy + force)
        assert rows(connection, "select count(*) from again") == [(expected,)]
    assert s3.head_object(Bucket="lake", Key="wh/again.parquet")["ContentLength"] > 0


def test_copy_is_all_or_nothing(s3: Any, connection: Any, lake_stage: str) -> None:
    put_parquet(s3, "wh/good.parquet", parquet_rows(0, 10))
    put_parquet(s3, "wh/null.parquet", parquet_rows(0, 10).set_column(0, "id", pa.nulls(10, pa.int64())))
    rows(connection, "create or replace table atomic_copy (id number not null, total_amount number(10,2))")
    copy = f"copy into atomic_copy from {lake_stage} {COPY_TAIL} files="
    assert refusal(connection, f"{copy}('good.parquet', 'null.parquet')").errno == NOT_NULL
    assert refusal(connection, f"{copy}('good.parquet', 'missing.parquet')").errno == STAGE_FILE
    assert rows(connection, "select count(*) from atomic_copy") == [(0,)]
    rows(connection, f"{copy}('good.parquet')")
    assert rows(connection, "select count(*) from atomic_copy") == [(10,)]


def test_the_load_transaction_runs_as_the_loader_writes_it(s3: Any, connection: Any, lake_stage: str) -> None:
    put_parquet(s3, "wh/b1.parquet", parquet_rows(0, 50))
    make_table(connection, "ops_load_lock", "entity string, load_seq number", "('orders', 0)")
    make_table(connection, "ops_load_history", "batch_id string, row_count number")
    make_table(connection, "raw_orders", "id number, total_amount number(10,2), load_seq number")
    rows(connection, "create or replace transient table load_b1_1 (id number, total_amount number(10,2))")
    rows(connection, f"copy into load_b1_1 from {lake_stage} files=('b1.parquet') {COPY_TAIL}")
    cursor = connection.cursor()
    cursor.execute("begin")
    cursor.execute("update ops_load_lock set load_seq = load_seq + 1 where entity = %s", ("orders",))
    assert cursor.rowcount == 1
    assert rows(connection, "select count(*) from ops_load_history where batch_id = %s", ("b1",)) == [(0,)]
    cursor.execute("insert into raw_orders select id, total_amount, %s from load_b1_1", (1,))
    assert cursor.rowcount == 50
    cursor.execute("insert into ops_load_history values (%s, %s)", ("b1", 50))
    cursor.execute("commit")
    cursor.execute("drop table load_b1_1")
    assert rows(connection, "select count(*), max(load_seq) from raw_orders") == [(50, 1)]


def test_put_and_copy_from_an_internal_stage(connection: Any, tmp_path: Path) -> None:
    pq.write_table(parquet_rows(0, 20), tmp_path / "local.parquet")
    rows(connection, "create or replace stage landing")
    rows(connection, f"put file://{tmp_path}/local.parquet @landing/orders/ auto_compress=false")
    rows(connection, "create or replace table from_internal (id number, note string)")
    rows(
        connection,
        "copy into from_internal from @landing/orders/ file_format=(type=parquet)"
        " match_by_column_name=case_insensitive",
    )
    assert rows(connection, "select count(*), count(note) from from_internal") == [(20, 10)]


@pytest.mark.filterwarnings("ignore:is_datetime64tz_dtype")
def test_write_pandas_loads_through_its_quoted_stage(connection: Any) -> None:
    make_table(connection, "FROM_PANDAS", "id number, status string, amount number(10,2)")
    frame = pd.DataFrame({"ID": [1, 2], "STATUS": ["a", "b"], "AMOUNT": [Decimal("1.10"), Decimal("2.20")]})
    succeeded, _, count, _ = write_pandas(connection, frame, "FROM_PANDAS")
    assert (succeeded, count) == (True, 2)
    assert rows(connection, "select sum(amount) from from_pandas") == [(Decimal("3.30"),)]


def test_copy_loads_a_file_whatever_characters_its_key_has(s3: Any, connection: Any, lake_stage: str) -> None:
    key = "a folder=1/año #1?&+%20.parquet"
    put_parquet(s3, f"wh/{key}", parquet_rows(0, 3))
    make_table(connection, "odd_keys", "id number, total_amount number(10,2), created_at timestamp_ntz, note varchar")
    rows(connection, f"copy into odd_keys from {lake_stage} files=('{key}') {COPY_TAIL}")
    assert rows(connection, "select count(*) from odd_keys") == [(3,)]
