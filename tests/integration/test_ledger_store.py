"""The ledger in PostgreSQL: once, compare and set, append-only."""

import multiprocessing
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ledger_steps import expire_leases, record, sealed, transitions

from slackwater.errors import IllegalTransition, LeaseLost, StoreRejected, StoreUnavailable
from slackwater.ledger import listings
from slackwater.ledger import status as answers
from slackwater.ledger.migrations import upgrade
from slackwater.ledger.model import BatchState, ObjectState, Skipped
from slackwater.ledger.store import Ledger
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import seen

pytestmark = pytest.mark.integration


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
