"""Transactions: an error never loses earlier rows in silence."""

import datetime as dt
from contextlib import closing
from typing import Any

import pytest
from snowflake_sessions import (
    ABORTED,
    DDL_IN_TRANSACTION,
    Emulator,
    make_table,
    refusal,
    rows,
)

pytestmark = pytest.mark.contract


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
