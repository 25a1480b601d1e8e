"""What the structure tests look at: the tracked text files of the project, and dbt's manifest of it."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slackwater.warehouse.dbt_cli import compile_command

ROOT = Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {"__pycache__", "build", "target", "logs", "dbt_packages", "spark-warehouse", "metastore_db"}
HIDDEN_AND_OURS = {".ci"}
TEXT_SUFFIXES = {"", ".py", ".md", ".yml", ".yaml", ".toml", ".sql", ".html", ".j2", ".svg", ".sh", ".ini", ".mako"}


def _is_foreign(folder: str) -> bool:
    is_hidden = folder.startswith(".") and folder not in HIDDEN_AND_OURS
    return is_hidden or folder in SKIPPED_FOLDERS or folder.endswith(".egg-info")


def _text_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        folders = path.relative_to(ROOT).parts[:-1]
        if any(_is_foreign(folder) for folder in folders):
            continue
        if path.is_file() and path.suffix in TEXT_SUFFIXES:
            yield path


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def text_files() -> tuple[Path, ...]:
    return tuple(_text_files())


@pytest.fixture(scope="session")
def python_files(text_files: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path for path in text_files if path.suffix == ".py")


@pytest.fixture(scope="session")
def manifest_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return dbt's manifest with every model compiled; the test processes of one session share it."""
    base = tmp_path_factory.getbasetemp()
    target = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "dbt-manifest"
    target.mkdir(exist_ok=True)
    path = target / "manifest.json"
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            command = compile_command(target_dir=target)
            done = subprocess.run(
                [sys.executable, "-m", "dbt.cli.main", *command.arguments],
                env={**os.environ, **command.environment},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return path


@pytest.fixture(scope="session")
def manifest(manifest_path: Path) -> dict[str, Any]:
    """Return the manifest as a document."""
    found: dict[str, Any] = json.loads(manifest_path.read_bytes())
    return found
