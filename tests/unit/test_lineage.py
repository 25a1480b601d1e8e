"""How columns are followed through a select, and how a lineage is asked and shown."""

import pytest

from slackwater.entities.model import load_entity, parse_entity
from slackwater.errors import ConfigurationError, NotKnown, TerminalError
from slackwater.lineage.build import _below_the_models
from slackwater.lineage.dbt_project import read_models
from slackwater.lineage.model import ColumnId, Lineage, Place
from slackwater.lineage.render import tree_lines
from slackwater.lineage.select_columns import KnownTable, TableColumn, trace_columns

TABLES = {
    ("staging", "orders"): KnownTable(("id", "user_id", "amount", "status", "placed_at"), ("id",)),
    ("staging", "lines"): KnownTable(("id", "order_id", "units"), ("id",)),
}
ORDERS, LINES = "DW.STAGING.orders", "DW.STAGING.lines"


def _orders(*names: str) -> tuple[TableColumn, ...]:
    return tuple(TableColumn("staging", "orders", name) for name in names)


UNITS = TableColumn("staging", "lines", "units")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"select amount as value from {ORDERS}", _orders("amount")),
        (f"select o.amount * 2 as value from {ORDERS} as o where o.status = 'x'", _orders("amount")),
        (f"with a as (select * from {ORDERS}), b as (select * from a) select amount value from b", _orders("amount")),
        (f"select iff(status = 'x', amount, 0)::number(18,2) as value from {ORDERS}", _orders("amount", "status")),
        (f"select amount as value from {ORDERS} union all select units from {LINES}", (UNITS, *_orders("amount"))),
        (f"with a as (select * from {ORDERS}) select count(*) as value from a group by status", _orders("id")),
        (f"select count(*) + 1 as value from {LINES}", (TableColumn("staging", "lines", "id"),)),
        (f"select count(distinct user_id) as value from {ORDERS}", _orders("user_id")),
        (f"select sum(amount) over (partition by status) as value from {ORDERS}", _orders("amount", "status")),
        (f"select coalesce(l.units, 0) as value from {ORDERS} o left join {LINES} l on o.id = l.order_id", (UNITS,)),
        (f"select v as value from (select amount as v from {ORDERS}) as inner_orders", _orders("amount")),
        (f"select 'method'::varchar as value from {ORDERS}", ()),
        (f"select amount as half, half * 2 as value from {ORDERS}", _orders("amount")),
    ],
    ids=[
        *("name", "filters do not count", "through CTEs", "condition of a value", "union", "count of rows"),
        *("count in a sum", "count of values", "window", "join", "subquery", "constant", "name of a column beside it"),
    ],
)  # fmt: skip
def test_a_column_is_made_of_the_columns_its_expression_names(sql, expected):
    assert trace_columns(sql, TABLES)["value"] == tuple(sorted(expected))


def test_columns_come_in_the_order_of_the_select_and_a_star_is_all_of_them():
    assert tuple(trace_columns(f"select *, 1 as one from {LINES}", TABLES)) == ("id", "order_id", "units", "one")


@pytest.mark.parametrize(
    "sql",
    [
        f"select colour as value from {ORDERS}",
        "select id as value from DW.STAGING.nowhere",
        "select from where (",
        f"select id, (select max(units) from {LINES}) as value from {ORDERS}",
    ],
    ids=["column", "table", "no SQL", "subquery in an expression"],
)
def test_what_is_not_known_is_an_error_and_no_gap(sql):
    with pytest.raises(TerminalError, match="cannot be followed"):
        trace_columns(sql, TABLES)


def test_a_raw_column_comes_from_the_file_by_way_of_the_changelog():
    below = _below_the_models(load_entity("orders"))
    lineage = Lineage(below, {})
    (status,) = lineage.find("raw.orders.status")
    assert [str(each) for each in lineage.below(status)] == ["changes.orders.status", "cdc/orders/*.status"]
    (batch,) = lineage.find("raw.orders.batch_id")
    assert [str(each) for each in lineage.below(batch)] == ["changes.orders._batch_id"]


def test_a_renamed_column_comes_from_every_name_files_had_for_it():
    text = """
name: orders
version: 2
columns:
  - {name: id, type: int64, required: true}
  - {name: state, type: string, renamed_from: [status]}
  - {name: updated_at, type: timestamp}
key: id
event_time: updated_at
cluster_by: []
references: {}
"""
    below = _below_the_models(parse_entity(text, file="orders.yml"))
    assert [str(each) for each in below[ColumnId(Place.CHANGELOG, "orders", "state")]] == [
        "cdc/orders/*.state",
        "cdc/orders/*.status",
    ]


A, B, C, D = (ColumnId("marts", "m", name) for name in "abcd")
DIAMOND = Lineage({A: (B, C), B: (D,), C: (D,), D: ()}, {D: "a constant of the model"})


def test_a_column_that_comes_again_is_named_and_not_opened_again():
    longer = Lineage({**DIAMOND.made_of, D: (ColumnId("raw", "r", "e"),), ColumnId("raw", "r", "e"): ()}, {})
    assert list(tree_lines(longer, A)) == [
        "marts.m.a",
        "  marts.m.b",
        "    marts.m.d",
        "      raw.r.e",
        "  marts.m.c",
        "    marts.m.d (see above)",
    ]


def test_where_a_chain_ends_the_origin_is_told():
    assert list(tree_lines(DIAMOND, B)) == ["marts.m.b", "  marts.m.d <- a constant of the model"]


def test_below_and_above_name_each_column_once():
    assert DIAMOND.below(A) == (B, C, D)
    assert DIAMOND.above(D) == (B, C, A)


def test_a_table_means_all_its_columns_and_an_unknown_name_says_what_there_is():
    assert DIAMOND.find("M") == (A, B, C, D)
    assert DIAMOND.find("marts.m.a") == (A,)
    with pytest.raises(NotKnown, match="it has a, b, c, d"):
        DIAMOND.find("m.z")
    with pytest.raises(NotKnown, match=r"write it as table\.column"):
        DIAMOND.find("z")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no json", "is not a manifest"),
        (
            '{"nodes": {"model.p.a": {"resource_type": "model", "name": "a", "fqn": ["p", "marts", "a"], "schema": "S",'
            ' "config": {"meta": {}}}}}',
            "a is not compiled",
        ),
        (
            '{"nodes": {"model.p.a": {"resource_type": "model", "name": "a", "fqn": ["p", "marts", "a"], "schema": "S",'
            ' "compiled_code": "select 1 as b", "config": {"meta": {"origins": {"c": "constant"}}}}}}',
            r"origins of columns it does not have: \['c'\]",
        ),
    ],
    ids=["no manifest", "parsed only", "origin of nothing"],
)
def test_a_manifest_that_cannot_be_used_is_a_clear_error(tmp_path, text, told):
    path = tmp_path / "manifest.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=told):
        read_models(path)
