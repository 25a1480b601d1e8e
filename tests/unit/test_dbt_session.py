"""A dbt that stays for several commands."""

from pathlib import Path

import pytest

from slackwater.testing.dbt_session import DbtSession
from slackwater.warehouse.dbt_cli import DbtCommand


def test_a_dbt_that_hangs_is_aborted_and_says_where_it_stood(tmp_path: Path) -> None:
    with (
        DbtSession(env={}, target_dir=tmp_path, limit_seconds=0.5) as dbt,
        pytest.raises(AssertionError, match=r"(?s)stopped early or hung:.*Fatal Python error: Aborted.*dbt_session"),
    ):
        dbt.run(DbtCommand(("parse",), {}))  # starting takes longer than this one may


def test_a_dbt_that_stops_says_what_it_said(tmp_path: Path) -> None:
    with (
        DbtSession(env={}, target_dir=tmp_path) as dbt,
        pytest.raises(AssertionError, match="No such command 'nonsense'"),
    ):
        dbt.run(DbtCommand(("nonsense",), {}))
