"""What the audit says of a run of dbt: a model whose SQL did not change is not said to have changed."""

from dataclasses import replace

import pytest

from slackwater.warehouse.build_audit import Form, changed_models, model_sql
from slackwater.warehouse.dbt_cli import NodeOutcome, NodeResult

SQL = """
select * from DW.RAW.orders
where
    load_seq <= {bound}
    and id in (select key_id from DW.OPS.impact where refresh_id = '{refresh_id}' and scope = 'key')
    and created_at < '{as_of}'::timestamp_ntz
"""
WHOLE = "select * from DW.RAW.orders where load_seq <= {bound}"


def _built(text: str = SQL, **values):
    variables = {"refresh_id": "aa11", "as_of": "2010-12-01 08:00:00", "bound_orders": 6} | values
    sql = text.format(bound=variables["bound_orders"], refresh_id=variables["refresh_id"], as_of=variables["as_of"])
    node = NodeResult(
        "model.slackwater.stg_orders",
        "model",
        "stg_orders",
        NodeOutcome.PASSED,
        None,
        1.0,
        "",
        sql,
        "STAGING.STG_ORDERS",
    )
    return model_sql(node, variables)


FIRST = _built()


def _known(one):
    return (one.table, {"refresh_id": "aa11", "form": one.form.value, "sha256": one.sha256, "state": "applied"})


@pytest.mark.parametrize(
    "values",
    [{"refresh_id": "bb22"}, {"as_of": "2011-01-01 00:00:00"}, {"bound_orders": 17}],
    ids=["another refresh", "another time", "another bound"],
)
def test_what_belongs_to_a_refresh_is_no_change_of_the_model(values):
    assert changed_models([_built(**values)], [_known(FIRST)]) == ()


def test_another_condition_is_a_change():
    changed = _built(SQL.replace("scope = 'key'", "scope = 'date'"))
    assert changed_models([changed], [_known(FIRST)]) == (changed,)


def test_another_number_that_is_no_bound_is_a_change():
    one, other = _built(WHOLE + " and total_amount > 5"), _built(WHOLE + " and total_amount > 6")
    assert changed_models([other], [_known(one)]) == (other,)


def test_model_that_was_never_seen_is_a_change_and_a_change_back_is_one_too():
    assert changed_models([FIRST], []) == (FIRST,)
    other = replace(FIRST, sha256="other")
    assert changed_models([FIRST], [_known(FIRST), _known(other)]) == (FIRST,)


def test_whole_table_and_touched_rows_have_histories_of_their_own():
    whole = _built(WHOLE)
    assert (FIRST.form, whole.form) == (Form.TOUCHED, Form.WHOLE)
    assert changed_models([FIRST], [_known(FIRST), _known(whole)]) == ()
