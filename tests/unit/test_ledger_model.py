"""Legal changes of state, ids, and the walk to the frontier."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.errors import IllegalTransition
from slackwater.ledger.frontier import PositionRange, contiguous_frontier
from slackwater.ledger.model import BatchState, ObjectState, RefreshState, Subject, batch_id, is_legal, require_legal

LEGAL = {
    Subject.OBJECT: {
        (None, "seen"), (None, "quarantined"), ("seen", "batched"), ("seen", "quarantined"), ("seen", "superseded"),
        ("batched", "quarantined"), ("batched", "superseded"), ("quarantined", "seen"),
        ("quarantined", "superseded"), ("superseded", "seen"), ("quarantined", "discarded"), ("discarded", "seen"),
        (None, "batched"),
    },
    Subject.BATCH: {
        (None, "sealed"), (None, "landed"), (None, "loaded"), ("sealed", "landed"), ("landed", "loaded"),
        ("landed", "sealed"), ("loaded", "sealed"),
    },
    Subject.REFRESH: {
        (None, "building"), ("building", "tested"), ("building", "rejected"), ("tested", "published"),
        ("tested", "rejected"), (None, "published"),
    },
}  # fmt: skip
STATES = {Subject.OBJECT: ObjectState, Subject.BATCH: BatchState, Subject.REFRESH: RefreshState}


@pytest.mark.parametrize("subject", list(Subject))
def test_exactly_the_listed_changes_of_state_are_legal(subject):
    states = [state.value for state in STATES[subject]]
    found = {pair for pair in itertools.product([None, *states], states) if is_legal(subject, *pair)}
    assert found == LEGAL[subject]


def test_an_illegal_change_names_what_it_was():
    with pytest.raises(IllegalTransition, match="batch b1 cannot go from sealed to loaded"):
        require_legal(Subject.BATCH, "b1", BatchState.SEALED, BatchState.LOADED)


def test_a_batch_id_is_its_manifest_in_any_order():
    assert batch_id("orders", ["a", "b"]) == batch_id("orders", ["b", "a"])
    others = {batch_id("orders", ["a"]), batch_id("users", ["a", "b"]), batch_id("orders", ["a", "b"], attempt=1)}
    assert len(others | {batch_id("orders", ["a", "b"])}) == 4


def published(first, last):
    return PositionRange(first, last, is_settled=True, is_pending=False)


def pending(first, last):
    return PositionRange(first, last, is_settled=False, is_pending=True)


def aside(first, last):
    return PositionRange(first, last, is_settled=False, is_pending=False)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], None),
        ([published(5, 4)], None),
        ([published(0, 9)], 9),
        ([published(10, 19), published(0, 9)], 19),
        ([published(0, 9), published(11, 19)], 9),
        ([published(0, 9), published(5, 14)], 14),
        ([published(0, 9), pending(10, 19), published(20, 29)], 9),
        ([pending(0, 9), published(10, 19)], -1),
        ([published(0, 19), pending(10, 12)], 9),
        ([published(0, 9), aside(10, 19), published(20, 29)], 9),
        ([published(0, 9), aside(10, 19), published(10, 29)], 29),
        ([aside(0, 9), published(10, 19)], -1),
        ([published(7, 9)], 9),
        ([published(0, 9), pending(10, 9)], 9),
    ],
    ids=[
        "nothing", "only a file without rows", "one", "any order", "gap", "overlap", "unpublished between",
        "unpublished first", "unpublished inside a published one", "quarantined between",
        "quarantined, delivered again", "quarantined first", "starts above zero", "file without rows waits",
    ],
)  # fmt: skip
def test_the_frontier_stops_before_the_first_position_that_is_not_published(ranges, expected):
    assert contiguous_frontier(ranges) == expected


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.sampled_from([published, pending, aside]))))
def test_the_frontier_equals_a_walk_position_by_position(items):
    ranges = [kind(first, first + size) for first, size, kind in items]
    if not ranges:
        return
    done = {p for r in ranges if r.is_settled for p in range(r.first, r.last + 1)}
    waits = {p for r in ranges if r.is_pending for p in range(r.first, r.last + 1)}
    position = min(r.first for r in ranges)
    while position in done and position not in waits:
        position += 1
    assert contiguous_frontier(ranges) == position - 1
