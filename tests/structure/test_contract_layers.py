"""Which layers of the warehouse have Soda contracts, and what each contract must hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from slackwater.naming import ENTITIES
from slackwater.quality.contracts import CONTRACTS_DIR, Contract, load_contracts
from slackwater.quality.results import Layer

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / "dbt" / "models").rglob("*.sql"))
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))
CONTRACTS = load_contracts()

CONTRACT_LAYERS: Mapping[str, Layer] = {
    "staging": Layer.STAGING,
    "enhanced": Layer.STAGING,
    "marts": Layer.MARTS,
}
"""Folders of models whose every model has a contract, and the layer it lies in."""

LAYERS_WITHOUT: Mapping[str, str] = {
    "base": "the raw contract judges the same rows, and the staging contract that none is lost",
    "history": "dbt tests its keys; the models above it are compared with a second computation",
    "intermediate": "a step of a mart; the mart's contract compares its volume with staging",
}
"""Folders whose models need none, and why."""

EVERYWHERE = {"schema", "volume"}
"""Checks every contract has; what is left of it is its distribution."""


def _contract_file(model: Path) -> Path:
    return CONTRACTS_DIR / CONTRACT_LAYERS[model.parent.name].value / f"{model.stem}.yml"


def _kinds(contract: Contract) -> set[str]:
    """Return the last part of each check's place: its qualifier, or its kind without one."""
    return {path.split(".")[-1] for path in contract.rules}


def test_every_folder_of_models_says_whether_it_has_contracts() -> None:
    folders = {model.parent.name for model in MODELS}
    assert folders == set(CONTRACT_LAYERS) | set(LAYERS_WITHOUT)


@pytest.mark.parametrize("model", [m for m in MODELS if m.parent.name in CONTRACT_LAYERS], ids=lambda path: path.stem)
def test_every_model_of_a_layer_with_contracts_has_one_of_its_own_table(model: Path) -> None:
    path = _contract_file(model)
    assert path.is_file(), f"{model.stem} has no contract: write {path.relative_to(ROOT)}"
    schema = PROJECT["models"]["slackwater"][model.parent.name]["+schema"]
    (contract,) = [each for each in CONTRACTS if each.path == path]
    assert contract.dataset == f"{schema}.{model.stem.upper()}"


def test_every_contract_is_of_a_raw_table_or_of_a_model() -> None:
    raw = {CONTRACTS_DIR / Layer.RAW.value / f"{entity}.yml" for entity in ENTITIES}
    assert {contract.path for contract in CONTRACTS} == raw | {
        _contract_file(model) for model in MODELS if model.parent.name in CONTRACT_LAYERS
    }


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.dataset)
def test_every_contract_checks_schema_volume_and_distribution(contract: Contract) -> None:
    assert _kinds(contract) >= EVERYWHERE
    assert _kinds(contract) - EVERYWHERE, f"{contract.path.name} says nothing about the values"


@pytest.mark.parametrize("model", [m for m in MODELS if m.parent.name == "enhanced"], ids=lambda path: path.stem)
def test_the_contract_of_an_enhanced_model_has_exactly_its_columns(model: Path) -> None:
    declared = yaml.safe_load(_contract_file(model).read_text(encoding="utf-8"))["columns"]
    (described,) = yaml.safe_load(model.with_suffix(".yml").read_text(encoding="utf-8"))["models"]
    assert [column["name"] for column in declared] == [column["name"].upper() for column in described["columns"]]
