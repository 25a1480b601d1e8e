"""What a person or a recovery may do to the ledger: give a file up, drive a batch again, open a batch the lake lost."""

import json
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_steps import due, record
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.errors import ConfigurationError, IllegalTransition, LeaseLost
from slackwater.ledger import batches, listings
from slackwater.ledger.model import BatchState, Skipped
from slackwater.ledger.status import in_flight, status
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET, changelog_table
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench, seen

pytestmark = pytest.mark.integration

PLACE = ("orders", "shop.orders+0")


def sealed(ledger, *files):
    batch_id = ledger.seal("orders", record(ledger, *files or [LandingFile()]), actor="test")
    assert batch_id is not None
    return batch_id


def landed(ledger, *files, skipped=()):
    lease = ledger.claim_batch(sealed(ledger, *files), actor="test")
    ledger.mark_landed(lease, snapshot_id=7, row_count=3, skipped=skipped)
    return lease


def loaded(ledger, *files, load_seq=1, skipped=()):
    lease = landed(ledger, *files, skipped=skipped)
    ledger.mark_loaded(lease, load_seq=load_seq)
    return lease.batch_id


def publish(ledger):
    lease = ledger.claim_work(MART_SET, actor="test")
    refresh = ledger.start_refresh(lease, bounds={"orders": 10**6}, as_of=None)
    ledger.mark_tested(lease, refresh.refresh_id)
    ledger.mark_published(lease, refresh.refresh_id, publication_id=f"pub-{refresh.refresh_id}")
    ledger.release_work(lease)
    return refresh


def reopen(ledger, batch_id, reason="rolled back"):
    with ledger.transaction() as connection:
        return batches.reopen(connection, batch_id, reason=reason, actor="test")


def history(ledger, subject_id):
    with ledger.transaction() as connection:
        return connection.execute(
            "select from_state, to_state, actor, detail from ledger.transition where subject_id = %s"
            " order by transition_id",
            (subject_id,),
        ).fetchall()


def cli(sandbox, *arguments):
    result = CliRunner().invoke(app, list(arguments), env=sandbox.env)
    return result.exit_code, result.output


def test_a_discard_needs_a_reason_and_is_recorded_with_who_and_why(ledger, sandbox):
    bad = replace(seen(LandingFile()), reason="empty", message="no bytes")
    ledger.record_objects([bad], actor="test")
    code, output = cli(sandbox, "quarantine", "discard", bad.object_id[:12], "--reason", "  ", "--json")
    assert (code, "without a reason" in output) == (1, True)
    assert cli(sandbox, "quarantine", "discard", bad.object_id)[0] == 2
    code, output = cli(sandbox, "quarantine", "discard", bad.object_id[:12], "--reason", "the source is gone", "--json")
    assert code == 0, output
    shown = json.loads(output)
    assert (shown["state"], shown["reason"], shown["message"]) == ("discarded", "empty", "the source is gone")
    *_, (before, after, actor, detail) = history(ledger, bad.object_id)
    assert (before, after) == ("quarantined", "discarded")
    assert actor.startswith("cli:")
    assert (detail["reason"], detail["was"], detail["message"]) == ("the source is gone", "empty", "no bytes")
    with pytest.raises(IllegalTransition, match="not in quarantine"):
        listings.discard_quarantine(ledger, bad.object_id, reason="again", actor="ann")
    assert json.loads(cli(sandbox, "quarantine", "list", "--json")[1]) == []
    (listed,) = json.loads(cli(sandbox, "quarantine", "list", "--discarded", "--json")[1])
    assert listed["object_id"] == bad.object_id


def test_only_a_quarantined_object_can_be_discarded(ledger):
    (waiting,) = record(ledger, LandingFile())
    with pytest.raises(ConfigurationError, match="no object in quarantine begins"):
        listings.discard_quarantine(ledger, waiting, reason="x", actor="ann")


def test_the_frontier_passes_what_was_given_up_and_stops_again_when_it_is_taken_back(ledger):
    ids = record(ledger, LandingFile(), LandingFile(first=3), LandingFile(first=6))
    lease = ledger.claim_batch(ledger.seal("orders", ids, actor="test"), actor="test")
    ledger.mark_landed(lease, snapshot_id=1, row_count=6, skipped=[Skipped(ids[1], "k", "truncated")])
    ledger.mark_loaded(lease, load_seq=1)
    publish(ledger)
    assert ledger.published_frontier() == {PLACE: 2}
    listings.discard_quarantine(ledger, ids[1], reason="lost for good", actor="ann")
    assert ledger.published_frontier() == {PLACE: 8}
    loaded(ledger, LandingFile(first=9), load_seq=2)
    publish(ledger)
    assert ledger.published_frontier() == {PLACE: 11}
    batch_id = listings.retry_quarantine(ledger, ids[1], actor="ann")
    assert history(ledger, ids[1])[-2][:2] == ("discarded", "seen")
    assert ledger.published_frontier() == {PLACE: 2}
    lease = ledger.claim_batch(batch_id, actor="test")
    ledger.mark_landed(lease, snapshot_id=2, row_count=0, skipped=[Skipped(ids[1], "k", "truncated")])
    ledger.mark_loaded(lease, load_seq=3)
    assert ledger.published_frontier() == {PLACE: 2}


