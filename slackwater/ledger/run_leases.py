"""The leases that flow runs hold, and the record of what the run reconciler decided. Over an open transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from slackwater.clients.postgres import Connection

Evidence = Mapping[str, str | int | float | None]


@dataclass(frozen=True)
class RunLease:
    """A lease with an actor `flow-run/<id>`; `seconds_left` by the database's clock, negative when it has expired."""

    subject: str
    run_id: str
    attempt: int
    seconds_left: float


@dataclass(frozen=True)
class RunDecision:
    """One recorded decision of the reconciler."""

    decision_id: int
    run_id: str
    run_name: str
    action: str
    reason: str
    evidence: dict[str, str | int | float | None]
    at: datetime


def run_leases(connection: Connection) -> list[RunLease]:
    """Return the leases of unloaded batches and of kinds of work that a flow run took and did not give back."""
    with connection.cursor(row_factory=class_row(RunLease)) as cursor:
        cursor.execute(
            "with held as ("
            " select 'batch ' || batch_id as subject, lease_owner, attempt, leased_until from ledger.batch"
            "  where state <> 'loaded' and lease_owner is not null"
            " union all"
            " select work, lease_owner, attempt, leased_until from ledger.work"
            "  where lease_owner is not null)"
            " select subject, split_part(lease_owner, '/', 2) as run_id, attempt,"
            " extract(epoch from leased_until - clock_timestamp())::float8 as seconds_left"
            " from held where starts_with(lease_owner, 'flow-run/') order by leased_until desc"
        )
        return cursor.fetchall()


def record_decision(
    connection: Connection, *, run_id: str, run_name: str, action: str, reason: str, evidence: Evidence
) -> bool:
    """Record a decision; the same action by the same rule as the run's last one is not recorded again.

    Returns:
        Whether it was recorded.
    """
    last = connection.execute(
        "select action, evidence ->> 'rule' from ledger.run_decision where run_id = %s"
        " order by decision_id desc limit 1",
        (run_id,),
    ).fetchone()
    if last == (action, evidence.get("rule")):
        return False
    connection.execute(
        "insert into ledger.run_decision (run_id, run_name, action, reason, evidence) values (%s, %s, %s, %s, %s)",
        (run_id, run_name, action, reason, Jsonb(dict(evidence))),
    )
    return True


def run_decisions(connection: Connection, *, run_id: str | None = None, limit: int = 50) -> list[RunDecision]:
    """Return recorded decisions, newest first.

    Args:
        connection: Open transaction.
        run_id: Only of the runs whose id begins so; None for all.
        limit: Most decisions returned, >= 1.
    """
    with connection.cursor(row_factory=class_row(RunDecision)) as cursor:
        cursor.execute(
            "select decision_id, run_id, run_name, action, reason, evidence, at from ledger.run_decision"
            " where %(run)s::text is null or starts_with(run_id, %(run)s) order by decision_id desc limit %(limit)s",
            {"run": run_id, "limit": limit},
        )
        return cursor.fetchall()
