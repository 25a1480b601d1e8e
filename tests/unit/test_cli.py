from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.commands import waiting
from slackwater.ledger.answers import EntityStatus, InFlight, LedgerStatus

COMMANDS = {
    *("stack up", "stack down", "stack status", "stack logs", "replay", "status", "batches list", "batches show"),
    "completeness",
    *(
        "batches retry",
        "quarantine list",
        "quarantine show",
        "quarantine retry",
        "quarantine discard",
        "doctor",
        "sql",
        "env",
        "demo",
    ),
}


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _walk(inner, (*path, name))


def test_the_promised_commands_are_there() -> None:
    found = {" ".join(path) for path, _ in _walk(typer.main.get_command(app))}
    assert found >= COMMANDS


def test_every_command_and_option_has_help() -> None:
    silent = []
    for path, command in _walk(typer.main.get_command(app)):
        if not (command.help or "").strip():
            silent.append(" ".join(path))
        silent += [f"{' '.join(path)} {option.name}" for option in command.params if not getattr(option, "help", "")]
    assert silent == []


def test_without_a_stack_a_command_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["env"], ["status"], ["stack", "status"], ["sql", "shop", "select 1"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1, arguments
        assert "slackwater stack up" in result.output, arguments


def test_down_without_a_stack_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["stack", "down"])
    assert result.exit_code == 0
    assert "Nothing was running" in result.output


def _progress(*, queued: int = 0, unseen: int | None = 0, flight: InFlight | None = None) -> waiting.Progress:
    nothing = InFlight(0, 0, 0, 0, 0)
    entity = EntityStatus("users", {"batched": 3}, {"published": 1, "sealed": 2}, None, None, None, ())
    return waiting.Progress(queued, unseen, LedgerStatus((entity,), flight or nothing, (), (), (), 0, None))


@pytest.mark.parametrize(
    ("progress", "is_quiet"),
    [
        (_progress(), True),
        (_progress(queued=1, unseen=None), False),
        (_progress(unseen=1), False),
        (_progress(unseen=None), False),
        (_progress(flight=InFlight(1, 0, 0, 0, 0)), False),
        (_progress(flight=InFlight(0, 0, 0, 1, 0)), False),
        (_progress(flight=InFlight(0, 0, 0, 0, 5)), True),
    ],
    ids=["all through", "queued", "unseen file", "not counted", "open object", "open refresh", "rejected waits"],
)
def test_quiet_means_nothing_is_on_its_way_anywhere(progress: waiting.Progress, is_quiet: bool) -> None:
    assert progress.is_quiet is is_quiet


def test_the_progress_line_counts_batches_per_stage() -> None:
    assert "batches 3: 2 sealed, 0 in the lake, 1 in the warehouse, 1 published" in _progress().line
