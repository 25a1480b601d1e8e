"""Generated documents say what the code says."""

import re
import tomllib
from pathlib import Path

import pytest

from slackwater.settings_reference import rendered, setting_groups


@pytest.mark.parametrize("name", sorted(rendered()))
def test_the_generated_settings_documents_are_fresh(root: Path, name: str) -> None:
    assert (root / name).read_text(encoding="utf-8") == rendered()[name], (
        "run: python -m slackwater.settings_reference --write"
    )


def test_every_setting_is_described() -> None:
    settings = [setting for group in setting_groups() for setting in group.settings]
    assert settings
    assert [setting.variable for setting in settings if not setting.description] == []


def test_every_setting_has_a_name_of_its_own() -> None:
    names = [setting.variable for group in setting_groups() for setting in group.settings]
    assert len(names) == len(set(names))
    assert all(name.startswith("SLACKWATER_") for name in names)


def test_every_reason_of_a_refused_file_is_explained(root: Path) -> None:
    page = (root / "docs/how-to/put-your-own-files.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([a-z_]+)`", page))
    raised = set()
    refusing = (
        "landing/reader.py",
        "landing/s3_notice.py",
        "entities/casting.py",
        "clients/s3.py",
        "ledger/objects.py",
    )
    for name in refusing:
        text = (root / "slackwater" / name).read_text(encoding="utf-8")
        raised |= set(re.findall(r"(?:MalformedObject|SchemaDrift|_BadKey)\(\s*\"([a-z_]+)\"", text))
        raised |= set(re.findall(r"reason(?:, message)? ?= ?\"([a-z_]+)\"", text))
    assert {"not_parquet", "schema_change", "unparseable_key"} <= raised
    assert raised - explained == set()


def test_every_dependency_has_its_reason(root: Path) -> None:
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    groups = (declared["project"]["dependencies"], *declared["dependency-groups"].values())
    lines = [line for group in groups for line in group]
    names = {re.split(r"[\[<>=~! ]", line)[0] for line in lines if isinstance(line, str)}
    text = (root / "DECISIONS.md").read_text(encoding="utf-8")
    table = text[text.index("## Dependencies, one by one") :]
    first_cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    reasoned = {name for cell in first_cells for name in re.findall(r"[\w-]+", cell)}
    assert names - reasoned == set()
