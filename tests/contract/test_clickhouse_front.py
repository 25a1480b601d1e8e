"""What the ClickHouse front promises, through the unmodified clickhouse-connect clients and its own process."""

import asyncio
import datetime as dt
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
import zstandard
from child_service import START_SECONDS, ChildService
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from clickhouse_connect.driver.external import ExternalData

pytestmark = pytest.mark.contract

MIDNIGHT = dt.datetime.fromisoformat("2024-01-01")


@dataclass
class Front(ChildService):
    """One front process over a data folder, which can be killed and started again."""

    data: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> "Front":
        command = [sys.executable, "-m", "slackwater.stack.clickhouse_front", "--port", str(self.port)]
        log = self.data.with_suffix(".log")
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), *self.options],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/ping") == (200, b"Ok.\n"):
                    return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the front does not answer:\n{log.read_text()[-3000:]}")

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read()

    def post(self, body: bytes, headers: dict[str, str] | None = None, **parameters: str) -> http.client.HTTPResponse:
        url = f"http://127.0.0.1:{self.port}/?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(url, data=body, headers=headers or {})
        with urllib.request.urlopen(request, timeout=20) as response:
            response.text = response.read().decode()
            return response  # type: ignore[no-any-return]

    def client(self, **options: Any) -> Client:
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **options)


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    running = Front(tmp_path_factory.mktemp("clickhouse") / "data", options=("--max-memory-bytes", "400000000")).start()
    with closing(running.client()) as client:
        client.command("create database speed")
    yield running
    running.stop(signal.SIGKILL)


@pytest.fixture
def client(front: Front) -> Iterator[Client]:
    with closing(front.client(database="speed")) as opened:
        yield opened


def orders(first: int, count: int) -> pa.Table:
    ids = list(range(first, first + count))
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "total_amount": pa.array([Decimal(i) / 4 for i in ids], pa.decimal128(18, 2)),
            "status": pa.array(["pending" if i % 2 else None for i in ids]),
            "updated_at": pa.array([MIDNIGHT + dt.timedelta(seconds=i) for i in ids], pa.timestamp("us")),
        }
    )


def create_orders(client: Client, name: str, *, settings: str = "") -> None:
    client.command(f"drop table if exists {name}")
    client.command(
        f"create table {name}"
        " (id Int64, total_amount Decimal(18, 2), status Nullable(String), updated_at DateTime64(6))"
        f" engine = MergeTree order by id {settings}"
    )


# --- the clients ------------------------------------------------------------------------------------------------------


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


# --- inserts ----------------------------------------------------------------------------------------------------------


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


# --- protocol ---------------------------------------------------------------------------------------------------------


def test_answers_carry_the_headers_of_clickhouse(front: Front) -> None:
    response = front.post(b"select 1 as a format JSONEachRow", query_id="q-1")
    assert response.text == '{"a":1}\n'  # type: ignore[attr-defined]
    assert response.headers["X-ClickHouse-Query-Id"] == "q-1"
    assert response.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert response.headers["X-ClickHouse-Timezone"] == "UTC"
    assert "read_rows" in response.headers["X-ClickHouse-Summary"]


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [("select * from speed.nope", 404, 60), ("selec 1", 400, 62), ("select 1 from nope.nope", 404, 81)],
)
def test_errors_have_clickhouse_codes(front: Front, sql: str, status: int, code: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        front.post(sql.encode())
    with caught.value:
        assert (caught.value.code, caught.value.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))


def test_an_unknown_setting_is_refused(front: Front) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        front.post(b"select 1", no_such_setting_at_all="1")
    with caught.value:
        assert caught.value.headers["X-ClickHouse-Exception-Code"] == "115"


@pytest.mark.parametrize(
    "ddl",
    [
        "create table speed.bad (a Int32) engine = Kafka settings kafka_broker_list='127.0.0.1:9'",
        "create table speed.bad (a Int32) engine=ReplicatedMergeTree('/x', 'r') order by a",
        "-- why not\ncreate table speed.bad (a Int32) ENGINE = ReplicatedReplacingMergeTree order by a",
        "create table speed.bad (a Int32) engine = `Kafka`",
        "create table speed.bad (a Int32) engine = S3Queue('http://x', 'CSV')",
        "create table speed.bad (a Int32) engine = Distributed('c', 'd', 't')",
        "create table speed.bad on cluster c (a Int32) engine = MergeTree order by a",
        "create user somebody",
        "system shutdown",
    ],
)
def test_definitions_that_would_break_the_engine_are_refused(client: Client, ddl: str) -> None:
    with pytest.raises(ClickHouseError, match="not available in the embedded ClickHouse"):
        client.command(ddl)
    assert client.query("exists table speed.bad").result_rows == [(0,)]


