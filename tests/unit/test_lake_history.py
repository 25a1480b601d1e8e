"""What a table's snapshots say of its past, and what lies between two of them."""

from datetime import UTC, datetime, timedelta

import pytest

from slackwater.errors import NotKnown
from slackwater.lake.history import (
    TABLES,
    BatchDifference,
    KeyDifference,
    Snapshot,
    TableHistory,
    compare_batches,
    compare_keys,
    entity_of,
    folded_between,
    is_changelog,
    lost_by_rollback,
)

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def snapshot(number, parent, **values):
    return Snapshot(number, parent, NOON + timedelta(minutes=number), **values)


def history(*snapshots, **refs):
    return TableHistory("ecommerce.orders", snapshots, refs)


FORKED = history(
    snapshot(1, None, folded_batches=("a",)),
    snapshot(2, 1, folded_batches=("b", "c")),
    snapshot(3, 2, operation="replace"),
    snapshot(4, 2, folded_batches=("d",)),
    main=3,
    audit=4,
)


def test_every_entity_has_a_changelog_and_a_state_table_and_other_names_are_refused():
    assert len(TABLES) == 8
    assert (entity_of("changes.order_items"), entity_of("ecommerce.users")) == ("order_items", "users")
    assert (is_changelog("changes.orders"), is_changelog("ecommerce.orders")) == (True, False)
    for name in ("orders", "changes.order", "changes.orders; drop table x"):
        with pytest.raises(NotKnown, match=r"has no table .*changes\.orders, ecommerce\.orders"):
            entity_of(name)


def test_ancestors_end_where_history_was_expired():
    cut = history(snapshot(2, 1), snapshot(3, 2), main=3)
    assert [one.snapshot_id for one in cut.ancestors(3)] == [3, 2]
    assert list(cut.ancestors(None)) == []


def test_a_rollback_loses_what_came_after_the_target_on_main_alone():
    assert [one.snapshot_id for one in lost_by_rollback(FORKED, 1)] == [3, 2]
    assert lost_by_rollback(FORKED, 3) == ()
    assert [one.batch_ids for one in lost_by_rollback(FORKED, 1)] == [(), ("b", "c")]


def test_only_an_ancestor_of_main_can_be_returned_to():
    with pytest.raises(NotKnown, match=r"snapshot 4 of ecommerce\.orders is no ancestor of main \(at 3\)"):
        lost_by_rollback(FORKED, 4)
    with pytest.raises(NotKnown, match=r"has no snapshot 99: .* `slackwater lake snapshots ecommerce\.orders`"):
        lost_by_rollback(FORKED, 99)


def test_a_snapshot_is_named_by_its_branches():
    assert (FORKED.names_of(3), FORKED.names_of(4), FORKED.names_of(1)) == (("main",), ("audit",), ())


def test_folds_between_two_snapshots_are_those_of_one_side_alone():
    assert folded_between(FORKED, 3, 4) == ("d",)
    assert folded_between(FORKED, 4, 3) == ()
    assert folded_between(FORKED, 1, 4) == ("b", "c", "d")


def test_batches_differ_when_their_row_counts_do():
    assert compare_batches({"a": 3, "b": 2, "c": 1}, {"a": 3, "b": 5, "d": 4}) == (
        BatchDifference("b", 2, 5),
        BatchDifference("c", 1, 0),
        BatchDifference("d", 0, 4),
    )


def test_keys_are_counted_by_what_became_of_them():
    lives, dead = (lambda place: (True, (place,))), (lambda place: (False, (place,)))
    before = {1: lives(1), 2: lives(1), 3: lives(1), 4: dead(1), 5: dead(1), 6: dead(1)}
    after = {1: lives(1), 2: lives(2), 3: dead(2), 4: lives(2), 5: dead(1), 7: lives(1), 8: dead(1)}
    assert compare_keys(before, after) == KeyDifference(
        added=2, changed=1, deleted=1, tombstones_added=2, tombstones_removed=1
    )
