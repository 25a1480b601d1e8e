"""What the structure tests look at: the tracked text files of the project, without running any of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
