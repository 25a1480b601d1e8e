"""Headers, errors, refusals and sessions of the HTTP protocol."""

import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_fronts import Front

pytestmark = pytest.mark.contract


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
