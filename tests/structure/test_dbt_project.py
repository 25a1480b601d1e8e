"""The dbt project keeps its rules: grain, key, scope and one definition of what other parts define as well."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from slackwater.entities.model import CHANGE_ORDER, load_entity
from slackwater.naming import ENTITIES, TOAST_PLACEHOLDER
from slackwater.reconciliation.metrics import load_metrics

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / "dbt" / "models").rglob("*.sql"))
VARS: dict[str, Any] = yaml.safe_load((ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
SCOPES = {"key", "date", "order", "customer-history", "product-history", "all"}
READS_RAW = {"base", "history"}


@cache
def _description(model: Path) -> dict[str, Any]:
    """Return what the yml beside a model says of it."""
    beside = yaml.safe_load(model.with_suffix(".yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = next(entry for entry in beside["models"] if entry["name"] == model.stem)
    return found


def _test_names(tests: list[Any]) -> set[str]:
    return {test if isinstance(test, str) else next(iter(test)) for test in tests}


every_model = pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)


def test_there_are_models() -> None:
    assert {f"base_{entity}" for entity in ENTITIES} | {f"stg_{entity}" for entity in ENTITIES} <= {
        m.stem for m in MODELS
    }


@every_model
def test_every_model_says_its_grain_first(model: Path) -> None:
    assert _description(model)["description"].startswith("One row per ")


@every_model
def test_every_model_tests_its_key(model: Path) -> None:
    described = _description(model)
    single = [c for c in described.get("columns", []) if {"unique", "not_null"} <= _test_names(c.get("data_tests", []))]
    combined = {name for name in _test_names(described.get("data_tests", [])) if "unique" in name}
    assert single or combined, f"{model.stem} has no test of its key"


@every_model
def test_every_model_declares_what_a_change_touches(model: Path) -> None:
    meta = _description(model)["config"]["meta"]
    assert meta["impact_scope"] in SCOPES
    assert meta["impact_scope"] == "all" or meta["impact_column"]
    assert (meta["impact_scope"] == "key") == ("impact_entity" in meta)


@every_model
def test_every_model_has_a_key_among_its_columns(model: Path) -> None:
    described = _description(model)
    key = described["config"]["meta"]["key"]
    assert key
    assert set(key) <= {column["name"] for column in described["columns"]}


@every_model
def test_every_column_is_described(model: Path) -> None:
    described = _description(model)
    assert [column["name"] for column in described["columns"] if not column.get("description", "").strip()] == []


@every_model
def test_every_model_that_is_built_in_parts_restricts_itself_to_what_is_touched(model: Path) -> None:
    described = _description(model)
    is_in_parts = described["config"]["meta"]["impact_scope"] != "all"
    text = model.read_text(encoding="utf-8")
    restricting = ("impact_filter(", "newest_versions(", "distinct_changes(", "priced_order_items(is_part=true)")
    assert any(macro in text for macro in restricting) == is_in_parts


@every_model
def test_no_model_reads_the_table_it_builds(model: Path) -> None:
    """The materialization deletes touched rows before it asks the model what they are now."""
    assert not re.search(r"\bthis\b", re.sub(r"--.*", "", model.read_text(encoding="utf-8")))


@pytest.mark.parametrize("model", [m for m in MODELS if m.parent.name == "marts"], ids=lambda path: path.stem)
def test_every_mart_has_an_enforced_contract_and_a_key(model: Path) -> None:
    config = _description(model)["config"]
    assert config["contract"]["enforced"] is True
    assert set(config["meta"]["key"]) <= {column["name"] for column in _description(model)["columns"]}


@every_model
def test_a_model_that_is_built_in_parts_does_not_count_from_the_clock(model: Path) -> None:
    """Rows that a refresh does not touch would keep what was true at an earlier `as_of`."""
    if _description(model)["config"]["meta"]["impact_scope"] != "all":
        assert "as_of" not in model.read_text(encoding="utf-8")


@every_model
def test_no_model_asks_what_time_it_is(model: Path) -> None:
    text = model.read_text(encoding="utf-8").lower()
    assert not re.search(r"\b(current_date|current_timestamp|getdate|sysdate|localtimestamp)\b", text)


@every_model
def test_no_model_computes_with_floats(model: Path) -> None:
    assert not re.search(r"\b(float|double|real)\b", model.read_text(encoding="utf-8").lower())


@every_model
def test_only_base_and_history_models_read_raw(model: Path) -> None:
    text = model.read_text(encoding="utf-8")
    reads_raw = any(door in text for door in ("source('raw'", "newest_versions(", "distinct_changes("))
    assert reads_raw == (model.parent.name in READS_RAW)


def test_the_status_sets_are_those_of_the_metrics() -> None:
    statuses = load_metrics().statuses
    assert set(VARS["counted_statuses"]) == set(statuses.counted)
    assert set(VARS["completed_statuses"]) == set(statuses.completed)
    assert set(VARS["cancelled_statuses"]) == set(statuses.cancelled)
    assert set(VARS["order_statuses"]) == set(statuses.counted) | set(statuses.cancelled) | {"pending"}


def test_the_accepted_statuses_are_the_declared_ones() -> None:
    columns = _description(ROOT / "dbt" / "models" / "staging" / "stg_orders.sql")["columns"]
    status = next(column for column in columns if column["name"] == "status")
    accepted = next(test["accepted_values"] for test in status["data_tests"] if "accepted_values" in test)
    assert accepted["arguments"]["values"] == VARS["order_statuses"]


def test_the_service_category_is_that_of_the_metrics() -> None:
    assert VARS["service_category"] == load_metrics().service_category


def test_the_daily_mart_has_a_column_for_every_metric() -> None:
    metrics = load_metrics()
    public = {name for name, aggregate in metrics.aggregates.items() if not aggregate.internal} | set(metrics.ratios)
    described = _description(ROOT / "dbt" / "models" / "marts" / "daily_business_metrics.sql")
    assert {column["name"] for column in described["columns"]} - {"date"} == public


def test_the_toast_placeholder_is_that_of_naming() -> None:
    assert VARS["toast_placeholder"] == TOAST_PLACEHOLDER


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_base_model_reads_the_columns_its_entity_declares(entity: str) -> None:
    text = (ROOT / "dbt" / "models" / "base" / f"base_{entity}.sql").read_text(encoding="utf-8")
    lists = {name: re.findall(r"'(\w+)'", body) for name, body in re.findall(r"(columns|toastable)=\[([^\]]*)\]", text)}
    declared = load_entity(entity)
    assert tuple(lists["columns"]) == declared.column_names
    assert tuple(lists.get("toastable", [])) == declared.toastable_names


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_staging_model_carries_every_column_of_its_entity_under_its_name(entity: str) -> None:
    """Schema evolution renames, widens and adds these in the table dbt has built."""
    text = (ROOT / "dbt" / "models" / "staging" / f"stg_{entity}.sql").read_text(encoding="utf-8")
    selected = re.findall(r"^    (\w+),?$", text[text.index("\n)\n") :], re.MULTILINE)
    assert [name for name in load_entity(entity).column_names if name not in selected] == []


def test_sql_orders_changes_as_the_entity_model_does() -> None:
    text = (ROOT / "dbt" / "macros" / "newest_versions.sql").read_text(encoding="utf-8")
    body = re.search(r"macro change_order_desc\(\) -%\}(.*?)\{%-? endmacro", text, re.DOTALL)
    assert body is not None
    written = body[1].replace("iff(__op = 'r', 0, 1)", "is_streamed").replace(" desc", "").split(",")
    assert tuple(part.strip() for part in written) == CHANGE_ORDER
