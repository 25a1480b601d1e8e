"""Which batches a fold takes, and when one is worth it."""

from dataclasses import replace
from datetime import date

import pytest

from slackwater.entities.model import ChangeKey
from slackwater.lake.fold import FoldBacklog, UnfoldedBatch, decide_folds, plan_fold

FIRST, SECOND = date(2010, 12, 1), date(2010, 12, 2)
BATCH = UnfoldedBatch("b1", "orders", 10, frozenset({SECOND}))
BACKLOG = FoldBacklog("orders", batch_count=2, row_count=100, oldest_age_seconds=60.0)


def test_a_fold_names_its_batches_their_rows_and_every_date_once():
    request = plan_fold([BATCH, replace(BATCH, batch_id="b2", row_count=5, dates=frozenset({FIRST, SECOND}))])
    assert request is not None
    assert (request.entity, request.batch_ids, request.row_count) == ("orders", ("b1", "b2"), 15)
    assert request.dates == (FIRST, SECOND)


def test_dates_the_ledger_does_not_know_are_not_guessed():
    request = plan_fold([BATCH, replace(BATCH, batch_id="b2", dates=None)])
    assert request is not None
    assert request.dates == ()


def test_a_fold_is_bounded_by_batches_and_by_rows_but_takes_at_least_one():
    batches = [replace(BATCH, batch_id=f"b{number}") for number in range(5)]
    by_count, by_rows = plan_fold(batches, most_batches=3), plan_fold(batches, most_rows=25)
    huge = plan_fold([replace(BATCH, row_count=10**9), *batches], most_rows=25)
    assert by_count is not None
    assert by_rows is not None
    assert huge is not None
    assert (len(by_count.batch_ids), len(by_rows.batch_ids), len(huge.batch_ids)) == (3, 2, 1)


def test_nothing_unfolded_is_no_fold():
    assert plan_fold([]) is None


@pytest.mark.parametrize(
    ("backlog", "is_forced", "is_due", "because"),
    [
        pytest.param(BACKLOG, False, False, "skipped because fewer than 1000 rows", id="small and young"),
        pytest.param(replace(BACKLOG, row_count=1_000), False, True, "because at least 1000 rows", id="many rows"),
        pytest.param(replace(BACKLOG, oldest_age_seconds=3_600.0), False, True, "waits longer than 3600 s", id="old"),
        pytest.param(BACKLOG, True, True, "asked for", id="asked for"),
    ],
)
def test_a_fold_is_due_by_rows_by_age_or_by_wish_and_says_why(backlog, is_forced, is_due, because):
    [decision] = decide_folds([backlog], min_rows=1_000, max_wait_seconds=3_600, is_forced=is_forced)
    assert decision.is_due is is_due
    assert because in decision.reason


def test_the_text_of_a_place_sorts_as_places_do():
    places = [
        ChangeKey(epoch, lsn, streamed, position, object_id)
        for epoch in (0, 1)
        for lsn in (0, 9, 10, 2**62)
        for streamed in (False, True)
        for position in (0, 99, 100)
        for object_id in ("0a", "0b")
    ]
    assert sorted(places, key=lambda place: place.text) == places
    assert len({place.text for place in places}) == len(places)
