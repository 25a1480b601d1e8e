"""What counts as the same content, and what the log says of a partition."""

from datetime import date, datetime

import pytest

from slackwater.errors import RewriteRejected
from slackwater.lake.compaction import CompactionPlan, Decision, PartitionDecision
from slackwater.lake.policy import TableKind, load_policy
from slackwater.lake.rewrite import (
    Outcome,
    PartitionCheck,
    PartitionCounts,
    PartitionDifference,
    RewriteResult,
    compare_checks,
    require_good,
)
from slackwater.warehouse.compaction_log import log_rows

DAY, NEXT, LAST = date(2010, 12, 1), date(2010, 12, 2), date(2010, 12, 3)
CHECK = PartitionCheck(row_count=3, key_sum=1, key_xor=2, content_sum=3, content_xor=4)
NOON = datetime(2026, 11, 28, 12)  # noqa: DTZ001 - the warehouse's times are naive UTC


@pytest.mark.parametrize("field", PartitionCheck.model_fields)
def test_content_differs_when_one_of_its_numbers_does(field):
    other = CHECK.model_copy(update={field: getattr(CHECK, field) + 1})
    assert [one.day for one in compare_checks({DAY: CHECK, NEXT: CHECK}, {DAY: CHECK, NEXT: other})] == [NEXT]


def test_a_partition_that_vanished_or_appeared_differs():
    found = compare_checks({DAY: CHECK}, {NEXT: CHECK})
    assert [one.told for one in found] == ["2010-12-01: 3 rows became 0", "2010-12-02: 0 rows became 3"]
    assert compare_checks({DAY: CHECK}, {DAY: CHECK}) == ()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"row_count": 4, "key_sum": 9}, "3 rows became 4"),
        ({"key_sum": 9}, "3 rows, other keys"),
        ({"content_xor": 9}, "3 rows, other values"),
    ],
)
def test_a_difference_says_what_kind_it_is(changed, told):
    found = PartitionDifference(day=DAY, before=CHECK, after=CHECK.model_copy(update=changed))
    assert found.told == f"2010-12-01: {told}"


def result(outcome, **others):
    return RewriteResult(rewrite_id="r1", table="changes.orders", outcome=outcome, **others)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_rewrite_that_changed_rows_is_an_error_for_its_caller_and_no_other_is(outcome):
    if outcome is Outcome.REJECTED:
        with pytest.raises(RewriteRejected, match=r"changes\.orders: why"):
            require_good(result(outcome, reason="why"))
    else:
        require_good(result(outcome, reason="why"))


def decision(day, chosen):
    return PartitionDecision(
        table="changes.orders", day=day, decision=Decision.COMPACT if chosen else Decision.SKIP, reason="of this",
        file_count=9, input_count=8, output_count=1, delete_count=0, rewrite_bytes=70, score=1.5,
    )  # fmt: skip


PLAN = CompactionPlan(
    "changes.orders",
    load_policy().of_table(TableKind.CHANGELOG, "orders"),
    (decision(DAY, chosen=True), decision(NEXT, chosen=False), decision(LAST, chosen=True)),
)
COUNTS = PartitionCounts(
    day=DAY, files_before=9, files_after=2, deletes_before=0, deletes_after=0, bytes_before=70, bytes_after=60
)


def logged(ended):
    rows = log_rows(PLAN, dict.fromkeys((DAY, LAST), ended) if ended else {}, run_id="r1", logged_at=NOON)
    return [(row.day, row.decision, row.outcome, row.reason, row.files_after) for row in rows]


def test_the_log_says_of_every_partition_what_was_decided_and_what_came_of_it():
    assert logged(result(Outcome.REWRITTEN, counts=(COUNTS,))) == [
        (DAY, "compact", "rewritten", "compacted because of this", 2),
        (NEXT, "skip", "skip", "skipped because of this", None),
        (LAST, "compact", "unchanged", "to be compacted because of this; but its files stayed as they were", None),
    ]


@pytest.mark.parametrize(
    ("ended", "outcome", "trouble"),
    [
        (result(Outcome.REJECTED, reason="it was bad"), "rejected", "; but it was bad"),
        ("StoreRejected: no", "failed", "; but StoreRejected: no"),
    ],
)
def test_the_log_says_what_went_wrong_with_a_chosen_partition_and_nothing_of_a_skipped_one(ended, outcome, trouble):
    rows = logged(ended)
    assert rows[0][2:4] == rows[2][2:4] == (outcome, f"to be compacted because of this{trouble}")
    assert rows[1][2:4] == ("skip", "skipped because of this")


def test_the_log_tells_the_rewrite_of_each_partition_by_its_own_group():
    ended = {DAY: result(Outcome.REJECTED, reason="bad", evidence_tag="rejected-1"), LAST: "CommitConflict: late"}
    rows = log_rows(PLAN, ended, run_id="r1", logged_at=NOON)
    assert [(row.outcome, row.evidence_tag) for row in rows] == [
        ("rejected", "rejected-1"), ("skip", None), ("failed", None)
    ]  # fmt: skip


def test_a_chosen_partition_whose_rewrite_was_not_begun_is_logged_as_such():
    assert [row[2] for row in logged(None)] == ["not tried", "skip", "not tried"]
