"""The ledger in PostgreSQL: which work is due, how a refresh holds it, and what is told of it."""

from dataclasses import replace

import pytest
from ledger_steps import BOUNDS, age_batches, due, expire_leases, loaded, publish_all, record, sealed, start

from slackwater.errors import ConfigurationError, IllegalTransition, LeaseLost
from slackwater.ledger import listings
from slackwater.ledger import status as answers
from slackwater.ledger.answers import as_json
from slackwater.ledger.model import RefreshState, Skipped
from slackwater.naming import MART_SET
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import seen

pytestmark = pytest.mark.integration


def test_a_batch_whose_event_was_never_sent_is_due_at_once(ledger):
    batch_id = sealed(ledger)
    assert due(ledger, is_first_only=True) == [(batch_id, 1)]
    assert ledger.mark_emitted(batch_id, emission=1)
    assert not ledger.mark_emitted(batch_id, emission=1)
    assert due(ledger) == []


def test_an_event_is_sent_again_after_the_grace_which_doubles(ledger):
    batch_id = sealed(ledger)
    ledger.mark_emitted(batch_id, emission=1)
    age_batches(ledger, 61)
    assert due(ledger) == [(batch_id, 2)]
    assert due(ledger, is_first_only=True) == []
    ledger.mark_emitted(batch_id, emission=2)
    age_batches(ledger, 61)
    assert due(ledger) == []
    age_batches(ledger, 60)
    assert due(ledger) == [(batch_id, 3)]


def test_a_dead_holder_makes_a_batch_due_once_and_a_live_one_does_not(ledger):
    batch_id = sealed(ledger)
    ledger.mark_emitted(batch_id, emission=1)
    ledger.claim_batch(batch_id, actor="a")
    age_batches(ledger, 1_000)
    assert due(ledger) == []
    with ledger.transaction() as connection:
        connection.execute("update ledger.batch set touched_at = clock_timestamp(), leased_until = clock_timestamp()")
    assert due(ledger) == [(batch_id, 2)]
    ledger.mark_emitted(batch_id, emission=2)
    assert due(ledger) == []


def test_a_landed_batch_nobody_loads_is_due_again_and_a_loaded_one_never(ledger):
    batch_id = sealed(ledger)
    ledger.mark_emitted(batch_id, emission=1)
    lease = ledger.claim_batch(batch_id, actor="a")
    ledger.mark_landed(lease, snapshot_id=1, row_count=1)
    ledger.release(lease)
    assert due(ledger) == []
    age_batches(ledger, 61)
    assert due(ledger) == [(batch_id, 2)]
    ledger.mark_loaded(ledger.claim_batch(batch_id, actor="a"), load_seq=1)
    age_batches(ledger, 10_000)
    assert due(ledger) == []


def test_who_raises_the_flag_first_is_told(ledger):
    assert ledger.raise_flag(MART_SET)
    assert not ledger.raise_flag(MART_SET)
    ledger.lower_flag(MART_SET)
    assert ledger.raise_flag(MART_SET)


def test_a_refresh_freezes_the_loaded_batches_within_its_bounds(ledger):
    first = loaded(ledger, 0, load_seq=1)
    second = loaded(ledger, 10, load_seq=5)
    loaded(ledger, 20, load_seq=11)
    loaded(ledger, 0, load_seq=1, entity="products")
    sealed(ledger, 40)
    lease = ledger.claim_work(MART_SET, actor="a")
    found = start(ledger, lease)
    assert set(found.batch_ids) == {first, second}
    assert (found.bounds, found.is_resumed, found.state) == (BOUNDS, False, RefreshState.BUILDING)
    assert ledger.claim_work(MART_SET, actor="b") is None


def test_a_refresh_left_open_is_continued_with_its_frozen_set(ledger):
    loaded(ledger, 0, load_seq=1)
    first = start(ledger, ledger.claim_work(MART_SET, actor="a"))
    loaded(ledger, 10, load_seq=2)
    expire_leases(ledger)
    assert ledger.is_refresh_due(MART_SET)
    again = start(ledger, ledger.claim_work(MART_SET, actor="b"))
    assert (again.refresh_id, again.batch_ids, again.is_resumed) == (first.refresh_id, first.batch_ids, True)


def test_a_stale_refresher_can_mark_nothing(ledger):
    loaded(ledger)
    stale = ledger.claim_work(MART_SET, actor="a")
    refresh = start(ledger, stale)
    expire_leases(ledger)
    ledger.claim_work(MART_SET, actor="b")
    with pytest.raises(LeaseLost):
        ledger.mark_tested(stale, refresh.refresh_id)
    with pytest.raises(LeaseLost):
        ledger.mark_rejected(stale, refresh.refresh_id, reasons=["x"])
    with pytest.raises(LeaseLost):
        start(ledger, stale)
    with pytest.raises(LeaseLost):
        ledger.renew(stale)


def test_a_published_batch_is_never_frozen_again(ledger):
    loaded(ledger, 0, load_seq=1)
    lease = ledger.claim_work(MART_SET, actor="a")
    refresh = start(ledger, lease)
    with pytest.raises(IllegalTransition):
        ledger.mark_published(lease, refresh.refresh_id, publication_id="p1")
    ledger.mark_tested(lease, refresh.refresh_id)
    ledger.mark_published(lease, refresh.refresh_id, publication_id="p1")
    ledger.mark_published(lease, refresh.refresh_id, publication_id="p1")
    assert ledger.refresh(refresh.refresh_id).publication_id == "p1"
    assert start(ledger, lease) is None
    assert not ledger.is_refresh_due(MART_SET)
    newer = loaded(ledger, 10, load_seq=2)
    assert start(ledger, lease).batch_ids == (newer,)


