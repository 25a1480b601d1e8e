"""The leases of flow runs as the run reconciler reads them, and the record of its decisions."""

import pytest

from slackwater.ledger.model import BatchLease
from slackwater.ledger.run_leases import RunLease, record_decision, run_decisions, run_leases
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import seen

pytestmark = pytest.mark.integration


def claimed(ledger: Ledger, first: int, *, actor: str) -> BatchLease:
    file = seen(LandingFile(entity="orders", first=first))
    ledger.record_objects([file], actor="test")
    batch_id = ledger.seal("orders", [file.object_id], actor="test")
    assert batch_id is not None
    lease = ledger.claim_batch(batch_id, actor=actor)
    assert lease is not None
    return lease


def leases(ledger: Ledger) -> dict[str, RunLease]:
    with ledger.transaction() as connection:
        return {one.subject: one for one in run_leases(connection)}


def record(ledger: Ledger, *, action: str = "crash", rule: str = "running_dead", run_id: str = "r-1") -> bool:
    with ledger.transaction() as connection:
        return record_decision(
            connection, run_id=run_id, run_name="n", action=action, reason="because", evidence={"rule": rule, "n": 1}
        )


def test_only_leases_that_flow_runs_hold_are_read_and_their_end_is_the_databases(ledger: Ledger) -> None:
    live = claimed(ledger, 0, actor="flow-run/r-1")
    expired = claimed(ledger, 100, actor="flow-run/r-2")
    claimed(ledger, 200, actor="cli")
    ledger.claim_work(MART_SET, actor="flow-run/r-3")
    with ledger.transaction() as connection:
        connection.execute(
            "update ledger.batch set leased_until = clock_timestamp() - interval '75 s' where batch_id = %s",
            (expired.batch_id,),
        )
    found = leases(ledger)
    assert {subject: (one.run_id, one.attempt) for subject, one in found.items()} == {
        f"batch {live.batch_id}": ("r-1", 1),
        f"batch {expired.batch_id}": ("r-2", 1),
        MART_SET: ("r-3", 1),
    }
    assert 50 < found[f"batch {live.batch_id}"].seconds_left <= 60
    assert -90 < found[f"batch {expired.batch_id}"].seconds_left <= -75


def test_a_lease_that_was_given_back_or_ended_with_its_batch_is_not_read(ledger: Ledger) -> None:
    ledger.release(claimed(ledger, 0, actor="flow-run/r-1"))
    lease = claimed(ledger, 100, actor="flow-run/r-2")
    ledger.mark_landed(lease, snapshot_id=1, row_count=3)
    ledger.mark_loaded(lease, load_seq=1)
    assert leases(ledger) == {}


def test_a_decision_is_recorded_once_until_another_one_is_made(ledger: Ledger) -> None:
    made = [
        record(ledger, rule=rule) for rule in ("running_leased", "running_leased", "running_dead", "running_leased")
    ]
    assert made == [True, False, True, True]
    assert record(ledger, run_id="r-2")
    with ledger.transaction() as connection:
        of_one, newest = run_decisions(connection, run_id="r-1"), run_decisions(connection, limit=1)
    assert [one.evidence["rule"] for one in of_one] == ["running_leased", "running_dead", "running_leased"]
    assert (of_one[0].action, of_one[0].reason, of_one[0].run_name) == ("crash", "because", "n")
    assert [one.run_id for one in newest] == ["r-2"]
