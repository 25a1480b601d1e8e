"""Reading and inserting through the unmodified clickhouse-connect clients."""

import asyncio
import datetime as dt
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from contextlib import closing
from decimal import Decimal

import clickhouse_connect
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from clickhouse_connect.driver.external import ExternalData
from clickhouse_fronts import Front, create_orders, orders

pytestmark = pytest.mark.contract


def test_arrow_insert_and_read_keep_exact_values(client: Client) -> None:
    create_orders(client, "orders_arrow")
    summary = client.insert_arrow("orders_arrow", orders(0, 20_000))
    assert summary.written_rows == 20_000
    assert client.query("select count(), sum(total_amount), countIf(status is null) from orders_arrow").result_rows == [
        (20_000, sum((Decimal(i) / 4 for i in range(20_000)), Decimal(0)).quantize(Decimal("0.01")), 10_000)
    ]
    back = client.query_arrow("select * from orders_arrow order by id limit 10")
    assert back.num_rows == 10
    assert back.column("id").to_pylist() == list(range(10))


def test_native_insert_with_python_types(client: Client) -> None:
    client.command(
        "create or replace table kinds"
        " (u UUID, s LowCardinality(String), d Date, n Nullable(Int32)) engine = MergeTree order by u"
    )
    row = (uuid.UUID(int=7), "x", dt.date(2024, 2, 3), None)
    client.insert("kinds", [row], column_names=["u", "s", "d", "n"])
    assert client.query("select * from kinds").result_rows == [row]


def test_raw_insert_of_json_lines_with_zstd(client: Client) -> None:
    client.command("create or replace table lines (a Int64) engine = MergeTree order by a")
    payload = zstandard.compress(b"".join(b'{"a":%d}\n' % n for n in range(5_000)))
    client.raw_insert("lines", ["a"], payload, fmt="JSONEachRow", compression="zstd")
    assert client.query("select count(), max(a) from lines").result_rows == [(5_000, 4_999)]


def test_server_side_parameters(client: Client) -> None:
    query = "select {d:Date} + 1, {s:String}"
    result = client.query(query, parameters={"d": dt.date(2024, 2, 28), "s": "it's"})
    assert result.result_rows == [(dt.date(2024, 2, 29), "it's")]


def test_the_async_client_runs_many_queries_at_once(front: Front, client: Client) -> None:
    create_orders(client, "orders_async")

    async def run() -> list[int]:
        async_client = await clickhouse_connect.get_async_client(host="127.0.0.1", port=front.port, database="speed")
        await async_client.insert_arrow("orders_async", orders(0, 100))
        results = await asyncio.gather(*[async_client.query("select count() from orders_async") for _ in range(20)])
        await async_client.close()
        return [result.result_rows[0][0] for result in results]

    assert asyncio.run(run()) == [100] * 20


def test_external_data_is_visible_to_its_query_only(client: Client) -> None:
    external = ExternalData(file_name="wanted.csv", data=b"1\n2\n", fmt="CSV", structure="a UInt32")
    assert client.query("select sum(a) from wanted", external_data=external).result_rows == [(3,)]
    with pytest.raises(DatabaseError, match="60"):
        client.query("select sum(a) from wanted")


def test_form_encoded_parameters(front: Front) -> None:
    with closing(front.client(form_encode_query_params=True)) as form_client:
        assert form_client.query("select {n:Int32} * 2", parameters={"n": 21}).result_rows == [(42,)]


def test_row_blocks_and_dataframes(client: Client) -> None:
    with client.query_row_block_stream("select number from numbers(100000)") as blocks:
        assert sum(len(block) for block in blocks) == 100_000
    assert client.query_df("select number as n from numbers(10)")["n"].sum() == 45


def test_a_token_makes_a_repeated_insert_one_insert(client: Client) -> None:
    create_orders(client, "tokens", settings="settings non_replicated_deduplication_window = 100")
    for _ in range(3):
        client.insert_arrow("tokens", orders(0, 10), settings={"insert_deduplication_token": "batch-1"})
    assert client.query("select count() from tokens").result_rows == [(10,)]


def test_a_token_does_not_swallow_the_next_insert_of_the_session(client: Client) -> None:
    create_orders(client, "tokens2", settings="settings non_replicated_deduplication_window = 100")
    client.insert_arrow("tokens2", orders(0, 10), settings={"insert_deduplication_token": "batch-1"})
    client.insert_arrow("tokens2", orders(10, 10))
    client.insert_arrow("tokens2", orders(20, 10))
    assert client.query("select count() from tokens2").result_rows == [(30,)]


def test_a_failed_insert_keeps_nothing_and_names_its_code(client: Client) -> None:
    create_orders(client, "failed")
    with pytest.raises(ClickHouseError):
        client.raw_insert("failed", ["id"], b'{"id":1}\n{"id":"x"}\n', fmt="JSONEachRow")
    assert client.query("select count() from failed").result_rows == [(0,)]


@pytest.mark.parametrize(
    "rest",
    ["Transfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n", "Content-Length: 6\r\n\r\n1\n2\n"],
    ids=["chunked", "sized"],
)
def test_a_body_cut_off_in_the_middle_is_not_stored(front: Front, client: Client, rest: str) -> None:
    client.command("create or replace table cut (a Int64) engine = MergeTree order by a")
    query = urllib.parse.quote("insert into speed.cut format CSV")
    with socket.create_connection(("127.0.0.1", front.port)) as raw:
        raw.sendall(f"POST /?query={query} HTTP/1.1\r\nHost: x\r\n{rest}".encode())
    time.sleep(0.3)
    assert client.query("select count() from cut").result_rows == [(0,)]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("insert into speed.heads format CSV", b'1,"a FORMAT b"\n'),
        ("", b"insert into speed.heads (a, `b`) format CSV\n1,x\n"),
        ("insert into speed.heads settings async_insert=0 format JSONEachRow", b'{"a":1,"b":"x"}'),
        ("", b"insert into speed.heads values (1, 'a FORMAT CSV\n')"),
        ("insert into speed.heads select 1, 'format CSV'", b""),
        ("insert into speed.heads values", b"(1, 'x')"),
        ("/* format CSV */ insert into speed.heads format CSV", b"1,x\n"),
    ],
)
def test_the_data_of_an_insert_is_found_however_it_is_written(
    front: Front, client: Client, query: str, body: bytes
) -> None:
    client.command("create or replace table heads (a Int64, b String) engine = MergeTree order by a")
    front.post(body, **({"query": query} if query else {}))
    assert client.query("select count(), sum(a) from heads").result_rows == [(1, 1)]
