"""OPS.COMPACTION_LOG over the warehouse: what was written is read, and a run logged again replaces its rows."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from slackwater.clients.snowflake import Warehouse
from slackwater.warehouse.compaction_log import ROWS_PER_STATEMENT, LoggedPartition, read_log, write_log

pytestmark = pytest.mark.integration

ROW = LoggedPartition(
    run_id="r1", table_name="changes.orders", day=date(2010, 12, 1), decision="compact", outcome="rejected",
    reason="because 'quoted' ; and", file_count=9, delete_count=2, input_count=8, rewrite_bytes=2**40, score=12.345,
    files_after=1, deletes_after=0, bytes_after=70, evidence_tag="rejected-r1", logged_at=datetime(2026, 11, 28, 12),  # noqa: DTZ001
)  # fmt: skip
SKIPPED = replace(
    ROW, day=date(2010, 12, 2), decision="skip", outcome="skip", files_after=None, deletes_after=None, bytes_after=None,
    evidence_tag=None, score=0.0,
)  # fmt: skip


@pytest.fixture
def warehouse(sandbox):
    with Warehouse(sandbox.warehouse) as opened:
        yield opened


def test_what_was_logged_is_read_and_a_run_logged_again_replaces_its_rows_alone(warehouse):
    other = replace(ROW, run_id="r2")
    write_log(warehouse, [SKIPPED, ROW, other])
    assert read_log(warehouse, run_id="r1") == (ROW, SKIPPED)
    write_log(warehouse, [replace(ROW, outcome="rewritten")])
    assert read_log(warehouse, run_id="r1") == (replace(ROW, outcome="rewritten"),)
    assert read_log(warehouse, run_id="r2") == (other,)


def test_more_partitions_than_fit_into_a_statement_are_all_logged(warehouse):
    rows = [replace(ROW, day=ROW.day + timedelta(days=number)) for number in range(ROWS_PER_STATEMENT + 1)]
    write_log(warehouse, rows)
    assert read_log(warehouse, run_id="r1") == tuple(rows)
