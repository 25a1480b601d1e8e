"""Every command that a document, a message or the Makefile tells people to run exists."""

import re
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from slackwater.cli import app

PLANNED = {"erase"}
"""Commands that the pages of `NOT_BUILT_YET` name as not built yet; nothing else may name them."""

NOT_BUILT_YET = {"docs/requirements.md", "docs/verified.md"}
COMMAND = re.compile(r"(?<![\w./-])slackwater (?P<first>[a-z]+)(?: (?P<second>[a-z]+))?(?=[\s`'\";:,.)|\\\]]|$)")


@pytest.fixture(scope="module")
def commands() -> dict[str, set[str]]:
    """Every command with its subcommands."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return {
        name: set(command.commands) if isinstance(command, TyperGroup) else set()
        for name, command in root.commands.items()
    }


def _told(text: str) -> list[tuple[str, str]]:
    """Return the commands in code spans, console blocks and strings: whatever looks like something to type."""
    spans = re.findall(
        r"`([^`\n]+)`|^\$ (.+)$|\$\(SLACKWATER\) (.+)$|(?:run|see|:) ?(slackwater [a-z].*)$", text, re.MULTILINE
    )
    found = []
    for groups in spans:
        line = next(part for part in groups if part)
        line = f"slackwater {line}" if groups[2] else line
        found += [(match["first"], match["second"] or "") for match in COMMAND.finditer(line)]
    return found


def test_every_command_people_are_told_to_run_exists(
    root: Path, text_files: tuple[Path, ...], commands: dict[str, set[str]]
) -> None:
    unknown = []
    told_anything = False
    for path in text_files:
        name = path.relative_to(root).as_posix()
        if name.startswith("tests/"):
            continue
        for first, second in _told(path.read_text(encoding="utf-8")):
            told_anything = True
            is_known = first in commands and (not commands[first] or not second or second in commands[first])
            if not is_known and not (first in PLANNED and name in NOT_BUILT_YET):
                unknown.append(f"{name}: slackwater {first} {second}".rstrip())
    assert told_anything
    assert unknown == []


def test_every_command_says_what_it_does(commands: dict[str, set[str]]) -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    assert [name for name, command in root.commands.items() if not command.help] == []
    assert set(commands) >= {"stack", "replay", "status", "batches", "quarantine", "doctor", "sql", "env"}
