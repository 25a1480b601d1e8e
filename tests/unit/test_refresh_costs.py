"""What statements and their operators say about the cost of a refresh."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from slackwater.warehouse.costs import (
    Operator,
    Ran,
    Step,
    TableCost,
    costs_markdown,
    dbt_comment,
    query_tag,
    sum_costs,
    written_table,
)

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("insert into SHOP.STAGING.STG_ORDERS (id) select 1", ("STAGING.STG_ORDERS", False)),
        ("\n  delete from shop.staging.stg_orders\nwhere 1 = 1", ("STAGING.STG_ORDERS", False)),
        ('delete from "MARTS"."INVENTORY" as published using (select 1) as gone', ("MARTS.INVENTORY", False)),
        ("create or replace transient table S.CANDIDATE.INVENTORY\n as (select 1)", ("CANDIDATE.INVENTORY", False)),
        ("create or replace  temporary table S.CANDIDATE.INVENTORY__dbt_tmp as", ("CANDIDATE.INVENTORY", True)),
        ("/* {app: dbt} */ create table S.A.B as select 1", ("A.B", False)),
        ("-- why\ninsert into A.B select 1", ("A.B", False)),
        ("create or replace view S.A.B as select 1", None),
        ("select * from A.B -- insert into A.B", None),
        ("drop table if exists A.B", None),
    ],
)
def test_a_statement_names_the_table_it_writes(text, expected):
    assert written_table(text) == expected


def test_rows_and_seconds_add_up_by_table_and_a_temporary_table_counts_with_its_model():
    ran = [
        Ran("1", "create or replace temporary table D.A.X__dbt_tmp as select 1", 1500),
        Ran("2", "delete from D.A.X where 1 = 1", 20),
        Ran("3", "insert into D.A.X select * from D.A.X__dbt_tmp", 30),
        Ran("4", "create or replace transient table D.A.Y as select 1", 7),
        Ran("5", "select 1", 999),
    ]
    operators = [
        Operator("1", "CreateTableAsSelect", {"input_rows": 9}),
        Operator("1", "TableScan", {"output_rows": 1000}),
        Operator("1", "TableScan", {"output_rows": 50}),
        Operator("1", "Filter", {"output_rows": 700}),
        Operator("2", "Delete", {"dml": {"number_of_rows_deleted": 4}}),
        Operator("2", "TableScan", {"output_rows": 100}),
        Operator("3", "Insert", {"dml": {"number_of_rows_inserted": 9}}),
        Operator("3", "TableScan", {"output_rows": 9}),
        Operator("4", "CreateTableAsSelect", {"input_rows": 2}),
        Operator("5", "TableScan", {"output_rows": 12345}),
    ]
    assert sum_costs(Step.BUILD, ran, operators) == (
        TableCost(Step.BUILD, "A.X", 3, 4, 9, 1159, Decimal("1.550")),
        TableCost(Step.BUILD, "A.Y", 1, 0, 2, 0, Decimal("0.007")),
    )


def test_no_two_steps_share_a_tag():
    assert len({query_tag(step, "r1") for step in Step}) == len(Step)


def test_the_statements_of_dbt_are_found_by_the_comment_its_project_writes():
    macros = REPOSITORY / "dbt" / "macros" / "refresh.sql"
    assert "tojson({'refresh_id': refresh" in macros.read_text(encoding="utf-8")
    assert dbt_comment("r1") in json.dumps({"node_id": None, "refresh_id": "r1"})


def test_the_report_has_totals_per_step_and_the_slowest_table_first():
    costs = (
        TableCost(Step.BUILD, "A.X", 3, 4, 9, 1159, Decimal("0.5")),
        TableCost(Step.BUILD, "A.Y", 1, 0, 2, 41, Decimal("1.5")),
        TableCost(Step.PUBLISH, "M.Y", 2, 1, 1, 10, Decimal("0.1")),
    )
    lines = costs_markdown("r1", costs).splitlines()
    assert "`r1`" in lines[0]
    assert lines[4:] == [
        "| build | **all** | 15 | 1,200 | 2.000 |",
        "| publish | **all** | 2 | 10 | 0.100 |",
        "| build | A.Y | 2 | 41 | 1.500 |",
        "| build | A.X | 13 | 1,159 | 0.500 |",
        "| publish | M.Y | 2 | 10 | 0.100 |",
    ]
