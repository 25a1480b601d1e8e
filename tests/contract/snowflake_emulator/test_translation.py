"""Translating with fewer walks gives the statements that translating with every walk gives."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import parse_one
from fakesnow.transforms.stage import TableStages
from fakesnow.variables import Variables
from sqlglot import Expr

from slackwater.stack.snowflake_emulator.cursor import EmulatedCursor
from slackwater.stack.snowflake_emulator.engine import install_rewrites
from slackwater.stack.snowflake_emulator.translation import CHANGES

pytestmark = pytest.mark.contract

NOTHING_TO_CHANGE = {"create_table_as", "sample", "to_date", "try_parse_json"}
"""The emulator does itself what the first did; for the others sqlglot has nodes of its own by now."""

STATEMENTS = (
    "select a, b as c from t where d = 'x' order by 1",
    "select * from identifier('s.t')",
    "alter session set autocommit = true",
    "set x = 1",
    "select current_version()",
    "use schema s",
    "create database another",
    "create table t (i number(38,0), v varchar(3), f real, n timestamp_ntz, o variant) comment = 'said'",
    "comment on table t is 'said'",
    "alter table t alter column v comment 'said'",
    "alter table t set tag x = 'y'",
    "alter table t cluster by (i)",
    "select * from information_schema.tables, information_schema.databases",
    "drop schema s",
    "select try_parse_json('{}'), split('a,b', ','), trim(5), to_variant(1), to_decimal('1', 10, 2), to_date(x) from t",
    "select v['a'], v:b::varchar, upper(v:c), v:d = 1 from t",
    "select value::varchar from t, lateral flatten(input => t.v)",
    "select regexp_replace('a', 'b'), regexp_substr('a', 'b', 1, 1, 'e') from t",
    "select * from table(result_scan('id'))",
    "select seq.nextval from t",
    "select * from (values (1, 2))",
    "select '2026-01-01 10:00:00 +09:00'::timestamp_tz, x::timestamp_ntz, to_timestamp(5), to_timestamp(y) from t",
    "select object_construct('a', 1), array_construct(1), array_cat([1], [2]), array_size(parse_json('[]')) from t",
    "select random() from t sample (10)",
    "select array_agg(a) within group (order by b), array_agg(a), object_agg(a, b) from t",
    "select dateadd(day, 1, '2026-01-01'::date), dateadd(day, 1, '2026-01-01'), datediff(day, '2026-01-01', b) from t",
    "show databases",
    "show user functions",
    "show procedures",
    "show parameters",
    "show warehouses",
    "show terse schemas in database d",
    "show terse objects in schema d.s",
    "show columns in table t",
    "show stages",
    "show sequences",
    "show primary keys",
    "show users",
    "CREATE USER somebody",
    "select haversine(1, 2, 3, 4), x'AB', sha2('a') from t",
    "create table t clone u",
    "select a as b from t join u on b = u.c",
    "select object_construct('k', sum(a)) as o from t where o is not null",
    "select sum(a), avg(b) over (order by c) from t",
    "create stage lake url = 's3://lake/'",
    "create file format form type = csv",
    "list @lake",
    "put 'file:///x.csv' @lake",
    "create or replace transient table s.t as (with a as (select 1::int as x) select x, max(x) as m from a group by 1)",
    "insert into t (a) select b from u where c in (select d from v)",
    "update t set a = b::number(18,2) from u where t.i = u.i",
    "delete from t where i in (select i from u)",
)


class EveryWalk:
    """Applies every rule to every node, and notes which of them changed something."""

    def __init__(self, tree: Expr, changed: set[str]) -> None:
        self.tree, self.changed = tree, changed

    def transform(self, rule: Callable[..., Expr], *args: Any, **options: Any) -> "EveryWalk":
        before = repr(self.tree)
        self.tree = self.tree.transform(rule, *args, **options)
        if repr(self.tree) != before:
            self.changed.add(rule.__name__ if rule.__name__ != "<lambda>" else rule.__code__.co_names[1])
        return self


@pytest.fixture(scope="module")
def cursor() -> EmulatedCursor:
    """A cursor that can translate and nothing else: it has no DuckDB."""
    install_rewrites()
    session = SimpleNamespace(
        variables=Variables(), database="D", schema="S", db_path=Path("databases"), table_stages=TableStages(None)
    )
    return EmulatedCursor(session, None)


def in_full(cursor: EmulatedCursor, statement: str, changed: set[str]) -> str:
    walked = FakeSnowflakeCursor._transform(cursor, cast(Expr, EveryWalk(parse_one(statement), changed)), None)
    return cast(EveryWalk, walked).tree.sql(dialect="duckdb")


def without_now(sql: str) -> str:
    return re.sub(r"'\d{4}-\d\d-\d\dT[\d:.+]+'", "'now'", sql)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_is_translated_as_by_every_walk(cursor: EmulatedCursor, statement: str) -> None:
    translated = cursor._transform(parse_one(statement), None).sql(dialect="duckdb")
    assert without_now(translated) == without_now(in_full(cursor, statement, set()))


def test_every_rule_changes_one_of_these_statements(cursor: EmulatedCursor) -> None:
    changed: set[str] = set()
    for statement in STATEMENTS:
        in_full(cursor, statement, changed)
    assert set(CHANGES) - changed == NOTHING_TO_CHANGE
