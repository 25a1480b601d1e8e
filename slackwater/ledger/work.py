"""Kinds of work that one run does at a time: a flag that says it is due, and a lease. Over an open transaction.

A kind is a mart set, or `LAKE`: folding, compacting and maintaining the lake's tables, of which a state table allows
one writer. Whoever raises a flag that was down sends the event, so a burst of reasons gives one run.
"""

from uuid import uuid4

from slackwater.clients.postgres import Connection
from slackwater.errors import LeaseLost
from slackwater.ledger.model import WorkLease

LAKE = "lake"
"""The upkeep of the lake's tables."""


def raise_flag(connection: Connection, work: str) -> bool:
    """Say that the work is due; True when the flag was down, so the caller emits the event."""
    ensure_row(connection, work)
    changed = connection.execute(
        "update ledger.work set is_raised = true, raised_at = clock_timestamp(), raises = raises + 1"
        " where work = %s and not is_raised",
        (work,),
    )
    return changed.rowcount == 1


def lower_flag(connection: Connection, work: str) -> None:
    """Take the flag down; before looking what there is to do, so that what comes later raises it again."""
    connection.execute("update ledger.work set is_raised = false where work = %s", (work,))


def reraise_flag(connection: Connection, work: str, *, grace_seconds: float) -> int | None:
    """Raise the flag of work that is due and that nobody does.

    Args:
        connection: Open transaction.
        work: Kind of work; the caller knows that it is due.
        grace_seconds: How long a flag that is already up is trusted to have started a run.

    Returns:
        The number of this raise (part of the event's id); None when somebody works on it, or may be about to.
    """
    ensure_row(connection, work)
    row = connection.execute(
        "update ledger.work set is_raised = true, raised_at = clock_timestamp(), raises = raises + 1"
        " where work = %s and (leased_until is null or leased_until < clock_timestamp())"
        " and (not is_raised or raised_at < clock_timestamp() - make_interval(secs => %s)) returning raises",
        (work, grace_seconds),
    ).fetchone()
    return int(row[0]) if row else None


def flag_raises(connection: Connection, work: str) -> int:
    """Return how often the flag was raised; numbers the events."""
    row = connection.execute("select raises from ledger.work where work = %s", (work,)).fetchone()
    return int(row[0]) if row else 0


def claim(connection: Connection, work: str, *, actor: str, lease_seconds: float) -> WorkLease | None:
    """Take the lease of a kind of work; None when another live one exists."""
    ensure_row(connection, work)
    owner = f"{actor}/{uuid4().hex[:12]}"
    row = connection.execute(
        "update ledger.work set lease_owner = %(owner)s, attempt = attempt + 1,"
        " leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)"
        " where work = %(work)s and (leased_until is null or leased_until < clock_timestamp()) returning attempt",
        {"owner": owner, "seconds": lease_seconds, "work": work},
    ).fetchone()
    return WorkLease(work, owner, row[0], actor) if row else None


def renew(connection: Connection, lease: WorkLease, *, lease_seconds: float) -> None:
    """Extend a lease.

    Raises:
        LeaseLost: Somebody else holds it now.
    """
    found = connection.execute(
        "update ledger.work set leased_until = clock_timestamp() + make_interval(secs => %s)"
        " where work = %s and lease_owner = %s and attempt = %s",
        (lease_seconds, lease.work, lease.owner, lease.attempt),
    )
    if found.rowcount != 1:
        raise _lost(lease)


def release(connection: Connection, lease: WorkLease) -> None:
    """Give a lease back; one that was lost meanwhile is no error."""
    connection.execute(
        "update ledger.work set lease_owner = null, leased_until = null"
        " where work = %s and lease_owner = %s and attempt = %s",
        (lease.work, lease.owner, lease.attempt),
    )


def require_lease(connection: Connection, lease: WorkLease) -> None:
    """Lock the lease's row until the transaction ends, so that what follows is written by its holder alone.

    Raises:
        LeaseLost: Somebody else holds it now.
    """
    found = connection.execute(
        "select 1 from ledger.work where work = %s and lease_owner = %s and attempt = %s for update",
        (lease.work, lease.owner, lease.attempt),
    ).fetchone()
    if found is None:
        raise _lost(lease)


def ensure_row(connection: Connection, work: str) -> None:
    """Make the row of a kind of work if it is not there."""
    connection.execute("insert into ledger.work (work) values (%s) on conflict (work) do nothing", (work,))


def _lost(lease: WorkLease) -> LeaseLost:
    return LeaseLost(f"{lease.work}: attempt {lease.attempt} of {lease.actor} lost its lease")