def test_a_rejected_set_waits_for_something_new_or_for_force(ledger):
    first = loaded(ledger, 0, load_seq=1)
    lease = ledger.claim_work(MART_SET, actor="a")
    refresh = start(ledger, lease)
    ledger.mark_rejected(lease, refresh.refresh_id, reasons=["keys repeat"], report="r.html")
    assert ledger.refresh(refresh.refresh_id).reasons == ("keys repeat",)
    assert start(ledger, lease) is None
    assert not ledger.is_refresh_due(MART_SET)
    assert answers.in_flight(ledger).is_empty
    assert answers.in_flight(ledger).rejected_batches == 1
    newer = loaded(ledger, 10, load_seq=2)
    assert ledger.is_refresh_due(MART_SET)
    both = start(ledger, lease)
    assert set(both.batch_ids) == {first, newer}
    ledger.mark_rejected(lease, both.refresh_id, reasons=["still"])
    assert set(start(ledger, lease, is_forced=True).batch_ids) == {first, newer}


def test_the_sweep_raises_the_flag_only_where_nobody_works(ledger):
    raise_again = lambda: ledger.reraise_refresh_flag(MART_SET, grace_seconds=60)  # noqa: E731
    assert raise_again() is None
    loaded(ledger)
    lease = ledger.claim_work(MART_SET, actor="a")
    assert raise_again() is None
    ledger.release_work(lease)
    assert raise_again() == 1
    assert raise_again() is None
    with ledger.transaction() as connection:
        connection.execute("update ledger.work set raised_at = raised_at - interval '61 s'")
    assert raise_again() == 2


def test_the_frontier_is_what_is_published_without_a_gap(ledger):
    where = ("orders", "shop.orders+0")
    loaded(ledger, 0, load_seq=1)
    assert ledger.published_frontier() == {where: -1}
    publish_all(ledger)
    assert ledger.published_frontier() == {where: 2}
    loaded(ledger, 6, load_seq=2)
    publish_all(ledger)
    assert ledger.published_frontier() == {where: 2}
    loaded(ledger, 3, load_seq=3)
    assert ledger.published_frontier() == {where: 2}
    publish_all(ledger)
    assert ledger.published_frontier() == {where: 8}


def test_a_quarantined_object_stops_the_frontier_until_its_retry_is_published(ledger):
    ids = record(ledger, LandingFile(), LandingFile(first=3), LandingFile(first=6))
    lease = ledger.claim_batch(ledger.seal("orders", ids, actor="test"), actor="test")
    ledger.mark_landed(lease, snapshot_id=1, row_count=6, skipped=[Skipped(ids[1], "k", "schema_change")])
    ledger.mark_loaded(lease, load_seq=1)
    publish_all(ledger)
    assert ledger.published_frontier() == {("orders", "shop.orders+0"): 2}
    lease = ledger.claim_batch(ledger.retry_quarantine(ids[1], actor="ann"), actor="test")
    ledger.mark_landed(lease, snapshot_id=2, row_count=3)
    ledger.mark_loaded(lease, load_seq=2)
    publish_all(ledger)
    assert ledger.published_frontier() == {("orders", "shop.orders+0"): 8}


def test_status_counts_and_names_and_has_a_json_form(ledger):
    loaded(ledger, 0, load_seq=1)
    publish_all(ledger)
    failed = ledger.claim_batch(sealed(ledger, 10), actor="test")
    ledger.release(failed, error="StoreUnavailable: no lake")
    record(ledger, LandingFile(first=20))
    bad = replace(seen(LandingFile(first=30)), reason="empty", message="no bytes")
    ledger.record_objects([bad], actor="test")
    found = answers.status(ledger)
    orders = next(item for item in found.entities if item.entity == "orders")
    assert orders.objects == {"batched": 2, "quarantined": 1, "seen": 1}
    assert orders.batches == {"published": 1, "sealed": 1}
    assert orders.last_error == "StoreUnavailable: no lake"
    assert orders.quarantined == (f"{bad.key}: empty",)
    assert orders.oldest_unpublished_age_seconds is not None
    assert orders.lag_seconds is not None
    assert (found.in_flight.open_objects, found.in_flight.unloaded_batches) == (1, 1)
    assert not found.in_flight.is_empty
    assert found.last_refresh.state == "published"
    assert [(gap.first, gap.last) for gap in found.gaps] == [(3, 9), (13, 19), (23, 29)]
    assert as_json(found)["gaps"][0]["first"] == 3
    assert as_json(found)["entities"][2]["objects"] == {"batched": 2, "quarantined": 1, "seen": 1}
    (newest, _) = listings.list_batches(ledger)
    assert (newest.batch_id, newest.state, newest.published_at) == (failed.batch_id, "sealed", None)
    detail = listings.show_batch(ledger, failed.batch_id[:10])
    assert [item.to_state for item in detail.history] == ["sealed"]
    assert listings.show_quarantine(ledger, bad.object_id).history[0].detail["reason"] == "empty"
    with pytest.raises(ConfigurationError, match="no batch begins"):
        listings.show_batch(ledger, "zz")
