"""The lake's upkeep after changes, by its own flows: rewritten, kept within its retention, and the same rows."""

import pytest
from upkeep import fold_to_the_end, look_after_the_lake, shop_rows, start_run, state_rows, wait_for_run
from world import World

pytestmark = [pytest.mark.e2e, pytest.mark.spark]

MAINTAIN = "maintain-lake/daily"
DECISIONS = (
    "select day, decision, outcome, file_count, files_after, delete_count, deletes_after from OPS.COMPACTION_LOG"
    " where table_name = 'ecommerce.orders' and outcome = 'rewritten'"
)


def test_folded_changes_are_cleared_away_by_a_verified_rewrite(december: World) -> None:
    fold_to_the_end(december)
    run = look_after_the_lake(december)
    assert run.state_type == "COMPLETED", run.state_message
    rewritten = december.warehouse(DECISIONS)
    assert rewritten, run.state_message
    for _day, decision, _outcome, files, files_after, deletes, deletes_after in rewritten:
        assert decision == "compact"
        assert (files_after, deletes_after) < (files, deletes)
    assert state_rows(december, "orders") == shop_rows(december, "orders")


def test_the_daily_keeping_changes_no_row_and_says_what_is_stored(december: World) -> None:
    before = {entity: state_rows(december, entity) for entity in ("orders", "order_items")}
    looked = wait_for_run(december, start_run(december, MAINTAIN, {"dry_run": True}))
    assert (looked.state_type, looked.state_message[:11]) == ("COMPLETED", "Looked only"), looked.state_message
    kept = wait_for_run(december, start_run(december, MAINTAIN, {"dry_run": False}))
    assert kept.state_type == "COMPLETED", kept.state_message
    assert kept.state_message.endswith("files now."), kept.state_message
    assert {entity: state_rows(december, entity) for entity in before} == before
