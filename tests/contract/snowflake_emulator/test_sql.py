"""SQL that dbt, the loader and the gate send: sums, MERGE, CTAS, keys, parameters."""

import datetime as dt
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from snowflake.connector.constants import FIELD_TYPES
from snowflake_sessions import (
    DUPLICATE_MERGE_ROW,
    NOT_NULL,
    Emulator,
    make_table,
    refusal,
    rows,
)

pytestmark = pytest.mark.contract


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


def test_columns_of_an_answer_have_the_types_they_have_in_snowflake(connection: Any) -> None:
    cursor = connection.cursor().execute(
        "select 1::number(18, 2) as amount, 1 as n, 'x' as s, true as b, 1.5::float as f, current_date as d,"
        " '2024-01-01'::timestamp_ntz as moment, '2024-01-01'::timestamp_tz as zoned, parse_json('{}') as v,"
        " null as nothing"
    )
    assert [(column.name, FIELD_TYPES[column.type_code].name) for column in cursor.description] == [
        ("AMOUNT", "FIXED"),
        ("N", "FIXED"),
        ("S", "TEXT"),
        ("B", "BOOLEAN"),
        ("F", "REAL"),
        ("D", "DATE"),
        ("MOMENT", "TIMESTAMP_NTZ"),
        ("ZONED", "TIMESTAMP_TZ"),
        ("V", "VARIANT"),
        ("NOTHING", "TEXT"),
    ]
    assert (cursor.description[0].precision, cursor.description[0].scale) == (18, 2)


def test_an_older_answer_comes_with_its_own_columns(connection: Any) -> None:
    first = connection.cursor().execute("select 1::number(9, 3) as amount, 'x' as s")
    connection.cursor().execute("select current_date as other")
    again = connection.cursor().execute(f"select * from table(result_scan('{first.sfqid}'))")
    assert [(column.name, column.scale) for column in again.description] == [("AMOUNT", 3), ("S", None)]
    assert again.fetchall() == [(Decimal(1), "x")]


def test_describe_tells_the_columns_in_their_order_of_any_database(emulator: Emulator, connection: Any) -> None:
    columns = "z number(18,2) not null, y varchar(7), x timestamp_ntz, w float, v boolean, u date, t number, s varchar"
    make_table(connection, "to_describe", columns)
    rows(connection, "create or replace view seen_described as select z, y from to_describe")
    with closing(emulator.connect(database="SOMEWHERE_ELSE")) as other:
        told = rows(other, "describe table ECOMMERCE_DW.RAW.to_describe")
        assert [(name, kind, null) for name, kind, _, null, *_ in told] == [
            ("Z", "NUMBER(18,2)", "N"),
            ("Y", "VARCHAR(7)", "Y"),
            ("X", "TIMESTAMP_NTZ(9)", "Y"),
            ("W", "FLOAT", "Y"),
            ("V", "BOOLEAN", "Y"),
            ("U", "DATE", "Y"),
            ("T", "NUMBER(38,0)", "Y"),
            ("S", "VARCHAR(16777216)", "Y"),
        ]
        assert [line[0] for line in rows(other, "describe view ECOMMERCE_DW.RAW.seen_described")] == ["Z", "Y"]
        assert refusal(other, "describe table ECOMMERCE_DW.RAW.not_there").errno == 2003
