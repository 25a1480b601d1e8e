"""The lease of a batch: take it, extend it, give it back. Functions over an open transaction, on the database's clock.

A lease keeps two workers from doing the same work; that nothing is done twice does not rest on it, see `lake/append`
and `warehouse/load`.
"""

from uuid import uuid4

from slackwater.clients.postgres import Connection
from slackwater.errors import LeaseLost
from slackwater.ledger.model import BatchLease, BatchState


def claim(connection: Connection, batch_id: str, *, actor: str, lease_seconds: float) -> BatchLease | None:
    """Take a batch's lease; None when it is loaded already or another live lease exists."""
    owner = f"{actor}/{uuid4().hex[:12]}"
    row = connection.execute(
        "update ledger.batch set lease_owner = %(owner)s, attempt = attempt + 1, touched_at = clock_timestamp(),"
        " leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)"
        " where batch_id = %(id)s and state <> 'loaded'"
        " and (leased_until is null or leased_until < clock_timestamp()) returning attempt, state",
        {"owner": owner, "seconds": lease_seconds, "id": batch_id},
    ).fetchone()
    return BatchLease(batch_id, owner, row[0], BatchState(row[1]), actor) if row else None


def renew(connection: Connection, lease: BatchLease, *, lease_seconds: float) -> None:
    """Extend a lease.

    Raises:
        LeaseLost: Somebody else holds it now.
    """
    found = connection.execute(
        "update ledger.batch set leased_until = clock_timestamp() + make_interval(secs => %s)"
        " where batch_id = %s and lease_owner = %s and attempt = %s and state <> 'loaded'",
        (lease_seconds, lease.batch_id, lease.owner, lease.attempt),
    )
    if found.rowcount != 1:
        raise LeaseLost(f"batch {lease.batch_id}: attempt {lease.attempt} of {lease.actor} lost its lease")


def release(connection: Connection, lease: BatchLease, *, error: str | None = None) -> None:
    """Give a lease back, keeping why the attempt failed; one that was lost meanwhile is no error."""
    connection.execute(
        "update ledger.batch set lease_owner = null, leased_until = null, touched_at = clock_timestamp(),"
        " last_error = %s where batch_id = %s and lease_owner = %s and attempt = %s",
        (error, lease.batch_id, lease.owner, lease.attempt),
    )
