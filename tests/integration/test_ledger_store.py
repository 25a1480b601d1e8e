"""The ledger in PostgreSQL: once, compare and set, append-only."""

import multiprocessing
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from slackwater.errors import ConfigurationError, IllegalTransition, LeaseLost, StoreRejected, StoreUnavailable
from slackwater.ledger import listings
from slackwater.ledger import status as answers
from slackwater.ledger.answers import as_json
from slackwater.ledger.migrations import upgrade
from slackwater.ledger.model import BatchState, ObjectState, RefreshState, Skipped
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import seen

pytestmark = pytest.mark.integration


@pytest.fixture
def ledger(sandbox):
    with Ledger(sandbox.ledger.dsn, lease_seconds=60) as found:
        yield found


def record(ledger, *files):
    items = [seen(file) for file in files]
    ledger.record_objects(items, actor="test")
    return [item.object_id for item in items]


def sealed(ledger, first=0, entity="orders"):
    batch_id = ledger.seal(entity, record(ledger, LandingFile(entity=entity, first=first)), actor="test")
    assert batch_id is not None
    return batch_id


def loaded(ledger, first=0, *, load_seq=1, entity="orders"):
    batch_id = sealed(ledger, first, entity)
    lease = ledger.claim_batch(batch_id, actor="test")
    ledger.mark_landed(lease, snapshot_id=1, row_count=3)
    ledger.mark_loaded(lease, load_seq=load_seq)
    return batch_id


def expire_leases(ledger):
    with ledger.transaction() as connection:
        for table in ("batch", "work"):
            connection.execute(
                f"update ledger.{table} set leased_until = clock_timestamp() - interval '1 s'"
                " where leased_until is not null"
            )


