"""Generated documents say what the code says."""

from pathlib import Path

import pytest

from slackwater.settings_reference import rendered, setting_groups


@pytest.mark.parametrize("name", sorted(rendered()))
def test_the_generated_settings_documents_are_fresh(root: Path, name: str) -> None:
    assert (root / name).read_text(encoding="utf-8") == rendered()[name], "run: python -m slackwater.settings_reference --write"


def test_every_setting_is_described() -> None:
    settings = [setting for group in setting_groups() for setting in group.settings]
    assert settings
    assert [setting.variable for setting in settings if not setting.description] == []


def test_every_setting_has_a_name_of_its_own() -> None:
    names = [setting.variable for group in setting_groups() for setting in group.settings]
    assert len(names) == len(set(names))
    assert all(name.startswith("SLACKWATER_") for name in names)
