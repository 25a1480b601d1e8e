"""dbt's results joined with its manifest."""

import json

import pytest

from slackwater.errors import TerminalError
from slackwater.quality.dbt_results import read_dbt_results
from slackwater.quality.results import Outcome, Severity

MODEL = "model.slackwater.stg_orders"
MANIFEST = {
    "nodes": {
        MODEL: {"resource_type": "model", "name": "stg_orders", "alias": "stg_orders", "schema": "STAGING"},
        "test.slackwater.unique_id.1": {
            "resource_type": "test",
            "name": "unique_stg_orders_id",
            "column_name": "id",
            "attached_node": MODEL,
            "test_metadata": {"name": "unique"},
            "config": {"severity": "ERROR", "meta": {"owner": "shop", "remedy": "Correct it.", "else": 1}},
        },
        "test.slackwater.warns.1": {
            "resource_type": "test",
            "name": "warns",
            "attached_node": MODEL,
            "config": {"severity": "warn"},
        },
        "test.slackwater.singular": {
            "resource_type": "test",
            "name": "singular",
            "depends_on": {"nodes": ["macro.x", MODEL]},
        },
    },
    "sources": {},
    "unit_tests": {},
}


@pytest.fixture
def read(tmp_path):
    def _read(*results: dict):
        (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
        (tmp_path / "run_results.json").write_text(json.dumps({"results": list(results)}))
        return read_dbt_results(tmp_path / "run_results.json")

    return _read


def test_test_is_told_with_the_table_column_and_query_it_is_about(read):
    (found,) = read(
        {
            "unique_id": "test.slackwater.unique_id.1",
            "status": "fail",
            "failures": 2,
            "message": "Got 2 results, configured to fail if != 0",
            "compiled_code": "select 1;\n",
        }
    )
    assert (found.name, found.kind, found.schema, found.table, found.column) == (
        "unique_stg_orders_id",
        "unique",
        "STAGING",
        "STG_ORDERS",
        "ID",
    )
    assert (found.owner, found.remedy) == ("shop", "Correct it.")
    assert (found.outcome, found.severity, found.failures, found.compiled_sql) == (
        Outcome.FAILED,
        Severity.ERROR,
        2,
        "select 1",
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("pass", Outcome.PASSED),
        ("warn", Outcome.WARNED),
        ("fail", Outcome.FAILED),
        ("error", Outcome.NOT_EVALUATED),
        ("skipped", Outcome.NOT_EVALUATED),
        ("something new", Outcome.NOT_EVALUATED),
    ],
)
def test_status_that_is_not_a_clear_answer_is_not_evaluated(read, status, outcome):
    (found,) = read({"unique_id": "test.slackwater.unique_id.1", "status": status})
    assert found.outcome is outcome


def test_test_of_severity_warn_does_not_reject(read):
    (found,) = read({"unique_id": "test.slackwater.warns.1", "status": "fail"})
    assert found.severity is Severity.WARN


def test_singular_test_belongs_to_the_model_it_reads(read):
    (found,) = read({"unique_id": "test.slackwater.singular", "status": "pass"})
    assert (found.table, found.kind) == ("STG_ORDERS", "")


def test_model_that_was_not_built_is_a_check_that_was_not_evaluated_and_a_built_one_is_none(read):
    found = read(
        {"unique_id": MODEL, "status": "success"},
        {"unique_id": MODEL, "status": "error", "message": "syntax"},
    )
    assert [(each.name, each.outcome, each.message) for each in found] == [
        ("stg_orders", Outcome.NOT_EVALUATED, "syntax")
    ]


def test_missing_results_are_an_error_and_not_a_pass(tmp_path):
    with pytest.raises(TerminalError, match="run_results"):
        read_dbt_results(tmp_path / "run_results.json")


def test_missing_manifest_is_an_error_and_not_a_pass(tmp_path):
    (tmp_path / "run_results.json").write_text('{"results": []}')
    with pytest.raises(TerminalError, match="manifest"):
        read_dbt_results(tmp_path / "run_results.json")
