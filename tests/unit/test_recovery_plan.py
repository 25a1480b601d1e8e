"""What a lost ledger held, decided from evidence alone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from slackwater.clients.iceberg_contents import LandedSnapshot, MainHistory, ObjectRows
from slackwater.clients.s3 import ListedObject
from slackwater.ledger.model import BatchState, batch_id
from slackwater.naming import ENTITIES
from slackwater.recovery.evidence import Evidence, Load, PublishedRefresh
from slackwater.recovery.plan import LAST_LOST_ATTEMPT, CountedBatch, plan_contents

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
EMPTY = MainHistory(None, {}, None, is_complete=True)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def rows(name, batch, *, count=5, first=0, entity="orders"):
    days = {date(2010, 12, 1): count}
    return ObjectRows(entity, batch, name, f"cdc/{name}", 0, "shop.orders+0", first, first + count - 1, days)


def load(batch, seq, *, minutes, count=5, entity="orders", attempt=2):
    return Load(batch, entity, seq, count, attempt, at(minutes))


def refresh(number, **bounds):
    name = f"r{number}"
    return PublishedRefresh(name, "core", f"pub-{name}", number, None, at(number), at(number + 1), bounds)


def listed(name, *, minutes=-60, size=100):
    return ListedObject("landing", f"cdc/{name}", f"etag-{name}", size, at(minutes))


def evidence(*lake_rows, committed=None, oldest_at=None, loads=(), raw_rows=(), refreshes=(), unlisted=()):
    """All objects are listed but the named ones; `committed` gives per batch the minute of its snapshot."""
    committed = committed if committed is not None else {item.batch_id: 0 for item in lake_rows}
    snapshots = {key: LandedSnapshot(number, 5, at(minutes)) for number, (key, minutes) in enumerate(committed.items())}
    oldest = oldest_at if oldest_at is not None else min((s.committed_at for s in snapshots.values()), default=None)
    known = {item.object_id for item in (*lake_rows, *raw_rows)} - set(unlisted)
    return Evidence(
        histories=dict.fromkeys(ENTITIES, EMPTY) | {"orders": MainHistory(9, snapshots, oldest, False)},
        lake_rows=lake_rows,
        raw_rows=raw_rows,
        loads={item.batch_id: item for item in loads},
        refreshes=refreshes,
        unpublished_refreshes=0,
        listed={name: listed(name) for name in known},
        unread_objects=0,
        bucket="landing",
    )


def plan(*arguments, **named):
    return plan_contents(evidence(*arguments, **named), now=at(600))


def by_batch(contents):
    return {one.batch_id: one for one in contents.batches}


def test_a_batch_is_landed_by_its_rows_and_loaded_by_the_load_history():
    contents, _ = plan(rows("a", "b1"), rows("b", "b2", count=3), loads=[load("b1", 7, minutes=5)])
    found = by_batch(contents)
    assert (found["b1"].state, found["b1"].load_seq, found["b1"].loaded_at, found["b1"].attempt) == (
        BatchState.LOADED, 7, at(5), 2
    )  # fmt: skip
    assert (found["b2"].state, found["b2"].load_seq, found["b2"].row_count) == (BatchState.LANDED, None, 3)
    assert found["b2"].attempt == LAST_LOST_ATTEMPT
    assert [found[name].snapshot_id for name in ("b1", "b2")] == [0, 1]


def test_a_batch_that_only_raw_holds_is_sealed_so_that_it_is_appended_again():
    contents, findings = plan(raw_rows=[rows("a", "b1")], loads=[load("b1", 1, minutes=5)], committed={})
    (batch,) = contents.batches
    assert (batch.state, batch.row_count, batch.load_seq, batch.landed_at) == (BatchState.SEALED, None, None, None)
    assert findings.raw_only_batches == ("b1",)
    assert contents.objects[0].batch_id == "b1"


@pytest.mark.parametrize("loaded_minutes", [-30, 30], ids=["loaded before", "loaded after"])
def test_a_batch_whose_snapshot_expired_landed_before_everything_known(loaded_minutes):
    """Otherwise a later look would take it for one that a rollback took away."""
    loads = [load("old", 1, minutes=loaded_minutes)]
    contents, _ = plan(rows("a", "old"), rows("b", "new"), committed={"new": 0}, loads=loads)
    old = by_batch(contents)["old"]
    assert old.snapshot_id is None
    assert old.landed_at < at(0)
    assert old.landed_at < at(loaded_minutes)
    assert old.sealed_at <= old.landed_at


def test_every_loaded_batch_belongs_to_the_first_publication_that_reached_it():
    everything = [rows(name, f"b{name}") for name in "1234"]
    loads = [load(f"b{name}", int(name), minutes=0) for name in "1234"]
    user = replace(rows("u", "bu", entity="users"))
    contents, _ = plan(
        *everything, user, loads=[*loads, load("bu", 1, minutes=0, entity="users")],
        refreshes=(refresh(1, orders=2, users=0), refresh(2, orders=3, users=1)),
        committed={f"b{name}": 0 for name in "1234"},
    )  # fmt: skip
    assert [(one.refresh_id, one.batch_ids) for one in contents.refreshes] == [
        ("r1", ("b1", "b2")), ("r2", ("b3", "bu"))
    ]  # fmt: skip
    assert contents.refreshes[0].bounds == {"orders": 2, "users": 0}
    assert contents.flag_raises == {"core": int(at(600).timestamp())}


def test_an_object_takes_its_place_from_its_rows_and_the_rest_from_the_listing():
    contents, findings = plan(rows("a", "b1", first=10), rows("b", "b1", first=15), unlisted=["b"])
    first, second = contents.objects
    assert (first.first_position, first.last_position, first.etag, first.size_bytes) == (10, 14, "etag-a", 100)
    assert (first.first_seen_at, first.last_modified) == (at(-60), at(-60))
    assert (second.etag, second.size_bytes, second.last_modified, second.first_seen_at) == ("", 0, None, at(0))
    assert findings.unlisted_keys == ("cdc/b",)
    assert contents.batches[0].size_bytes == 100


def test_an_object_written_again_after_it_landed_was_first_seen_before_it_landed():
    found = evidence(rows("a", "b1"))
    again = replace(found, listed={"a": listed("a", minutes=500)})
    assert plan_contents(again, now=at(600))[0].objects[0].first_seen_at == at(0)


def test_of_one_key_the_later_commit_overwrites_the_earlier():
    new = replace(rows("a-new", "b1"), key="cdc/same")
    old = replace(rows("z-old", "b2"), key="cdc/same")
    contents, _ = plan(new, old, committed={"b1": 5, "b2": 1})
    assert {item.object_id: item.overwrites for item in contents.objects} == {"z-old": None, "a-new": "z-old"}


def test_rows_in_two_batches_belong_to_the_first_commit_and_are_named():
    contents, findings = plan(rows("a", "late"), rows("a", "early"), committed={"late": 5, "early": 1})
    assert [(item.object_id, item.batch_id) for item in contents.objects] == [("a", "early")]
    assert findings.doubled_objects == ("a",)
    late = by_batch(contents)["late"]  # it stays known, or the lake would hold a batch the ledger lacks
    assert (late.object_ids, late.doubled_ids, late.row_count) == ((), ("a",), 5)


def test_of_a_batch_with_one_doubled_object_the_others_remain():
    contents, _ = plan(rows("a", "early"), rows("a", "late"), rows("b", "late"), committed={"early": 1, "late": 5})
    late = by_batch(contents)["late"]
    assert (late.object_ids, late.doubled_ids, late.row_count) == (("b",), ("a",), 10)


def test_a_manifest_is_whole_when_its_hash_is_the_batch_id():
    whole, retried = batch_id("orders", ["a", "b"]), batch_id("orders", ["c"], attempt=2)
    partly = batch_id("orders", ["d", "bad"])
    lake = [rows("a", whole), rows("b", whole), rows("c", retried), rows("d", partly)]
    assert plan(*lake)[1].partly_known_batches == (partly,)


def test_what_lake_and_warehouse_count_differently_is_named():
    _, findings = plan(rows("a", "b1", count=5), loads=[load("b1", 1, minutes=0, count=4)])
    assert findings.different_batches == (CountedBatch("b1", "orders", 5, 4),)


def test_a_loaded_batch_without_rows_is_counted_and_not_restored():
    contents, findings = plan(loads=[load("b1", 1, minutes=0, count=0)], committed={})
    assert (contents.batches, findings.batches_without_rows) == ((), 1)
