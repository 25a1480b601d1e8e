"""Every check of the gate says who acts and how, and no rule is written twice: dbt and Soda share the work."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from slackwater.quality.contracts import Contract, load_contracts

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = load_contracts()
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))
MODEL_FILES = sorted((ROOT / "dbt" / "models").rglob("*.yml"))

SODA_KIND: Mapping[str, str] = {"missing": "not_null", "duplicate": "unique", "invalid": "accepted_values"}
"""Column checks of Soda by the dbt test that means the same."""

IS_NULL = re.compile(r"^(\w+) is null$", re.IGNORECASE)

Rule = tuple[str, str, str]
"""Table, column and kind, upper case but for the kind."""


def _metas(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every `meta` of a tree of configurations or tests."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("meta", "+meta"):
                yield value
            else:
                yield from _metas(value)
    elif isinstance(node, list):
        for value in node:
            yield from _metas(value)


def _models() -> Iterator[dict[str, Any]]:
    for path in MODEL_FILES:
        yield from yaml.safe_load(path.read_text(encoding="utf-8")).get("models", [])


def _dbt_rules() -> Iterator[Rule]:
    for model in _models():
        for column in model.get("columns", []):
            for test in column.get("data_tests", []):
                kind = test if isinstance(test, str) else next(iter(test))
                yield model["name"].upper(), column["name"].upper(), kind


def _soda_rules(contract: Contract) -> Iterator[Rule]:
    for path, rule in contract.rules.items():
        parts = path.split(".")
        if parts[0] == "columns":
            yield contract.table, parts[1], SODA_KIND.get(parts[3], parts[3])
        elif found := IS_NULL.match(rule.failing_condition):
            yield contract.table, found[1].upper(), "not_null"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.dataset)
def test_every_check_of_a_contract_says_who_acts_and_how(contract: Contract) -> None:
    silent = [path for path, rule in contract.rules.items() if not (rule.owner and rule.remedy)]
    assert contract.rules
    assert silent == []


def test_every_dbt_test_inherits_or_says_who_acts_and_how() -> None:
    tests = PROJECT["data_tests"]["slackwater"]
    assert {"owner", "remedy"} <= set(tests["+meta"])
    own = [test for model in _models() for test in [*model.get("data_tests", []), *model.get("columns", [])]]
    told = [*_metas(tests), *(meta for test in own for meta in _metas(test))]
    assert [meta for meta in told if not (meta.get("owner") and meta.get("remedy"))] == []


def test_no_rule_is_written_twice() -> None:
    rules = Counter([*_dbt_rules(), *(rule for contract in CONTRACTS for rule in _soda_rules(contract))])
    assert ("STG_ORDERS", "ID", "not_null") in rules  # dbt's
    assert ("STG_ORDERS", "TOTAL_AMOUNT", "not_null") in rules  # Soda's
    assert [rule for rule, count in rules.items() if count > 1] == []


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.dataset)
def test_no_two_checks_of_a_contract_find_the_same_rows(contract: Contract) -> None:
    found = Counter((rule.failing_condition or rule.failing_query).lower() for rule in contract.rules.values())
    assert [text for text, count in found.items() if text and count > 1] == []