def age_batches(ledger, seconds):
    with ledger.transaction() as connection:
        connection.execute(
            "update ledger.batch set emitted_at = emitted_at - make_interval(secs => %(s)s),"
            " touched_at = touched_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )


def transitions(ledger, subject_id):
    with ledger.transaction() as connection:
        rows = connection.execute(
            "select from_state, to_state from ledger.transition where subject_id = %s order by transition_id",
            (subject_id,),
        ).fetchall()
    return [tuple(row) for row in rows]


def test_migrating_again_and_at_the_same_time_changes_nothing(sandbox):
    dsn = sandbox.ledger.dsn.get_secret_value()
    with Ledger(dsn) as ledger:
        record(ledger, LandingFile())
        threads = [threading.Thread(target=upgrade, args=(dsn,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not ledger.is_empty()


def test_the_same_object_is_recorded_once(ledger):
    item = seen(LandingFile())
    assert ledger.record_objects([item, item], actor="a") == 1
    assert ledger.record_objects([item], actor="b") == 0
    assert transitions(ledger, item.object_id) == [(None, "seen")]
    assert len(ledger.open_objects("orders")) == 1
    assert ledger.open_objects("users") == []


def test_other_content_under_the_same_key_is_another_object(ledger):
    first, second = seen(LandingFile(), etag="e1"), seen(LandingFile(), etag="e2")
    ledger.record_objects([first], actor="test")
    assert ledger.record_objects([second], actor="test") == 1
    (found,) = answers.status(ledger).overwritten
    assert (found.key, found.former_object_id, found.object_id) == (first.key, first.object_id, second.object_id)


def test_overwriting_a_quarantined_object_supersedes_it_but_a_late_old_notice_does_not(ledger):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    bad = replace(seen(LandingFile(), etag="bad"), reason="empty", last_modified=now)
    good = replace(seen(LandingFile(), etag="good"), last_modified=now + timedelta(seconds=5))
    older = replace(seen(LandingFile(), etag="older"), last_modified=now - timedelta(seconds=5))
    ledger.record_objects([bad], actor="test")
    ledger.record_objects([older], actor="test")
    assert transitions(ledger, bad.object_id) == [(None, "quarantined")]
    ledger.record_objects([good], actor="test")
    assert transitions(ledger, bad.object_id)[-1] == ("quarantined", "superseded")


def test_a_superseded_object_whose_content_is_back_is_opened_again(ledger):
    (object_id,) = record(ledger, LandingFile())
    ledger.supersede(object_id, actor="test")
    assert ledger.open_objects() == []
    assert ledger.unknown_ids([object_id]) == {object_id}
    record(ledger, LandingFile())
    assert [item.object_id for item in ledger.open_objects()] == [object_id]
    assert transitions(ledger, object_id) == [(None, "seen"), ("seen", "superseded"), ("superseded", "seen")]


def test_an_object_is_in_one_batch_at_a_time(ledger):
    ids = record(ledger, LandingFile(), LandingFile(first=3))
    batch_id = ledger.seal("orders", ids, actor="a")
    assert ledger.seal("orders", ids[:1], actor="b") is None
    assert [item.object_id for item in ledger.batch(batch_id).objects] == ids
    assert ledger.open_objects() == []
    other = sealed(ledger, 30)
    with pytest.raises(StoreRejected, match="batch_object_once"), ledger.transaction() as connection:
        connection.execute("insert into ledger.batch_object (batch_id, object_id) values (%s, %s)", (other, ids[0]))


def test_two_sealers_of_the_same_objects_make_one_batch(ledger):
    ids = record(ledger, *[LandingFile(first=3 * number) for number in range(20)])
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ledger.seal("orders", ids, actor="test"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(batch_id is not None for batch_id in found) == 1
    assert ledger.unloaded_counts() == {"orders": 1}


def test_a_seal_of_nothing_or_of_another_entity_makes_no_batch(ledger):
    ids = record(ledger, LandingFile())
    assert ledger.seal("orders", [], actor="test") is None
    assert ledger.seal("users", ids, actor="test") is None
    assert ledger.seal("orders", [*ids, "unknown"], actor="test") is None
    assert len(ledger.open_objects()) == 1


def test_one_holder_at_a_time_has_a_batch(ledger):
    batch_id = sealed(ledger)
    first = ledger.claim_batch(batch_id, actor="a")
    assert first is not None
    assert ledger.claim_batch(batch_id, actor="b") is None
    ledger.release(first, error="boom")
    assert ledger.batch(batch_id).last_error == "boom"
    second = ledger.claim_batch(batch_id, actor="b")
    assert second is not None
    assert second.attempt == 2


def test_a_stale_holder_can_neither_mark_nor_renew_nor_release(ledger):
    batch_id = sealed(ledger)
    stale = ledger.claim_batch(batch_id, actor="a")
    expire_leases(ledger)
    current = ledger.claim_batch(batch_id, actor="b")
    with pytest.raises(LeaseLost):
        ledger.mark_landed(stale, snapshot_id=1, row_count=1)
    with pytest.raises(LeaseLost):
        ledger.renew(stale)
    ledger.release(stale)
    ledger.mark_landed(current, snapshot_id=2, row_count=3)
    with pytest.raises(LeaseLost):
        ledger.mark_loaded(stale, load_seq=1)
    ledger.mark_loaded(current, load_seq=7)
    found = ledger.batch(batch_id)
    assert (found.state, found.snapshot_id, found.load_seq) == (BatchState.LOADED, 2, 7)
    assert transitions(ledger, batch_id) == [(None, "sealed"), ("sealed", "landed"), ("landed", "loaded")]
    assert ledger.claim_batch(batch_id, actor="c") is None


def test_a_holder_whose_lease_ran_out_untaken_may_still_mark(ledger):
    lease = ledger.claim_batch(sealed(ledger), actor="a")
    expire_leases(ledger)
    ledger.mark_landed(lease, snapshot_id=1, row_count=1)
    assert ledger.batch(lease.batch_id).state == BatchState.LANDED


def test_a_batch_goes_through_its_states_in_order(ledger):
    lease = ledger.claim_batch(sealed(ledger), actor="a")
    with pytest.raises(IllegalTransition):
        ledger.mark_loaded(lease, load_seq=1)
    ledger.mark_landed(lease, snapshot_id=1, row_count=1)
    with pytest.raises(IllegalTransition):
        ledger.mark_landed(lease, snapshot_id=2, row_count=1)


def test_renewing_keeps_a_lease_alive_and_notices_its_loss(sandbox):
    with Ledger(sandbox.ledger.dsn, lease_seconds=0.6) as ledger:
        lease = ledger.claim_batch(sealed(ledger), actor="a")
        with ledger.renewing(lease) as check:
            time.sleep(1.5)
            assert ledger.claim_batch(lease.batch_id, actor="b") is None
            check()
        time.sleep(0.9)
        other = ledger.claim_batch(lease.batch_id, actor="b")
        assert other is not None
        with ledger.renewing(lease) as check:
            time.sleep(0.5)
            with pytest.raises(LeaseLost):
                check()


def test_landing_sets_bad_objects_aside_with_the_batch(ledger):
    ids = record(ledger, LandingFile(), LandingFile(first=3), LandingFile(first=6))
    batch_id = ledger.seal("orders", ids, actor="test")
    lease = ledger.claim_batch(batch_id, actor="test")
    skipped = [Skipped(ids[0], "k0", "truncated", "cut"), Skipped(ids[1], "k1", "superseded", "412")]
    ledger.mark_landed(lease, snapshot_id=1, row_count=3, skipped=skipped)
    states = {item.object_id: (item.is_skipped, item.reason) for item in ledger.batch(batch_id).objects}
    assert states == {ids[0]: (True, "truncated"), ids[1]: (True, "superseded"), ids[2]: (False, None)}
    assert transitions(ledger, ids[0])[-1] == ("batched", ObjectState.QUARANTINED)
    assert transitions(ledger, ids[1])[-1] == ("batched", ObjectState.SUPERSEDED)
    (named,) = listings.list_quarantine(ledger)
    assert (named.object_id, named.reason, named.message, named.batch_id) == (ids[0], "truncated", "cut", batch_id)


def test_a_retry_puts_an_object_into_a_new_batch_even_alone_and_twice(ledger):
    (object_id,) = record(ledger, LandingFile())
    batch_ids = [ledger.seal("orders", [object_id], actor="test")]
    for _ in range(2):
        lease = ledger.claim_batch(batch_ids[-1], actor="test")
        ledger.mark_landed(lease, snapshot_id=None, row_count=0, skipped=[Skipped(object_id, "k", "truncated")])
        batch_ids.append(listings.retry_quarantine(ledger, object_id[:8], actor="ann"))
    assert len(set(batch_ids)) == 3
    assert [item.object_id for item in ledger.batch(batch_ids[2]).objects] == [object_id]
    assert ledger.batch(batch_ids[0]).objects[0].is_skipped
    with pytest.raises(IllegalTransition):
        ledger.retry_quarantine(object_id, actor="ann")


def test_an_object_whose_key_says_nothing_cannot_be_retried(ledger):
    odd = replace(seen(LandingFile()), key="cdc/x", entity=None, first_position=None, source_partition=None,
                  reason="unparseable_key")  # fmt: skip
    ledger.record_objects([odd], actor="test")
    with pytest.raises(IllegalTransition, match="put it under a valid key"):
        ledger.retry_quarantine(odd.object_id, actor="ann")
    assert [item.key for item in answers.status(ledger).unplaced] == ["cdc/x"]


def test_transitions_are_append_only(ledger):
    record(ledger, LandingFile())
    for statement in ("delete from ledger.transition", "update ledger.transition set actor = 'x'",
                      "truncate ledger.transition"):  # fmt: skip
        with pytest.raises(StoreRejected, match="append-only"), ledger.transaction() as connection:
            connection.execute(statement)


def due(ledger, **arguments):
    return [(item.batch_id, item.emission) for item in ledger.due_batches(grace_seconds=60, **arguments)]


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


BOUNDS = {"orders": 10, "users": 10}


def start(ledger, lease, bounds=BOUNDS, **arguments):
    return ledger.start_refresh(lease, bounds=bounds, as_of=datetime(2010, 12, 1, tzinfo=UTC), **arguments)


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


def publish_all(ledger):
    lease = ledger.claim_work(MART_SET, actor="a")
    refresh = start(ledger, lease)
    ledger.mark_tested(lease, refresh.refresh_id)
    ledger.mark_published(lease, refresh.refresh_id, publication_id="p")
    ledger.release_work(lease)


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


def test_a_ledger_that_does_not_answer_is_unavailable_and_recovers(sandbox, ledger):
    with pytest.raises(StoreUnavailable):
        Ledger("postgresql://nobody:x@127.0.0.1:1/none").is_empty()
    ledger.is_empty()
    with Ledger(sandbox.ledger.dsn) as other, other.transaction() as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity"
                           " where datname = current_database() and pid <> pg_backend_pid()")  # fmt: skip
    assert ledger.is_empty()


def _claim(dsn, batch_id, barrier, queue):
    with Ledger(dsn) as ledger:
        barrier.wait()
        queue.put(ledger.claim_batch(batch_id, actor="child") is not None)


def test_of_several_processes_one_gets_the_lease(sandbox, ledger):
    dsn = sandbox.ledger.dsn.get_secret_value()
    context = multiprocessing.get_context("spawn")
    batch_id = sealed(ledger)
    barrier, queue = context.Barrier(3), context.Queue()
    children = [context.Process(target=_claim, args=(dsn, batch_id, barrier, queue)) for _ in range(3)]
    for child in children:
        child.start()
    found = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert sorted(found) == [False, False, True]