def test_a_retry_by_a_person_makes_the_event_due_at_once_under_a_new_number(ledger, sandbox):
    batch_id = sealed(ledger)
    ledger.mark_emitted(batch_id, emission=1)
    assert due(ledger, is_first_only=True) == []
    code, output = cli(sandbox, "batches", "retry", batch_id[:12], "--json")
    assert (code, json.loads(output)["batch_id"]) == (0, batch_id)
    assert due(ledger, is_first_only=True) == [(batch_id, 2)]
    ledger.mark_emitted(batch_id, emission=2)
    assert due(ledger) == []


def test_a_retry_takes_a_lease_away_only_when_it_ran_out(ledger, sandbox):
    batch_id = sealed(ledger)
    lease = ledger.claim_batch(batch_id, actor="run-1")
    code, output = cli(sandbox, "batches", "retry", batch_id)
    assert code == 1
    assert "is being worked on by run-1" in output
    ledger.renew(lease)
    with ledger.transaction() as connection:
        connection.execute("update ledger.batch set leased_until = clock_timestamp() - interval '1 s'")
    assert cli(sandbox, "batches", "retry", batch_id)[0] == 0
    assert due(ledger) == [(batch_id, 1)]
    with pytest.raises(LeaseLost):
        ledger.mark_landed(lease, snapshot_id=1, row_count=1)


def test_a_loaded_or_unknown_batch_cannot_be_retried(ledger, sandbox):
    code, output = cli(sandbox, "batches", "retry", loaded(ledger))
    assert (code, "is loaded" in output) == (1, True)
    assert cli(sandbox, "batches", "retry", "ff00")[0] == 1


@pytest.mark.parametrize("state", ["landed", "loaded"])
def test_a_reopened_batch_is_sealed_again_and_due_at_once_and_its_old_holder_is_fenced(ledger, state):
    lease = landed(ledger)
    ledger.mark_emitted(lease.batch_id, emission=1)
    if state == "loaded":
        ledger.mark_loaded(lease, load_seq=4)
    assert reopen(ledger, lease.batch_id, "snapshot 7 was rolled back") == state
    found = ledger.batch(lease.batch_id)
    assert (found.state, found.snapshot_id, found.load_seq, found.landed_at) == (BatchState.SEALED, None, None, None)
    assert found.last_error == "snapshot 7 was rolled back"
    before, after, _, detail = history(ledger, lease.batch_id)[-1]
    assert (before, after, detail["snapshot_id"]) == (state, "sealed", 7)
    assert due(ledger, is_first_only=True) == [(lease.batch_id, 2)]
    with pytest.raises(LeaseLost):
        ledger.mark_loaded(lease, load_seq=4)
    again = ledger.claim_batch(lease.batch_id, actor="test")
    ledger.mark_landed(again, snapshot_id=9, row_count=3)
    ledger.mark_loaded(again, load_seq=4)
    assert ledger.batch(lease.batch_id).state == BatchState.LOADED


def test_a_sealed_or_unknown_batch_cannot_be_reopened(ledger):
    with pytest.raises(IllegalTransition, match="cannot go from sealed to sealed"):
        reopen(ledger, sealed(ledger))
    with pytest.raises(IllegalTransition, match="not in the ledger"):
        reopen(ledger, "unknown")


def test_a_published_batch_that_is_reopened_stays_published_while_the_lake_is_filled_again(ledger):
    batch_id = loaded(ledger)
    publish(ledger)
    reopen(ledger, batch_id)
    assert ledger.published_frontier() == {PLACE: 2}
    with ledger.transaction() as connection:
        connection.execute("delete from ledger.partition_floor")
    assert ledger.published_frontier() == {PLACE: 2}
    orders = next(one for one in status(ledger).entities if one.entity == "orders")
    assert orders.batches == {"sealed": 1}
    assert in_flight(ledger).unloaded_batches == 1
    lease = ledger.claim_batch(batch_id, actor="test")
    ledger.mark_landed(lease, snapshot_id=9, row_count=3)
    ledger.mark_loaded(lease, load_seq=1)
    assert not ledger.is_refresh_due(MART_SET)
    assert in_flight(ledger).is_empty


