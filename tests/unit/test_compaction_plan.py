"""Which partitions are worth a rewrite, within a budget, and why the others are not."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slackwater.errors import InvalidPlanError
from slackwater.lake.compaction import Decision, PartitionFiles, plan_compaction
from slackwater.lake.packing import pack
from slackwater.lake.policy import TableKind, TablePolicy

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)
MIB = 2**20
POLICY = TablePolicy(
    target_file_bytes=16 * MIB, min_inputs=5, min_score=50, budget_bytes_per_run=100 * MIB,
    target_bytes_per_commit=20 * MIB, closed_after_hours=24, is_sorted_by_key=False,
)  # fmt: skip
FIRST = date(2010, 12, 1)


def partition(number=0, *, files=10, size=MIB, **others):
    day = FIRST + timedelta(days=number)
    return PartitionFiles(day, (size,) * files, written_at=LONG_AGO, **others)


def plan(*partitions, kind=TableKind.CHANGELOG, policy=POLICY, claimed=()):
    return plan_compaction(kind, "orders", partitions, policy=policy, now=NOW, claimed=claimed)


def only(*partitions, **given):
    (decision,) = plan(*partitions, **given).decisions
    return decision


def test_many_small_files_are_joined():
    found = only(partition(files=40))
    assert found.decision is Decision.COMPACT
    assert (found.input_count, found.output_count, found.rewrite_bytes) == (40, 3, 40 * MIB)
    assert found.told.startswith("changes.orders 2010-12-01: compacted because 40 of its 40 files become about 3;")


def test_fewer_small_files_than_the_policy_asks_for_are_left_alone():
    found = only(partition(files=4))
    assert found.told == (
        "changes.orders 2010-12-01: skipped because 4 of its 4 files are far from the target size, fewer than 5"
    )
    assert only(partition(files=5)).decision is Decision.COMPACT


@pytest.mark.parametrize(
    ("size", "is_input"),
    [(12 * MIB - 1, True), (12 * MIB, False), (28 * MIB, False), (29 * MIB, True)],
    ids=["below three quarters", "three quarters", "just under 1.8 times", "above 1.8 times"],
)
def test_only_files_far_from_the_target_are_inputs(size, is_input):
    files = replace(partition(), file_bytes=(MIB,) * 10 + (size,))
    assert only(files).input_count == 10 + is_input


def test_files_that_would_stay_as_many_are_left_alone():
    found = only(partition(files=5, size=11 * MIB), policy=POLICY.model_copy(update={"min_score": 0.0}))
    assert (found.output_count, found.decision) == (4, Decision.COMPACT)
    large = only(partition(files=5, size=31 * MIB), policy=POLICY.model_copy(update={"budget_bytes_per_run": 2**30}))
    assert "a rewrite of 5 files would make 10" in large.reason


def test_little_gain_for_many_bytes_is_below_the_score():
    found = only(partition(files=5, size=11 * MIB))
    assert (found.decision, "is below 50 files per GiB" in found.reason) == (Decision.SKIP, True)


def test_delete_files_alone_are_worth_a_rewrite_of_the_whole_partition():
    files = replace(partition(), file_bytes=(15 * MIB,), delete_count=3, delete_bytes=MIB, deleted_row_count=1_200)
    found = only(files, kind=TableKind.STATE)
    assert (found.decision, found.input_count, found.rewrite_bytes) == (Decision.COMPACT, 1, 16 * MIB)
    assert "3 delete files with 1,200 rows go" in found.reason


@pytest.mark.parametrize("claimed", [{FIRST}, None], ids=["this day", "days not known"])
def test_a_changelog_partition_with_an_open_claim_is_left_alone_and_a_state_partition_is_not(claimed):
    found = plan(partition(0), partition(1), claimed=claimed)
    assert found.days == (() if claimed is None else (FIRST + timedelta(days=1),))
    assert (
        "not loaded and folded" in found.decisions[0].reason or "may have rows of any day" in found.decisions[0].reason
    )
    assert len(plan(partition(0), partition(1), kind=TableKind.STATE, claimed=claimed).days) == 2


@pytest.mark.parametrize(
    ("hours", "is_closed"), [(23.9, False), (24.0, True)], ids=["written to just now", "a day ago"]
)
def test_a_partition_is_closed_when_nothing_was_committed_to_it_for_so_long(hours, is_closed):
    files = replace(partition(), written_at=NOW - timedelta(hours=hours))
    found = only(files)
    assert (found.decision is Decision.COMPACT) is is_closed
    assert is_closed or found.reason == "it was written to 23.9 h ago and counts as closed after 24 h"
    always = POLICY.model_copy(update={"closed_after_hours": 0})
    assert only(files, kind=TableKind.STATE, policy=always).decision is Decision.COMPACT


def test_the_best_partitions_are_taken_until_the_budget_is_used_up():
    good, better, small = partition(0, files=70), partition(1, files=80, size=MIB // 2), partition(2, files=5)
    found = plan(good, better, small)
    assert found.days == (better.day, small.day)
    assert found.rewrite_bytes == 45 * MIB <= POLICY.budget_bytes_per_run
    told = "better ones left 62,914,560 of 104,857,600 bytes and it needs 73,400,320; a later run"
    assert found.decisions[0].reason == told


def test_a_partition_greater_than_any_run_is_named():
    found = plan(partition(0, files=101), partition(1))
    assert found.days == (FIRST + timedelta(days=1),)
    assert "raise budget_bytes_per_run" in found.decisions[0].reason


def test_chosen_days_are_rewritten_in_groups_of_about_the_bytes_of_one_commit():
    found = plan(*(partition(number, files=12) for number in range(3)), partition(3, files=8), partition(4, files=30))
    day = [FIRST + timedelta(days=number) for number in range(5)]
    assert found.groups == ((day[0], day[3]), (day[1],), (day[2],), (day[4],))
    assert plan(partition(files=1)).groups == ()


def test_of_two_partitions_with_as_many_files_the_smaller_comes_first():
    small, large = partition(1, files=10, size=MIB), partition(0, files=10, size=8 * MIB)
    scores = {one.day: one.score for one in plan(small, large).decisions}
    assert scores[small.day] > scores[large.day]


def test_where_one_partition_in_twenty_is_worth_it_a_third_of_the_bytes_bring_nine_tenths_of_the_files():
    worth_it = [partition(number, files=400, size=MIB // 50) for number in range(0, 100, 20)]
    others = [partition(number, files=3, size=6 * MIB) for number in range(100) if number % 20]
    found = plan(*worth_it, *others)
    everything = plan(*worth_it, *others, policy=POLICY.model_copy(update={"min_inputs": 2, "min_score": 0.0,
                                                                           "budget_bytes_per_run": 2**40}))  # fmt: skip

    def removed(one):
        return sum(chosen.input_count - chosen.output_count for chosen in one.chosen)

    assert len(everything.days) == 100
    assert found.days == tuple(one.day for one in worth_it)
    assert removed(found) >= 0.9 * removed(everything)
    assert 3 * found.rewrite_bytes <= everything.rewrite_bytes


def test_a_partition_that_came_twice_or_a_file_of_no_size_is_refused():
    with pytest.raises(InvalidPlanError, match="twice"):
        plan(partition(), partition())
    with pytest.raises(InvalidPlanError, match="no size"):
        plan(partition(size=0))


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The time of an example says nothing of the rule on cores that others use too."""

