"""A dbt that stays for several commands."""

import os
from pathlib import Path

import pytest

from slackwater.testing.dbt_session import DbtSession
from slackwater.warehouse.dbt_cli import DbtCommand

LIMIT_SECONDS = 5.0
"""Long enough for Python to start, which has to be there to say where it stood."""


def test_a_dbt_that_hangs_is_aborted_and_says_where_it_stood(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dbt_project.yml")  # nobody writes into it, so whoever reads it waits for ever
    with (
        DbtSession(env={}, target_dir=tmp_path, limit_seconds=LIMIT_SECONDS) as dbt,
        pytest.raises(
            AssertionError, match=r"(?s)stopped early or hung:.*Fatal Python error: Aborted.*most recent call first"
        ),
    ):
        dbt.run(DbtCommand(("parse", "--project-dir", str(tmp_path), "--profiles-dir", str(tmp_path)), {}))


def test_a_dbt_that_stops_says_what_it_said(tmp_path: Path) -> None:
    with (
        DbtSession(env={}, target_dir=tmp_path) as dbt,
        pytest.raises(AssertionError, match="No such command 'nonsense'"),
    ):
        dbt.run(DbtCommand(("nonsense",), {}))
