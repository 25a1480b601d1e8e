"""What the Snowflake emulator promises, through the unmodified connector and its own process.

Each test says a rule that the loader, dbt or the gate relies on. The emulator proves wiring and these rules; isolation,
access control and exact numeric types of a real account are not verified here.
"""

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import snowflake.connector
from snowflake.connector.errors import DatabaseError
from snowflake.connector.pandas_tools import write_pandas

from slackwater.stack.snowflake_emulator.result_cache import BoundedResultCache

pytestmark = pytest.mark.contract

CONFLICT, DDL_IN_TRANSACTION, ABORTED, UNSUPPORTED = 625, 90230, 90232, 2
NOT_NULL, DUPLICATE_MERGE_ROW, STAGE_FILE = 100072, 100090, 91016
START_SECONDS = 60.0
MIDNIGHT = dt.datetime.fromisoformat("2024-01-01")  # TIMESTAMP_NTZ has no zone


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer:\n{log.read_text()[-3000:]}")


@dataclass
class Emulator:
    """One emulator process over a data folder, which can be killed and started again."""

    data: Path
    s3_url: str = "http://127.0.0.1:9"
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Emulator":
        environment = dict(
            os.environ,
            SLACKWATER_S3_ENDPOINT_URL=self.s3_url,
            SLACKWATER_S3_ACCESS_KEY_ID="test",
            SLACKWATER_S3_SECRET_ACCESS_KEY="test",
            SLACKWATER_S3_REGION="us-east-1",
        )
        command = [sys.executable, "-m", "slackwater.stack.snowflake_emulator", "--port", str(self.port)]
        log = self.data.with_suffix(".log")
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), *self.options], env=environment, stdout=output, stderr=output
            )
        wait_until_answers(f"http://127.0.0.1:{self.port}/health", self.process, log)
        return self

    def stop(self, with_signal: int) -> float:
        """Send a signal and return the seconds until the process was gone."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(with_signal)
        self.process.wait(timeout=15)
        return time.monotonic() - began

    def connect(self, schema: str = "RAW", **options: Any) -> snowflake.connector.SnowflakeConnection:
        return snowflake.connector.connect(
            user="SLACKWATER",
            password="x",
            account="slackwater",
            host="127.0.0.1",
            port=self.port,
            protocol="http",
            database=options.pop("database", "ECOMMERCE_DW"),
            schema=schema,
            network_timeout=30,
            login_timeout=20,
            platform_detection_timeout_seconds=0,  # else it looks for a cloud's metadata service, for seconds
            **options,
        )


def rows(connection: snowflake.connector.SnowflakeConnection, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
    return connection.cursor().execute(sql, params).fetchall()  # type: ignore[union-attr, return-value]


def refusal(connection: snowflake.connector.SnowflakeConnection, sql: str) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        connection.cursor().execute(sql)
    return caught.value


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A ministack process; yields a boto3 client whose endpoint the emulator uses too."""
    folder, port = tmp_path_factory.mktemp("ministack"), free_port()
    log = folder / "ministack.log"
    environment = dict(
        os.environ,
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        S3_PERSIST="1",
        PERSIST_STATE="1",
        S3_DATA_DIR=str(folder / "s3"),
        STATE_DIR=str(folder / "state"),
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
    )
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ministack"))], env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    wait_until_answers(f"{url}/_ministack/health", process, log)
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    yield client
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def emulator(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    options = ("--conflict-wait-seconds", "3", "--disconnect-grace-seconds", "0.3", "--idle-transaction-seconds", "30")
    running = Emulator(
        tmp_path_factory.mktemp("snowflake") / "data", s3_url=s3.meta.endpoint_url, options=options
    ).start()
    yield running
    assert running.process is not None
    running.process.kill()
    running.process.wait()


@pytest.fixture
def connection(emulator: Emulator) -> Iterator[snowflake.connector.SnowflakeConnection]:
    with closing(emulator.connect()) as opened:
        yield opened


def make_table(connection: snowflake.connector.SnowflakeConnection, name: str, columns: str, *values: str) -> None:
    connection.cursor().execute(f"create or replace table {name} ({columns})")
    for value in values:
        connection.cursor().execute(f"insert into {name} values {value}")


# --- transactions -----------------------------------------------------------------------------------------------------


def test_an_error_in_a_transaction_never_loses_earlier_rows_in_silence(connection: Any) -> None:
    make_table(connection, "trap9", "id number")
    rows(connection, "begin")
    rows(connection, "insert into trap9 values (779)")
    refusal(connection, "select no_such_column from trap9")
    assert refusal(connection, "insert into trap9 values (780)").errno == ABORTED
    assert refusal(connection, "select 1").errno == ABORTED
    assert refusal(connection, "commit").errno == ABORTED
    rows(connection, "rollback")
    assert rows(connection, "select count(*) from trap9") == [(0,)]
    rows(connection, "begin")
    rows(connection, "insert into trap9 values (781)")
    rows(connection, "commit")
    assert rows(connection, "select id from trap9") == [(781,)]


def test_outside_a_transaction_an_error_leaves_the_session_usable(connection: Any) -> None:
    make_table(connection, "after_error", "id number", "(1)")
    refusal(connection, "selec 1")
    refusal(connection, "select * from no_such_table")
    assert rows(connection, "select id from after_error") == [(1,)]


def test_rollback_removes_and_commit_keeps(connection: Any) -> None:
    make_table(connection, "tx", "id number")
    rows(connection, "begin transaction")
    rows(connection, "insert into tx values (1)")
    rows(connection, "rollback")
    assert rows(connection, "select count(*) from tx") == [(0,)]
    rows(connection, "begin")
    rows(connection, "insert into tx values (2)")
    rows(connection, "commit")
    assert rows(connection, "select id from tx") == [(2,)]


def test_a_null_timestamp_reaches_the_client_as_null(connection: Any) -> None:
    make_table(connection, "nullable_times", "seen_at timestamp_ntz", "(null), ('2010-12-01 08:26:00.123456')")
    found = rows(connection, "select seen_at from nullable_times order by seen_at nulls first")
    assert found == [(None,), (dt.datetime(2010, 12, 1, 8, 26, 0, 123456),)]  # noqa: DTZ001  # what TIMESTAMP_NTZ is
    assert rows(connection, "select max(seen_at) from nullable_times where 1 = 0") == [(None,)]


def test_begin_may_carry_a_comment_as_dbt_writes_it(connection: Any) -> None:
    make_table(connection, "commented", "id number")
    for sql in ('BEGIN\n/* {"app": "dbt"} */;', "insert into commented values (1)", "/* a */ rollback -- b"):
        rows(connection, sql)
    assert rows(connection, "select count(*) from commented") == [(0,)]


@pytest.mark.parametrize(
    "ddl",
    [
        "create table in_tx (id number)",
        "create or replace view in_tx as select 1 as id",
        "create temporary table in_tx (id number)",
        "alter table ddl_tx add column extra string",
        "drop table ddl_tx",
        "truncate table ddl_tx",
        "create schema in_tx",
        "comment on table ddl_tx is 'x'",
        "create or replace stage in_tx url='s3://lake/'",
    ],
)
def test_ddl_inside_a_transaction_is_refused_and_nothing_of_the_transaction_stays(connection: Any, ddl: str) -> None:
    make_table(connection, "ddl_tx", "id number", "(1)")
    rows(connection, "begin")
    rows(connection, "insert into ddl_tx values (2)")
    assert refusal(connection, ddl).errno == DDL_IN_TRANSACTION
    rows(connection, "rollback")
    assert rows(connection, "select id from ddl_tx") == [(1,)]


def test_a_second_begin_is_refused(connection: Any) -> None:
    rows(connection, "begin")
    assert refusal(connection, "begin").errno == DDL_IN_TRANSACTION
    rows(connection, "rollback")


def test_insert_select_in_a_transaction_reports_its_row_count(connection: Any) -> None:
    make_table(connection, "counted", "id number")
    cursor = connection.cursor()
    rows(connection, "begin")
    cursor.execute("insert into counted select seq4() from table(generator(rowcount => 7))")
    assert cursor.rowcount == 7
    cursor.execute("insert into counted select id from counted where id < 3")
    assert cursor.rowcount == 3
    cursor.execute("update counted set id = 100 where id = 1")
    assert cursor.rowcount == 2
    cursor.execute("delete from counted where id = 100")
    assert cursor.rowcount == 2
    rows(connection, "commit")
    assert rows(connection, "select count(*) from counted") == [(8,)]


def test_a_session_without_autocommit_keeps_rows_only_after_commit(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "manual", "id number")
    with closing(emulator.connect(autocommit=False)) as manual:
        rows(manual, "insert into manual values (1)")
        manual.rollback()
        rows(manual, "insert into manual values (2)")
        assert rows(connection, "select count(*) from manual") == [(0,)]
        assert refusal(manual, "create table never (id number)").errno == DDL_IN_TRANSACTION
        manual.rollback()
        rows(manual, "insert into manual values (3)")
        manual.commit()
    assert rows(connection, "select id from manual") == [(3,)]


def test_autocommit_can_be_switched_off_later(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "switched", "id number")
    with closing(emulator.connect()) as switched:
        switched.autocommit(False)
        rows(switched, "insert into switched values (1)")
        switched.rollback()
    assert rows(connection, "select count(*) from switched") == [(0,)]


# --- concurrency ------------------------------------------------------------------------------------------------------


def test_a_transaction_waits_for_the_row_that_another_one_holds_and_sees_its_commit(
    emulator: Emulator, connection: Any
) -> None:
    make_table(connection, "load_lock", "entity string, load_seq number", "('orders', 0)")
    rows(connection, "begin")
    rows(connection, "update load_lock set load_seq = load_seq + 1 where entity = 'orders'")
    seen: list[tuple[Any, ...]] = []

    def second() -> None:
        with closing(emulator.connect()) as other:
            rows(other, "begin")
            rows(other, "update load_lock set load_seq = load_seq + 1 where entity = 'orders'")
            seen.extend(rows(other, "select load_seq from load_lock"))
            rows(other, "commit")

    waiting = threading.Thread(target=second)
    waiting.start()
    time.sleep(0.5)
    assert seen == []
    rows(connection, "commit")
    waiting.join(timeout=10)
    assert seen == [(2,)]


def test_a_conflict_late_in_a_transaction_is_a_transient_error(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "late", "id number, v number", "(1, 0)")
    with closing(emulator.connect()) as other:
        rows(other, "begin")
        rows(other, "select * from late")
        rows(connection, "update late set v = 1")
        error = refusal(other, "update late set v = 2")
        assert error.errno == CONFLICT
        assert refusal(other, "commit").errno in (CONFLICT, ABORTED)
        rows(other, "rollback")
    assert rows(connection, "select v from late") == [(1,)]


def test_a_row_held_too_long_is_a_transient_error_in_autocommit(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "held", "id number", "(1)")
    rows(connection, "begin")
    rows(connection, "update held set id = 2")
    with closing(emulator.connect()) as other:
        began = time.monotonic()
        assert refusal(other, "update held set id = 3").errno == CONFLICT
        assert 2 < time.monotonic() - began < 10
    rows(connection, "rollback")


def test_concurrent_sessions_lose_nothing(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "shared", "worker number, n number")
    make_table(connection, "counter", "n number", "(0)")
    failures: list[Exception] = []

    def work(worker: int) -> None:
        try:
            with closing(emulator.connect()) as own:
                for n in range(8):
                    rows(own, "insert into shared values (%s, %s)", (worker, n))
                    rows(own, "update counter set n = n + 1")
                    rows(own, f"create or replace table t{worker} as select * from shared")
                    rows(own, "create or replace view same_view as select * from shared")
                    rows(own, "select count(*), sum(n) from shared")
        except Exception as exc:  # noqa: BLE001  # reported by the test itself
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert rows(connection, "select count(*), count(distinct worker) from shared") == [(32, 4)]
    assert rows(connection, "select n from counter") == [(32,)]


def test_a_killed_client_does_not_hold_its_rows(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "orphaned", "id number", "(1)")
    script = (
        "import snowflake.connector as sc, time\n"
        f"c = sc.connect(user='u', password='p', account='a', host='127.0.0.1', port={emulator.port}, protocol='http',"
        " database='ECOMMERCE_DW', schema='RAW')\n"
        "c.cursor().execute('begin'); c.cursor().execute('update orphaned set id = 2'); print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"held\n"
        client.kill()
    rows(connection, "update orphaned set id = 3")
    assert rows(connection, "select id from orphaned") == [(3,)]


def test_the_same_request_sent_twice_runs_once(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "repeated", "id number")
    token = connection.rest.token
    url = f"http://127.0.0.1:{emulator.port}/queries/v1/query-request?requestId=0b7e6c1e-same"
    for _ in range(2):
        request = urllib.request.Request(
            url,
            data=json.dumps({"sqlText": "insert into repeated values (1)"}).encode(),
            headers={"Authorization": f'Snowflake Token="{token}"', "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["success"]
    assert rows(connection, "select count(*) from repeated") == [(1,)]


# --- what is refused, what does nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "create or replace stream s on table refused",
        "create task t warehouse=compute_wh schedule='5 minute' as select 1",
        "create dynamic table d target_lag='1 minute' warehouse=compute_wh as select 1 as a",
        "create iceberg table i (id number) catalog='SNOWFLAKE' external_volume='v' base_location='x'",
        "create pipe p as copy into refused from @s",
        "create materialized view m as select 1 as a",
        "create function f(x number) returns number as 'x*2'",
        "create procedure p() returns string language sql as 'begin return 1; end'",
        "create masking policy mp as (v string) returns string -> '***'",
        "execute immediate 'select 1'",
        "call p()",
        "undrop table refused",
        "remove @some_stage",
        "alter session set timezone = 'Europe/Berlin'",
        "insert all into refused values (1) into refused values (2) select 1",
        "select * from refused at(offset => -60)",
        "select system$clustering_information('refused')",
        "alter table refused swap with other",
        "begin let x := 1; return x; end",
    ],
)
def test_what_the_emulator_cannot_do_is_a_normal_sql_error(connection: Any, sql: str) -> None:
    make_table(connection, "refused", "id number")
    make_table(connection, "other", "id number")
    began = time.monotonic()
    error = refusal(connection, sql)
    assert time.monotonic() - began < 5  # an HTTP 500 would be repeated for minutes
    assert "500" not in str(error.errno)


def test_refused_features_have_one_code(connection: Any) -> None:
    assert refusal(connection, "create stream s on table t").errno == UNSUPPORTED


@pytest.mark.parametrize(
    "sql",
    [
        "create warehouse if not exists compute_wh with warehouse_size='SMALL' auto_suspend=300",
        "-- size\nalter warehouse compute_wh set warehouse_size='MEDIUM'",
        "use warehouse compute_wh",
        "create role if not exists transformer",
        "use role transformer",
        "grant usage on schema raw to role transformer",
        "revoke usage on schema raw from role transformer",
        "create resource monitor rm with credit_quota=10",
        "create storage integration si type=external_stage storage_provider='S3' enabled=true storage_aws_role_arn='a'"
        " storage_allowed_locations=('s3://b/')",
        "alter session set statement_timeout_in_seconds = 60",
        "alter session set timezone = 'UTC'",
        "show grants on table raw.t",
    ],
)
def test_administration_succeeds_without_doing_anything(connection: Any, sql: str) -> None:
    assert connection.cursor().execute(sql).sqlstate in (None, "00000")
    assert rows(connection, "select 1") == [(1,)]


def test_the_query_tag_comes_back(emulator: Emulator) -> None:
    with closing(emulator.connect(session_parameters={"QUERY_TAG": "batch=a1"})) as tagged:
        assert rows(tagged, "show parameters like 'query_tag' in session")[0][1] == "batch=a1"
        rows(tagged, "alter session set query_tag = 'it''s'")
        assert rows(tagged, "show parameters like 'QUERY_TAG' in session")[0][1] == "it's"
        rows(tagged, "alter session unset query_tag")
        assert rows(tagged, "show parameters like 'query_tag' in session")[0][1] == ""


def test_the_session_knows_its_warehouse_and_role(emulator: Emulator) -> None:
    with closing(emulator.connect(warehouse="COMPUTE_WH", role="TRANSFORMER")) as session:
        assert rows(session, "select current_warehouse(), current_role(), 'current_role()'") == [
            ("COMPUTE_WH", "TRANSFORMER", "current_role()")
        ]


# --- SQL --------------------------------------------------------------------------------------------------------------


def test_sums_of_decimals_are_exact(connection: Any) -> None:
    make_table(connection, "money", "amount number(10,2)", "(0.10), (0.20), (0.30)")
    total = rows(connection, "select sum(amount) from money")[0][0]
    assert (total, type(total)) == (Decimal("0.60"), Decimal)
    rows(connection, "create or replace table total as select sum(amount) as total from money")
    assert rows(
        connection, "select data_type, numeric_scale from information_schema.columns where table_name = 'TOTAL'"
    ) == [("NUMBER", 2)]


def test_merge_updates_deletes_and_inserts_and_counts(connection: Any) -> None:
    make_table(connection, "target", "id number, v number", "(1, 1), (2, 2)")
    cursor = connection.cursor()
    cursor.execute(
        """
        merge into target t using
            (select 1 as id, 9 as v, 'd' as op union all select 2, 8, 'u' union all select 3, 7, 'c') s
        on t.id = s.id
        when matched and s.op = 'd' then delete
        when matched then update set t.v = s.v
        when not matched then insert (id, v) values (s.id, s.v)
        """
    )
    assert cursor.fetchall() == [(1, 1, 1)]
    assert cursor.rowcount == 3
    assert rows(connection, "select id, v from target order by id") == [(2, 8), (3, 7)]


def test_merge_refuses_two_source_rows_for_one_target_row(connection: Any) -> None:
    make_table(connection, "target2", "id number, v number", "(1, 1)")
    error = refusal(
        connection,
        "merge into target2 t using (select 1 as id, 2 as v union all select 1, 3) s on t.id = s.id"
        " when matched then update set v = s.v",
    )
    assert error.errno == DUPLICATE_MERGE_ROW
    assert rows(connection, "select v from target2") == [(1,)]


def test_a_typed_ctas_keeps_types_and_not_null_and_the_old_table_when_it_fails(connection: Any) -> None:
    rows(
        connection,
        "create or replace table typed (id number(38,0) not null, a number(10,2), s varchar(20))"
        " as select 1, 2.346, 'x'",
    )
    assert rows(connection, "select id, a, s from typed") == [(1, Decimal("2.35"), "x")]
    assert rows(
        connection,
        "select column_name, is_nullable, data_type, numeric_precision, numeric_scale, character_maximum_length"
        " from information_schema.columns where table_name = 'TYPED' order by ordinal_position",
    ) == [
        ("ID", "NO", "NUMBER", 38, 0, None),
        ("A", "YES", "NUMBER", 10, 2, None),
        ("S", "YES", "TEXT", None, None, 20),
    ]
    assert (
        refusal(connection, "create or replace table typed (id number not null) as select null::number").errno
        == NOT_NULL
    )
    assert rows(connection, "select id from typed") == [(1,)]
    rows(connection, "create or replace table typed (id number not null) as select id + 1 as id from typed")
    assert rows(connection, "select id from typed") == [(2,)]


def test_a_typed_ctas_with_properties_and_a_comment(connection: Any) -> None:
    rows(
        connection,
        "create or replace transient table described (id number not null, s varchar(9))"
        " comment = 'it''s' cluster by (id)"
        " as (select 1, 'x')",
    )
    assert rows(connection, "select comment from information_schema.tables where table_name = 'DESCRIBED'") == [
        ("it's",)
    ]
    rows(connection, "create or replace transient table undescribed (id number) as select 1")
    assert rows(connection, "select comment from information_schema.tables where table_name = 'UNDESCRIBED'") == [
        (None,)
    ]


def test_schema_qualified_temporary_tables_work(connection: Any) -> None:
    rows(connection, "create or replace temporary table ECOMMERCE_DW.RAW.tmp__dbt_tmp as select 1 as id")
    assert rows(connection, "select id from raw.tmp__dbt_tmp") == [(1,)]
    rows(connection, "drop table if exists ECOMMERCE_DW.RAW.tmp__dbt_tmp")


def test_keys_are_declared_and_not_enforced_but_not_null_is(connection: Any) -> None:
    make_table(connection, "parent", "id number not null primary key, u string unique")
    make_table(connection, "child", "id number, parent_id number references parent(id), constraint k unique (id)")
    rows(connection, "insert into parent values (1, 'a'), (1, 'a')")
    rows(connection, "insert into child values (1, 99), (1, 98)")
    assert rows(connection, "select count(*) from parent") == [(2,)]
    assert refusal(connection, "insert into parent values (null, 'b')").errno == NOT_NULL


def test_information_schema_gives_precision(connection: Any) -> None:
    make_table(connection, "precise", "id number, a number(12,4), t timestamp_ntz, s string, d date")
    assert rows(
        connection,
        "select column_name, data_type, numeric_precision, numeric_scale, datetime_precision is not null"
        " from information_schema.columns where table_schema = 'RAW' and table_name = 'PRECISE'"
        " order by ordinal_position",
    ) == [
        ("ID", "NUMBER", 38, 0, False),
        ("A", "NUMBER", 12, 4, False),
        ("T", "TIMESTAMP_NTZ", None, None, True),
        ("S", "TEXT", None, None, False),
        ("D", "DATE", None, None, False),
    ]


def test_insert_overwrite_is_atomic(connection: Any) -> None:
    make_table(connection, "over", "id number not null", "(1)")
    assert refusal(connection, "insert overwrite into over select null").errno == NOT_NULL
    assert rows(connection, "select id from over") == [(1,)]
    rows(connection, "insert overwrite into over select 5")
    assert rows(connection, "select id from over") == [(5,)]


def test_bound_parameters_and_arrow_results(connection: Any) -> None:
    make_table(connection, "bound", "id number, t timestamp_ntz, a number(10,2)")
    moment = dt.datetime.fromisoformat("2024-02-03T04:05:06.789")
    connection.cursor().executemany(
        "insert into bound values (%s, %s, %s)", [(n, moment, Decimal("1.50")) for n in range(3)]
    )
    fetched = connection.cursor().execute("select * from bound order by id").fetch_arrow_all()
    assert fetched.num_rows == 3
    assert rows(connection, "select max(t), sum(a) from bound where id >= %(least)s", {"least": 1}) == [
        (moment, Decimal("3.00"))
    ]


def test_drop_database_removes_it_for_good(emulator: Emulator) -> None:
    with closing(emulator.connect(database="SHORT_LIVED")) as session:
        make_table(session, "t", "id number", "(1)")
    with closing(emulator.connect()) as session:
        rows(session, "drop database if exists short_lived")
        rows(session, "drop database if exists short_lived")
        assert refusal(session, "select * from short_lived.raw.t")
    assert not (emulator.data / "databases" / "SHORT_LIVED.db").exists()


# --- what was run, and what it cost -----------------------------------------------------------------------------------


def history(connection: Any, tag: str) -> list[tuple[Any, ...]]:
    return rows(
        connection,
        "select query_id, query_type, query_text, execution_time, total_elapsed_time from table("
        "information_schema.query_history(end_time_range_start => to_timestamp_ltz('2020-01-01 00:00:00+00:00'),"
        f" result_limit => 10000)) where query_tag = '{tag}' order by start_time",
    )


def operators(connection: Any, query_id: str) -> list[tuple[str, dict[str, Any]]]:
    found = rows(
        connection,
        "select operator_type, operator_statistics, operator_id from"
        f" table(get_query_operator_stats('{query_id}')) order by operator_id",
    )
    return [(kind, json.loads(statistics)) for kind, statistics, _ in found]


def test_the_history_tells_what_a_session_ran_under_its_tag(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "told", "id number", "(1)")
    with closing(emulator.connect(session_parameters={"QUERY_TAG": "told=1"})) as tagged:
        cursor = tagged.cursor()
        cursor.execute("insert into told select 2 /* why */")
        with pytest.raises(DatabaseError):
            cursor.execute("insert into told select nothing from told")
        cursor.execute("create or replace table told_again as select id from told where id > 1")
    inserted, created = history(connection, "told=1")
    assert [inserted[1], created[1]] == ["INSERT", "CREATE_TABLE_AS_SELECT"]
    assert inserted[2] == "insert into told select 2 /* why */"
    assert all(0 <= row[3] <= row[4] for row in (inserted, created))
    assert history(connection, "told=2") == []


def test_operators_tell_rows_read_and_rows_written(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("create or replace table counted as select seq4() as id from table(generator(rowcount => 300000))")
    made = cursor.sfqid
    cursor.execute("delete from counted where id in (7, 8)")
    deleted = cursor.sfqid
    cursor.execute("insert into counted select id from counted where id < 5")
    inserted = cursor.sfqid
    cursor.execute("create or replace table counted (id number not null) as select id from counted where id < 3")
    typed = cursor.sfqid
    cursor.execute(
        "create or replace table counted_twice as with once as (select id from counted qualify row_number() over"
        " (partition by id order by id) = 1) select a.id from once as a inner join once as b on a.id = b.id"
    )
    with_cte = cursor.sfqid
    by_kind = {
        query_id: dict(operators(connection, query_id)) for query_id in (made, deleted, inserted, typed, with_cte)
    }
    assert by_kind[made]["CreateTableAsSelect"]["input_rows"] == 300_000
    assert by_kind[deleted]["Delete"]["dml"] == {"number_of_rows_deleted": 2}
    assert by_kind[inserted]["Insert"]["dml"] == {"number_of_rows_inserted": 5}
    assert by_kind[typed]["CreateTableAsSelect"]["input_rows"] == 6  # 0, 1 and 2, each twice
    assert by_kind[with_cte]["CreateTableAsSelect"]["input_rows"] == 3
    scan = by_kind[deleted]["TableScan"]
    assert 2 < scan["output_rows"] < 300_000  # what was read, not what was kept, and blocks that cannot match are not
    assert 0 < scan["pruning"]["partitions_scanned"] < scan["pruning"]["partitions_total"]


def test_statistics_of_many_statements_in_one_question(connection: Any) -> None:
    cursor, ids = connection.cursor(), []
    make_table(connection, "few", "id number", "(1)", "(2)")
    for number in range(3):
        cursor.execute(f"insert into few select id + {number} from few")
        ids.append(cursor.sfqid)
    asked = " union all ".join(f"select * from table(get_query_operator_stats('{one}'))" for one in ids)
    cursor.execute(
        "select query_id, sum(operator_statistics:dml.number_of_rows_inserted::number) from"
        f" ({asked}) as asked group by query_id"
    )
    assert dict(cursor.fetchall()) == dict(zip(ids, (2, 4, 8), strict=True))


def test_what_the_history_cannot_tell_is_an_error(connection: Any) -> None:
    assert refusal(connection, "select * from table(get_query_operator_stats('01b2'))").errno == 709
    asked = "select * from table(information_schema.query_history(session_id => 1))"
    assert refusal(connection, asked).errno == UNSUPPORTED
    column = "select bytes_scanned from table(information_schema.query_history())"
    assert refusal(connection, column).errno is not None


# --- stages -----------------------------------------------------------------------------------------------------------


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


# --- life of the process ----------------------------------------------------------------------------------------------


def test_committed_rows_and_stages_survive_a_kill_and_open_transactions_do_not(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "data").start()
    try:
        session = emulator.connect()
        make_table(session, "kept", "id number, s varchar(7)", "(1, 'a'), (2, 'b')")
        rows(session, "create stage kept_stage url='s3://lake/wh/'")
        rows(session, "begin")
        rows(session, "insert into kept values (3, 'c')")
        emulator.stop(signal.SIGKILL)
        emulator.start()
        with closing(emulator.connect()) as again:
            assert rows(again, "select id from kept order by id") == [(1,), (2,)]
            assert rows(
                again, "select character_maximum_length from information_schema.columns where column_name = 'S'"
            ) == [(7,)]
            assert "already exists" in str(refusal(again, "create stage kept_stage url='s3://lake/wh/'"))
            rows(again, "insert into kept values (4, 'd')")
        assert emulator.stop(signal.SIGTERM) < 5
        assert emulator.process is not None
        assert emulator.process.returncode == 0
        emulator.start()
        with closing(emulator.connect()) as again:
            assert rows(again, "select count(*) from kept") == [(3,)]
    finally:
        emulator.stop(signal.SIGKILL)


def test_terminate_does_not_wait_for_a_running_statement(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "data").start()
    session = emulator.connect()

    def endless() -> None:
        with pytest.raises(snowflake.connector.errors.Error):
            rows(
                session,
                "select count(*) from table(generator(rowcount => 100000)) a, table(generator(rowcount => 1000000)) b",
            )

    running = threading.Thread(target=endless, daemon=True)
    running.start()
    time.sleep(0.5)
    assert emulator.stop(signal.SIGTERM) < 6


def test_the_result_cache_forgets_the_oldest_but_never_the_newest() -> None:
    cache = BoundedResultCache(max_entries=3, max_bytes=1_000)
    big = pa.table({"a": pa.array(range(1_000), pa.int64())})
    for n in range(5):
        cache[str(n)] = (None,)
    assert list(cache) == ["2", "3", "4"]
    cache["big"] = (big,)
    assert list(cache) == ["big"]
    cache["next"] = (None,)
    assert list(cache) == ["next"]


def test_memory_is_bounded_by_option(emulator: Emulator, connection: Any) -> None:
    assert emulator.process is not None
    for _ in range(5):
        assert (
            len(
                connection.cursor()
                .execute("select seq4() as a, repeat('x', 100) as b from table(generator(rowcount => 200000))")
                .fetch_arrow_all()
            )
            == 200000
        )
    status = Path(f"/proc/{emulator.process.pid}/status").read_text()
    resident_kb = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    assert resident_kb < 1_200_000
