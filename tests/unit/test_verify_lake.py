"""Which batches main may have lost, and what the rows found of them mean."""

from datetime import UTC, datetime, timedelta

from slackwater.clients.iceberg_contents import LandedSnapshot, MainHistory
from slackwater.lake.verify import DifferentBatch, judge, suspects
from slackwater.ledger.landed import LandedBatch

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def landed(name, *, minutes=0, rows=3):
    return LandedBatch(name, "orders", "landed", rows, NOON + timedelta(minutes=minutes))


def history(*names, is_complete, oldest_at=NOON):
    by_batch = {name: LandedSnapshot(number, 3, NOON) for number, name in enumerate(names)}
    return MainHistory(len(names), by_batch, oldest_at, is_complete)


def names(batches):
    return [batch.batch_id for batch in batches]


def test_a_batch_that_is_an_ancestor_is_no_suspect():
    assert suspects([landed("a"), landed("b")], history("a", "b", is_complete=True)) == ()


def test_over_a_whole_history_every_batch_that_is_no_ancestor_is_a_suspect():
    found = suspects([landed("a", minutes=-600), landed("b")], history("b", is_complete=True))
    assert names(found) == ["a"]


def test_a_batch_older_than_an_expired_history_is_trusted_and_a_younger_one_is_not():
    old, at_the_edge, young = landed("old", minutes=-1), landed("edge"), landed("young", minutes=1)
    assert names(suspects([old, at_the_edge, young], history(is_complete=False))) == ["edge", "young"]


def test_a_suspect_without_rows_is_lost_and_one_with_all_its_rows_is_not():
    assert judge([landed("a"), landed("b")], {"b": 3}) == ((landed("a"),), ())


def test_a_batch_of_which_other_rows_are_held_is_named_and_not_lost():
    lost, different = judge([landed("a"), landed("b", rows=4)], {"a": 2, "b": 5})
    assert lost == ()
    assert different == (DifferentBatch("a", "orders", 3, 2), DifferentBatch("b", "orders", 4, 5))
