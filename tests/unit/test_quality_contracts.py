"""The contract files: they agree with the entities and the marts, and the gate understands each of their checks."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from slackwater.entities.model import RAW_COLUMNS, ColumnType, all_entities
from slackwater.errors import ConfigurationError
from slackwater.quality.contracts import CONTRACTS_DIR, entity_of_dataset, load_contracts
from slackwater.quality.failing_rows import keys_of_marts
from slackwater.quality.results import Layer, Severity
from slackwater.warehouse.marts import load_marts

CONTRACTS = load_contracts()
CONTRACT_TYPES = {
    ColumnType.INT32: ("NUMBER", None),
    ColumnType.INT64: ("NUMBER", None),
    ColumnType.STRING: ("VARCHAR", None),
    ColumnType.TIMESTAMP: ("TIMESTAMP_NTZ", None),
    ColumnType.DATE: ("DATE", None),
    ColumnType.MONEY: ("NUMBER", (10, 2)),
    ColumnType.LARGE_MONEY: ("NUMBER", (18, 2)),
}


def _document(name: str) -> dict:
    return yaml.safe_load((CONTRACTS_DIR / name).read_text(encoding="utf-8"))


def _declared(document: dict) -> dict[str, tuple]:
    declared = {}
    for column in document["columns"]:
        precision = column.get("numeric_precision")
        declared[column["name"]] = (
            column["data_type"],
            None if precision is None else (precision, column["numeric_scale"]),
        )
    return declared


@pytest.mark.parametrize("entity", all_entities(), ids=lambda entity: entity.name)
def test_raw_contract_declares_exactly_the_columns_of_the_raw_table(entity):
    wanted = {c.name.upper(): CONTRACT_TYPES[c.type] for c in (*entity.columns, *RAW_COLUMNS)}
    assert _declared(_document(f"raw/{entity.name}.yml")) == wanted


@pytest.mark.parametrize("entity", all_entities(), ids=lambda entity: entity.name)
def test_every_required_raw_column_is_checked_for_nulls(entity):
    rules = next(c for c in CONTRACTS if c.dataset == f"RAW.{entity.name.upper()}").rules
    checked = {path.split(".")[1] for path in rules if path.startswith("columns.") and ".missing" in path}
    assert checked == {c.name.upper() for c in (*entity.columns, *RAW_COLUMNS) if c.required}


@pytest.mark.parametrize("entity", all_entities(), ids=lambda entity: entity.name)
def test_staging_contract_declares_every_column_of_the_entity(entity):
    wanted = {c.name.upper(): CONTRACT_TYPES[c.type] for c in entity.columns}
    assert _declared(_document(f"staging/stg_{entity.name}.yml")) == wanted


def test_every_mart_has_a_contract_with_exactly_its_columns():
    for mart in load_marts():
        declared = _declared(_document(f"marts/{mart.name}.yml"))
        assert set(declared) == {name.upper() for name in mart.column_names}, mart.name


@pytest.mark.parametrize("contract", [c for c in CONTRACTS if c.layer is Layer.MARTS], ids=lambda c: c.table)
def test_failing_rows_of_a_mart_are_named_by_columns_it_has(contract):
    key = {name.upper() for name in keys_of_marts(load_marts())[contract.table]}
    assert key <= set(_declared(_document(f"marts/{contract.table.lower()}.yml")))


def test_identifiers_are_upper_case_because_snowflake_stores_them_so():
    for contract in CONTRACTS:
        assert contract.dataset == contract.dataset.upper()
        names = [column["name"] for column in yaml.safe_load(contract.path.read_text())["columns"]]
        assert names == [name.upper() for name in names], contract.path


def test_every_file_is_read_and_raw_is_limited_to_the_bound_of_the_refresh():
    assert len(CONTRACTS) == len(list(Path(CONTRACTS_DIR).rglob("*.yml")))
    for contract in CONTRACTS:
        if contract.layer is Layer.RAW:
            assert contract.row_filter == f"LOAD_SEQ <= ${{var.{contract.table}_BOUND}}"


def test_no_two_checks_of_a_contract_share_a_place():
    for contract in CONTRACTS:
        document = yaml.safe_load(contract.path.read_text())
        declared = sum(len(column.get("checks", [])) for column in document["columns"]) + len(document["checks"])
        assert len(contract.rules) == declared, contract.path


def test_no_contract_gates_on_freshness():
    for contract in CONTRACTS:
        assert not [path for path in contract.rules if "freshness" in path], contract.path


def test_layers_come_in_the_order_data_passes_through():
    order = [list(Layer).index(contract.layer) for contract in CONTRACTS]
    assert all(before <= after for before, after in pairwise(order))


def test_missing_check_finds_its_rows_by_null_and_failed_rows_by_its_expression():
    rules = next(c for c in CONTRACTS if c.dataset == "RAW.ORDERS").rules
    assert rules["columns.ID.checks.missing"].failing_condition == "ID is null"
    assert rules["checks.failed_rows.op"].failing_condition == "__OP NOT IN ('c', 'u', 'd', 'r')"
    assert rules["checks.schema"].failing_condition == ""


def test_severity_is_a_warning_only_where_the_threshold_says_so():
    rules = next(c for c in CONTRACTS if c.dataset == "STAGING.STG_ORDERS").rules
    assert rules["checks.failed_rows.guest_share"].severity is Severity.WARN
    assert rules["checks.failed_rows.amount_negative"].severity is Severity.ERROR


def _contract_of(tmp_path, text: str):
    for layer in Layer:
        (tmp_path / layer.value).mkdir()
        (tmp_path / layer.value / "orders.yml").write_text(text)
    return load_contracts(tmp_path)[0]


ATTRIBUTED = """
dataset: warehouse/db/RAW/ORDERS
check_attributes: {owner: ingestion, remedy: Load it again.}
columns:
  - name: ID
    checks: [{missing: {}}]
checks:
  - schema: {attributes: {owner: platform}}
  - failed_rows: {qualifier: q, query: "select ID from RAW.ORDERS where ID < 0\n"}
"""


def test_check_has_the_owner_and_remedy_of_its_file_unless_it_says_otherwise(tmp_path):
    rules = _contract_of(tmp_path, ATTRIBUTED).rules
    assert (rules["columns.ID.checks.missing"].owner, rules["columns.ID.checks.missing"].remedy) == (
        "ingestion",
        "Load it again.",
    )
    assert (rules["checks.schema"].owner, rules["checks.schema"].remedy) == ("platform", "Load it again.")


def test_query_of_failing_rows_is_kept_to_name_them(tmp_path):
    rules = _contract_of(tmp_path, ATTRIBUTED).rules
    assert rules["checks.failed_rows.q"].failing_query == "select ID from RAW.ORDERS where ID < 0"
    assert rules["checks.failed_rows.q"].failing_condition == ""


@pytest.mark.parametrize(
    ("table", "entity"),
    [
        ("STG_ORDER_ITEMS", "order_items"),
        ("BASE_USERS", "users"),
        ("ORDERS", "orders"),
        ("ORDERS_ENHANCED", "orders"),
        ("DAILY_BUSINESS_METRICS", ""),
    ],
)
def test_entity_of_a_table(table, entity):
    assert entity_of_dataset(table) == entity


def test_layer_without_a_contract_is_an_error_and_not_a_pass(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(ConfigurationError, match="raw"):
        load_contracts(tmp_path)