def test_a_column_or_text_that_spells_an_engine_is_fine(client: Client) -> None:
    client.command(
        "create or replace table words (a String default 'engine = Kafka', kafka Int8) engine = MergeTree order by a"
    )
    client.insert("words", [[1]], column_names=["kafka"])
    assert client.query("select a from words").result_rows == [("engine = Kafka",)]


def test_a_query_above_the_memory_limit_fails_and_the_server_lives(client: Client) -> None:
    with pytest.raises(ClickHouseError, match="241"):
        client.query("select length(groupArray(number)) from numbers(200000000)")
    assert client.query("select 1").result_rows == [(1,)]


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_keeps_its_temporary_tables_and_settings(front: Front) -> None:
    for sql in ("create temporary table t (a Int32)", "insert into t values (1)", "set max_block_size = 1234"):
        front.post(sql.encode(), session_id="s1")
    assert front.post(b"select a from t", session_id="s1").text == "1\n"  # type: ignore[attr-defined]
    front.post(b"select 1", session_id="s1", max_block_size="99")
    kept = front.post(b"select getSetting('max_block_size')", session_id="s1")
    assert kept.text == "1234\n"  # type: ignore[attr-defined]


def test_a_session_expires_and_can_be_asked_for(front: Front) -> None:
    front.post(b"create temporary table t (a Int32)", session_id="s2", session_timeout="0.2")
    front.post(b"select 1", session_id="s2", session_check="1", session_timeout="0.2")
    time.sleep(0.4)
    with pytest.raises(urllib.error.HTTPError) as caught:
        front.post(b"select 1", session_id="s2", session_check="1")
    with caught.value:
        assert caught.value.headers["X-ClickHouse-Exception-Code"] == "372"


def test_a_session_runs_one_query_at_a_time(front: Front) -> None:
    slow = threading.Thread(target=lambda: front.post(b"select sleep(1)", session_id="s3"))
    slow.start()
    time.sleep(0.3)
    with pytest.raises(urllib.error.HTTPError) as caught:
        front.post(b"select 1", session_id="s3")
    with caught.value:
        assert caught.value.headers["X-ClickHouse-Exception-Code"] == "373"
    slow.join()


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    running = Front(
        tmp_path_factory.mktemp("guarded") / "data",
        options=("--user", "speed", "--password-env", "FRONT_PASSWORD"),
        environment={"FRONT_PASSWORD": "tide"},
    ).start()
    yield running
    running.stop(signal.SIGKILL)


def test_the_right_password_opens_the_door_from_every_place(guarded: Front) -> None:
    with closing(guarded.client(username="speed", password="tide")) as client:
        assert client.query("select 1").result_rows == [(1,)]
    assert guarded.get("/?query=select+1&user=speed&password=tide") == (200, b"1\n")
    assert guarded.get("/?query=select+1", {"X-ClickHouse-User": "speed", "X-ClickHouse-Key": "tide"}) == (200, b"1\n")
    assert guarded.get("/ping")[0] == 200


@pytest.mark.parametrize("credentials", [{}, {"password": "wrong"}, {"username": "other", "password": "tide"}])
def test_a_wrong_password_is_refused(guarded: Front, credentials: dict[str, str]) -> None:
    with pytest.raises(DatabaseError, match="516"):
        guarded.client(**{"username": "speed", **credentials})
    assert guarded.get("/?query=select+1")[0] == 401


# --- life of the process ----------------------------------------------------------------------------------------------


def test_acknowledged_rows_survive_a_kill(tmp_path: Path) -> None:
    front = Front(tmp_path / "data").start()
    try:
        with closing(front.client()) as client:
            client.command("create table kept (a Int64) engine = MergeTree order by a")
        acknowledged = 0

        def insert_until_killed() -> None:
            nonlocal acknowledged
            with closing(front.client()) as writer:
                while True:
                    try:
                        writer.insert("kept", [[acknowledged + n] for n in range(500)], column_names=["a"])
                    except (ClickHouseError, OSError):
                        return
                    acknowledged += 500

        writing = threading.Thread(target=insert_until_killed)
        writing.start()
        time.sleep(1.0)
        front.stop(signal.SIGKILL)
        writing.join(timeout=20)
        assert acknowledged >= 500
        front.start()
        with closing(front.client()) as client:
            found = client.query("select count() from kept").result_rows[0][0]
            assert acknowledged <= found <= acknowledged + 500  # one insert may be stored and not acknowledged
        assert front.stop(signal.SIGTERM) < 5
        assert front.process is not None
        assert front.process.returncode == 0
    finally:
        front.stop(signal.SIGKILL)


def test_terminate_does_not_wait_for_a_running_query(tmp_path: Path) -> None:
    front = Front(tmp_path / "data").start()

    def endless() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            front.post(b"select count() from numbers(1000000000000) where sipHash64(number) = 1")

    running = threading.Thread(target=endless, daemon=True)
    running.start()
    time.sleep(0.5)
    assert front.stop(signal.SIGTERM) < 8
    running.join(timeout=5)