partitions_drawn = st.lists(
    st.builds(
        PartitionFiles,
        day=st.dates(FIRST, FIRST + timedelta(days=60)),
        file_bytes=st.lists(st.integers(1, 40 * MIB), max_size=20).map(tuple),
        delete_count=st.integers(0, 3),
        delete_bytes=st.integers(0, MIB),
        written_at=st.none() | st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 28), timezones=st.just(UTC)),  # noqa: DTZ001
    ),
    unique_by=lambda one: one.day,
    max_size=15,
)


@unhurried
@given(partitions_drawn, st.sampled_from(TableKind), st.sets(st.dates(FIRST, FIRST + timedelta(days=60))))
def test_every_partition_has_a_reason_and_the_budget_and_the_claims_hold(partitions, kind, claimed):
    found = plan(*partitions, kind=kind, claimed=claimed)
    assert [one.day for one in found.decisions] == sorted(one.day for one in partitions)
    assert all(one.reason for one in found.decisions)
    assert found.rewrite_bytes <= POLICY.budget_bytes_per_run
    assert kind is TableKind.STATE or not claimed & set(found.days)
    assert sorted(day for group in found.groups for day in group) == list(found.days)
    for one in found.chosen:
        assert one.score >= POLICY.min_score
        assert one.input_count >= POLICY.min_inputs or one.delete_count
        assert one.output_count < one.input_count or one.delete_count


@unhurried
@given(st.lists(st.integers(1, 100), max_size=40), st.integers(1, 100))
def test_packing_loses_nothing_and_keeps_every_bin_within_its_target(weights, target):
    bins = pack(weights, weight=lambda item: item, target=target)
    assert sorted(item for one in bins for item in one) == sorted(weights)
    assert all(sum(one) <= target or len(one) == 1 for one in bins)
    assert sum(2 * sum(one) <= target for one in bins) <= 1, "two half empty bins would have been one"


@pytest.mark.parametrize(("items", "target"), [([1], 0), ([0], 1)])
def test_packing_refuses_what_has_no_weight(items, target):
    with pytest.raises(InvalidPlanError):
        pack(items, weight=lambda item: item, target=target)
