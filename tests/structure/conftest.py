"""What the structure tests look at: the tracked text files of the project, without running any of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {".git", ".venv", ".slackwater", "build", "target", "logs", "dbt_packages", "spark-warehouse", "node_modules"}
TEXT_SUFFIXES = {".py", ".md", ".yml", ".yaml", ".toml", ".sql", ".html", ".j2", ".svg", ".sh", ".ini", ".mako", ".txt", ""}


def _text_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if any(part in SKIPPED_FOLDERS or part.endswith(("_cache", ".egg-info", "__pycache__")) for part in parts):
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
