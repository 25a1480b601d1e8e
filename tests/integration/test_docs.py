"""`slackwater docs` over a real warehouse: its pages know the types of the tables; one that is down is said to be."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.snowflake import Warehouse
from slackwater.naming import ENTITIES
from slackwater.stack.ports import find_free_port_base
from slackwater.testing.warehouse_path import run_dbt
from slackwater.warehouse.dbt_cli import NodeOutcome, run_command

pytestmark = pytest.mark.integration


def _docs(env: dict[str, str], folder: Path) -> Result:
    env = env | {"SLACKWATER_QUALITY_DBT_TARGET_DIR": str(folder)}
    return CliRunner().invoke(app, ["docs", "--no-serve"], env=env)


def test_the_pages_know_the_tables_of_the_warehouse_and_their_types(module_sandbox, tmp_path):
    with Warehouse(module_sandbox.warehouse) as warehouse:
        warehouse.execute("create table STAGING.STG_ORDERS (ID NUMBER(38,0), TOTAL_AMOUNT NUMBER(10,2))")
    done = _docs(dict(module_sandbox.env), tmp_path)
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "docs" / "index.html") in done.output
    catalog = json.loads((tmp_path / "docs" / "catalog.json").read_bytes())
    columns = catalog["nodes"]["model.slackwater.stg_orders"]["columns"]
    assert columns["TOTAL_AMOUNT"]["type"].startswith("NUMBER")
    manifest = json.loads((tmp_path / "docs" / "manifest.json").read_bytes())
    compiled = manifest["nodes"]["model.slackwater.stg_orders"]["compiled_code"]
    assert "OPS.impact" not in compiled  # whole tables, though there is one to build on


def test_a_build_of_whole_tables_by_the_variable_of_the_pages_is_refused(module_sandbox, tmp_path):
    bounds: dict[str, str | int] = {f"bound_{entity}": 0 for entity in ENTITIES}
    frozen = {**bounds, "refresh_id": "r1", "as_of": "2010-12-01 00:00:00"}
    command = run_command(frozen, target_dir=tmp_path).selecting("int_customer_metrics")
    whole = replace(command, arguments=(*command.arguments, "--vars", "whole_tables: true"))
    (result,) = run_dbt(whole, env=module_sandbox.env, target_dir=tmp_path)
    assert result.outcome is NodeOutcome.ERROR
    assert "to build whole tables use --full-refresh" in result.message


def test_a_warehouse_that_is_down_is_a_message_that_says_what_to_do(module_sandbox, tmp_path):
    closed = str(find_free_port_base())
    env = module_sandbox.env | {"SLACKWATER_WAREHOUSE_PORT": closed, "SLACKWATER_WAREHOUSE_LOGIN_TIMEOUT_SECONDS": "1"}
    done = _docs(dict(env), tmp_path)
    assert done.exit_code == 1
    assert "the warehouse does not answer; start the stack: slackwater stack up" in done.output + done.stderr
    assert not (tmp_path / "docs").exists()
