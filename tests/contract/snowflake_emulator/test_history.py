"""What was run and what it cost: QUERY_HISTORY and GET_QUERY_OPERATOR_STATS."""

import json
from contextlib import closing
from typing import Any

import pytest
from snowflake.connector.errors import DatabaseError
from snowflake_sessions import (
    UNSUPPORTED,
    Emulator,
    make_table,
    refusal,
    rows,
)

pytestmark = pytest.mark.contract


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
