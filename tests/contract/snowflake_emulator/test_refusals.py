"""What is refused with a normal SQL error, and what succeeds without doing anything."""

import time
from contextlib import closing
from typing import Any

import pytest
from snowflake_sessions import (
    UNSUPPORTED,
    Emulator,
    make_table,
    refusal,
    rows,
)

pytestmark = pytest.mark.contract


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