def test_a_reopened_batch_goes_on_without_what_it_had_set_aside_and_retried_elsewhere(sandbox):
    """The retried file reads well by now: only the batch it is in may hold its rows."""
    with Ledger(sandbox.ledger.dsn) as ledger:
        bench = Bench(ledger, Lake(sandbox.lake, sandbox.s3), ObjectStore(sandbox.s3), sandbox.landing)
        kept = bench.append(bench.seal("orders", bench.put_file(LandingFile(first=100, count=1))))
        good, bad = LandingFile(), LandingFile(first=3)
        ids = [bench.put_file(good), bench.put_file(bad)]
        bench.store.delete(sandbox.landing.bucket, bad.key())
        first = bench.seal("orders", *ids)
        done = bench.append(first)
        assert [item.object_id for item in done.skipped] == [ids[1]]
        bench.store.put(sandbox.landing.bucket, bad.key(), bad.parquet())
        second = listings.retry_quarantine(ledger, ids[1], actor="ann")
        bench.append(second)
        before = len(history(ledger, ids[1]))
        table = bench.lake.load_table(changelog_table("orders"))
        table.manage_snapshots().set_current_snapshot(kept.snapshot_id).commit()
        for batch_id in (first, second):
            reopen(ledger, batch_id)
            again = bench.append(batch_id)
            assert (again.row_count, again.skipped) == (3, ())
        assert sorted(bench.lake.scan("orders")["_position"].to_pylist()) == [0, 1, 2, 3, 4, 5, 100]
        assert len(history(ledger, ids[1])) == before
        bench.lake.close()


FILES = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 5), st.sampled_from("psqds")), min_size=1, max_size=8)
"""First position, further positions, and what becomes of it: published, still sealed, quarantined, discarded, seen."""


@given(st.lists(FILES, min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_frontier_and_the_holes_are_the_same_with_and_without_the_floors(module_sandbox, rounds):
    with Ledger(module_sandbox.ledger.dsn) as ledger:
        with ledger.transaction() as connection:
            connection.execute("truncate ledger.object, ledger.batch, ledger.batch_object, ledger.refresh,"
                               " ledger.refresh_batch, ledger.partition_floor, ledger.tally cascade")  # fmt: skip
        for number, files in enumerate(rounds):
            for index, (first, more, fate) in enumerate(files):
                _live(ledger, LandingFile(first=first, count=more + 1), fate, etag=f"{number}-{index}")
            if ledger.is_refresh_due(MART_SET):
                publish(ledger)
            found = ledger.published_frontier(), status(ledger).gaps
            with ledger.transaction() as connection:
                kept = connection.execute("delete from ledger.partition_floor returning *").fetchall()
            assert (ledger.published_frontier(), status(ledger).gaps) == found
            with ledger.transaction() as connection:
                for row in kept:
                    connection.execute("insert into ledger.partition_floor values (%s, %s, %s, %s)", row)


def _live(ledger, file, fate, *, etag):
    item = seen(file, etag=etag)
    ledger.record_objects([item], actor="test")
    if fate in "qd":
        ledger.quarantine(item.object_id, reason="test", actor="test")
    if fate == "d":
        listings.discard_quarantine(ledger, item.object_id, reason="test", actor="test")
    if fate in "sp":
        lease = ledger.claim_batch(ledger.seal("orders", [item.object_id], actor="test"), actor="test")
        if fate == "p":
            ledger.mark_landed(lease, snapshot_id=1, row_count=1)
            ledger.mark_loaded(lease, load_seq=1)
        else:
            ledger.release(lease)


def counted(connection):
    return {
        (subject, entity, state): count
        for subject, entity, state, count in connection.execute(
            "select 'object', coalesce(entity, ''), state, count(*) from ledger.object group by 2, 3 union all"
            " select 'batch', entity, case when published_in is null or state <> 'loaded' then state"
            " else 'published' end, count(*) from ledger.batch group by 2, 3"
        ).fetchall()
    }


def tallied(connection):
    return {
        (subject, entity, state): int(count)
        for subject, entity, state, count in connection.execute(
            "select subject, entity, state, sum(amount) from ledger.tally group by 1, 2, 3 having sum(amount) <> 0"
        ).fetchall()
    }


def test_the_kept_counts_equal_the_counted_ones_while_many_write_at_once(ledger):
    def work(number):
        for turn in range(20):
            first = 1_000 * number + 10 * turn
            ids = record(ledger, LandingFile(first=first), LandingFile(first=first + 5))
            if turn % 4 == 0:
                ledger.quarantine(ids[1], reason="test", actor="test")
                ids = ids[:1]
            lease = ledger.claim_batch(ledger.seal("orders", ids, actor="test"), actor="test")
            if turn % 3:
                ledger.mark_landed(lease, snapshot_id=1, row_count=1)
                ledger.mark_loaded(lease, load_seq=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publish(ledger)
    with ledger.transaction() as connection:
        assert tallied(connection) == counted(connection)
        (parts,) = connection.execute("select count(*) from ledger.tally").fetchone()
    assert parts < 300, "the sums do not replace their parts"
