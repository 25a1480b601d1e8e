"""The statements and answers of the warehouse that need no warehouse: loads, stage, marts, dbt's files, canary."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from slackwater.entities.model import RAW_COLUMNS, changelog_schema, load_entity
from slackwater.errors import ConfigurationError, TerminalError
from slackwater.settings import LakeSettings, S3Settings, WarehouseSettings
from slackwater.warehouse.copy_files import canary_of, relative_name
from slackwater.warehouse.dbt_cli import (
    REFRESH_VARIABLE,
    Invocation,
    NodeOutcome,
    data_test_command,
    read_invocation,
    read_run_results,
    run_command,
)
from slackwater.warehouse.ddl import mart_ddl, stage_ddl
from slackwater.warehouse.impact import LoadRange, impact_statements
from slackwater.warehouse.load import insert_sql, transient_table
from slackwater.warehouse.marts import load_marts

LAKE = LakeSettings(catalog_uri=SecretStr("postgresql://x/y"), warehouse="s3://lake/wh/")


def test_no_two_attempts_share_a_transient_table():
    names = {transient_table(batch, attempt) for batch in ("a" * 32, "b" * 32) for attempt in (1, 2)}
    assert len(names) == 4
    assert transient_table("a" * 32, 1) == '"RAW"."LOAD_' + "A" * 32 + '_1"'


def test_the_insert_names_every_raw_column_once_and_filters_on_the_batch():
    sql = insert_sql(load_entity("orders"), '"RAW"."LOAD_X_1"')
    targets = sql.split("(", 1)[1].split(")", 1)[0].replace('"', "").split(", ")
    assert targets == [name.upper() for name in (*load_entity("orders").column_names, *(c.name for c in RAW_COLUMNS))]
    assert sql.endswith('where "_BATCH_ID" = ?')
    assert sql.count("?") == 2


@pytest.mark.parametrize(
    ("settings", "s3", "expected"),
    [
        (WarehouseSettings(storage_integration="LAKE_INT"), S3Settings(), 'storage_integration = "LAKE_INT"'),
        (
            WarehouseSettings(),
            S3Settings(access_key_id=SecretStr("k"), secret_access_key=SecretStr("s'x")),
            "credentials = (aws_key_id = 'k' aws_secret_key = 's''x')",
        ),
    ],
    ids=["integration", "keys"],
)
def test_the_stage_uses_the_integration_or_the_keys(settings, s3, expected):
    sql = stage_ddl(settings, lake=LAKE, s3=s3)
    assert expected in sql
    assert "url = 's3://lake/wh/' " in sql


def test_a_stage_without_access_is_a_clear_error():
    with pytest.raises(ConfigurationError, match="STORAGE_INTEGRATION"):
        stage_ddl(WarehouseSettings(), lake=LAKE, s3=S3Settings())


def test_a_file_outside_the_stage_is_refused():
    assert relative_name("s3://lake/wh/changes/a.parquet", "s3://lake/wh") == "changes/a.parquet"
    with pytest.raises(TerminalError, match="not below"):
        relative_name("s3://lake/wh2/a.parquet", "s3://lake/wh")


def _footer(tmp_path: Path, **times: pa.DataType) -> pq.FileMetaData:
    schema = changelog_schema(load_entity("orders"))
    row = dict.fromkeys(schema.names) | {"id": 1, "total_amount": Decimal("1.10")}
    row |= {
        "__source_ts_ms": datetime.fromisoformat("2010-12-01 08:00:00"),
        "created_at": datetime.fromisoformat("2010-12-01 07:00:00"),
    }
    loose = pa.schema([pa.field(field.name, times.get(field.name, field.type)) for field in schema])
    later = row | {"__source_ts_ms": datetime.fromisoformat("2010-12-05 08:00:00.000007")}
    pq.write_table(pa.Table.from_pylist([row, later], schema=loose), tmp_path / "f.parquet", row_group_size=1)
    return pq.read_metadata(tmp_path / "f.parquet")


def test_the_canary_knows_the_bounds_of_every_timestamp_that_has_a_value(tmp_path):
    canary = canary_of(load_entity("orders"), _footer(tmp_path), "f")
    assert canary.row_count == 2
    assert canary.bounds == {
        "__source_ts_ms": (
            datetime.fromisoformat("2010-12-01 08:00:00"),
            datetime.fromisoformat("2010-12-05 08:00:00.000007"),
        ),
        "created_at": (datetime.fromisoformat("2010-12-01 07:00:00"), datetime.fromisoformat("2010-12-01 07:00:00")),
    }


@pytest.mark.parametrize(
    ("column", "wrong"),
    [("created_at", pa.timestamp("ms")), ("created_at", pa.int64()), ("total_amount", pa.float64())],
    ids=["milliseconds", "plain integer", "float money"],
)
def test_a_wrong_logical_type_is_refused_before_copy(tmp_path, column, wrong):
    schema = pa.schema([pa.field(column, wrong)])
    pq.write_table(schema.empty_table(), tmp_path / "f.parquet")
    with pytest.raises(TerminalError, match=column):
        canary_of(load_entity("orders"), pq.read_metadata(tmp_path / "f.parquet"), "f")


def test_a_mart_is_published_with_its_contract_s_columns_and_the_publication():
    mart = next(mart for mart in load_marts() if mart.name == "daily_business_metrics")
    assert mart.key == ("date",)
    lines = [line.strip().rstrip(",") for line in mart_ddl(mart).splitlines()[1:-1]]
    assert lines[0] == '"DATE" date'
    assert '"TOTAL_REVENUE" number(18,2)' in lines
    assert lines[-1] == '"PUBLICATION_ID" varchar not null'
    assert not [line for line in lines if "float" in line]


def test_a_project_without_marts_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no mart"):
        load_marts(tmp_path)


def test_every_impact_statement_binds_as_many_values_as_it_asks_for():
    ranges = {entity: LoadRange(0, 1) for entity in ("users", "products", "orders", "order_items")}
    for built in ((), ("orders",), tuple(ranges)):
        for statement in impact_statements("r1", ranges, built=built):
            assert statement.sql.count("?") == len(statement.params)


def test_dbt_is_told_the_refresh_in_its_environment_and_keeps_its_output_outside_the_project(tmp_path):
    command = run_command({"refresh_id": "r1", "bound_users": 3}, target_dir=tmp_path, project_dir=Path("/p"))
    arguments = command.arguments
    assert arguments[0] == "run"
    assert json.loads(command.environment[REFRESH_VARIABLE]) == {"bound_users": 3, "refresh_id": "r1"}
    assert "--vars" not in arguments  # dbt would parse the project again
    assert arguments[arguments.index("--target-path") + 1] == str(tmp_path)
    assert "--full-refresh" not in arguments
    assert "--full-refresh" in run_command({}, target_dir=tmp_path, is_full=True).arguments
    assert data_test_command({}, target_dir=tmp_path).arguments[:3] == ("test", "--exclude-resource-type", "unit_test")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("success", NodeOutcome.PASSED),
        ("pass", NodeOutcome.PASSED),
        ("warn", NodeOutcome.WARNED),
        ("fail", NodeOutcome.FAILED),
        ("error", NodeOutcome.ERROR),
        ("runtime error", NodeOutcome.ERROR),
        ("skipped", NodeOutcome.SKIPPED),
        ("something new", NodeOutcome.ERROR),
    ],
)
def test_a_status_of_dbt_that_nobody_knows_is_an_error(tmp_path, status, outcome):
    node = {"unique_id": "test.slackwater.unique_stg_orders_id.0a1b", "status": status, "failures": 2, "extra": 1}
    (tmp_path / "run_results.json").write_text(json.dumps({"results": [node], "metadata": {}}))

    (result,) = read_run_results(tmp_path / "run_results.json")

    assert (result.outcome, result.kind, result.name, result.failures) == (outcome, "test", "unique_stg_orders_id", 2)


@pytest.mark.parametrize("content", [None, "{}", "nonsense"])
def test_a_missing_or_strange_result_file_is_an_error(tmp_path, content):
    path = tmp_path / "run_results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TerminalError):
        read_run_results(path)


def test_a_result_file_says_which_invocation_wrote_it_and_when(tmp_path: Path) -> None:
    head = {"invocation_id": "0a1b", "generated_at": "2026-03-01T09:00:00.123456Z", "dbt_version": "1"}
    path = tmp_path / "run_results.json"
    path.write_text(json.dumps({"metadata": head, "results": [], "args": {}}))
    assert read_invocation(path) == Invocation("0a1b", datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=UTC))


@pytest.mark.parametrize("text", [None, "{}", '{"metadata": {}}'], ids=["missing", "no head", "no id"])
def test_a_file_that_names_no_invocation_is_an_error(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "run_results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TerminalError, match="which invocation of dbt"):
        read_invocation(path)
