"""Sets a table of the lake back to one of its earlier snapshots, and the ledger with it.

A changelog's lost batches are opened again and driven once more from their landing files; a state table's lost folds
are forgotten, so that the next fold brings them. Readers of main see the old state at once, and the present one when
that is done: a rollback takes damage away, not data.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_snapshots import drop_branch, read_history, set_branch
from slackwater.clients.postgres import Connection
from slackwater.errors import ConfigurationError, LeaseHeld, NotKnown
from slackwater.lake.history import MAIN, Snapshot, entity_of, is_changelog, lost_by_rollback
from slackwater.lake.rewrite import BRANCH
from slackwater.ledger import batches, folds, purges, work
from slackwater.ledger.model import BatchState, WorkLease
from slackwater.ledger.store import Ledger


@dataclass(frozen=True)
class Rollback:
    """What a rollback did.

    Attributes:
        lost: Snapshots main lost, newest first; empty when it was there already.
        reopened: Batches of a changelog that are appended again.
        refolded: How many batches are folded again into a state table.
    """

    table: str
    from_id: int | None
    to_id: int
    lost: tuple[int, ...]
    reopened: tuple[str, ...] = ()
    refolded: int = 0


@contextmanager
def keeping_lake(ledger: Ledger, *, actor: str) -> Iterator[tuple[WorkLease, Callable[[], None]]]:
    """Hold the lease of the lake's upkeep while the block runs.

    Yields:
        The lease, and a function that raises `LeaseLost` when it was lost.

    Raises:
        LeaseHeld: A run keeps the lake; names nobody, since it ends by itself.
    """
    lease = ledger.claim_work(work.LAKE, actor=actor)
    if lease is None:
        raise LeaseHeld("another run keeps the lake; try again when it has ended (`slackwater runs`)")
    try:
        with ledger.renewing(lease) as check:
            yield lease, check
    finally:
        ledger.release_work(lease)


def roll_back(*, ledger: Ledger, lake: Lake, table: str, snapshot_id: int, lease: WorkLease, reason: str) -> Rollback:
    """Set main to one of its ancestors and have what it lost done again.

    Args:
        ledger: Told in the same step; killed in between, the sweep finds what a changelog lost, and a fold that is
            done again changes nothing.
        lake: The lake.
        table: Such as `changes.orders`.
        snapshot_id: Where main is to be.
        lease: Of the lake's upkeep.
        reason: Why, for the record.

    Raises:
        NotKnown: There is no such table or snapshot, or it is no ancestor of main.
        CommitConflict: Something was committed meanwhile; look again whether the rollback is still wanted.
        IllegalTransition: A state table would have to be folded from rows that were purged.
        ConfigurationError: The reason is empty.
    """
    entity_of(table)
    if not reason.strip():
        raise ConfigurationError(f"{table} is not rolled back without a reason")
    history = read_history(lake, table)
    lost = lost_by_rollback(history, snapshot_id)
    done = Rollback(table, history.current_id, snapshot_id, tuple(one.snapshot_id for one in lost))
    if not lost:
        return done
    if is_changelog(table):
        with ledger.transaction() as connection:
            work.require_lease(connection, lease)
            done = replace(done, reopened=_reopen(connection, lost, actor=lease.actor, reason=reason))
            _record(connection, done, actor=lease.actor, reason=reason)
            set_branch(lake, history, MAIN, snapshot_id)
        return done
    # The ledger first: killed in between, batches are folded again that the table still holds, which changes nothing.
    with ledger.transaction() as connection:
        work.require_lease(connection, lease)
        folded = {batch_id for one in lost for batch_id in one.folded_batches}
        done = replace(
            done, refolded=folds.forget_folds(connection, entity_of(table), lost=done.lost, batch_ids=folded)
        )
        _record(connection, done, actor=lease.actor, reason=reason)
    set_branch(lake, history, MAIN, snapshot_id)
    return done


def create_branch(*, ledger: Ledger, lake: Lake, table: str, branch: str, snapshot_id: int | None, actor: str) -> int:
    """Make a branch at a snapshot (None: where main is) and return the snapshot; it does not expire while it is there.

    Raises:
        NotKnown: There is no such table or snapshot, or nobody wrote to the table yet.
        ConfigurationError: The branch exists, or the name is that of the rewrites' own.
        LeaseHeld: A run keeps the lake, and may expire that snapshot right now.
    """
    entity_of(table)
    if branch == BRANCH:
        raise ConfigurationError(f"the branch {BRANCH} belongs to the rewrites, which drop it; take another name")
    with keeping_lake(ledger, actor=actor) as (lease, _):
        history = read_history(lake, table)
        if branch in history.refs:
            kind = "tag" if branch in history.tags else "branch"
            raise ConfigurationError(f"{table} has a {kind} {branch} already, at snapshot {history.refs[branch]}")
        wanted = history.current_id if snapshot_id is None else snapshot_id
        if wanted is None:
            raise NotKnown(f"{table} has no snapshot yet: nothing was written to it")
        history.find(wanted)
        set_branch(lake, history, branch, wanted)
        with ledger.transaction() as connection:
            detail: dict[str, object] = {"branch": branch, "snapshot_id": wanted}
            purges.record_action(connection, table, "create branch", actor=lease.actor, reason="", detail=detail)
    return wanted


def remove_branch(*, ledger: Ledger, lake: Lake, table: str, branch: str, actor: str) -> int:
    """Remove a branch and return the snapshot it was at; that one expires like any other from now on.

    Raises:
        NotKnown: There is no such table or branch.
        ConfigurationError: It is `main`, or a tag.
        LeaseHeld: A run keeps the lake.
    """
    entity_of(table)
    with keeping_lake(ledger, actor=actor) as (lease, _):
        history = read_history(lake, table)
        if branch not in history.refs:
            raise NotKnown(f"{table} has no branch {branch}; it has {', '.join(sorted(history.refs)) or 'none'}")
        if branch == MAIN or branch in history.tags:
            raise ConfigurationError(f"{branch} of {table} is {'what readers see' if branch == MAIN else 'a tag'}")
        drop_branch(lake, history, branch)
        with ledger.transaction() as connection:
            detail: dict[str, object] = {"branch": branch, "snapshot_id": history.refs[branch]}
            purges.record_action(connection, table, "drop branch", actor=lease.actor, reason="", detail=detail)
    return history.refs[branch]


def _reopen(connection: Connection, lost: tuple[Snapshot, ...], *, actor: str, reason: str) -> tuple[str, ...]:
    """Open the batches of lost snapshots again, and forget the purges among these: their rows are back."""
    reopened = []
    for one in lost:
        if one.purge_id is not None:
            purges.settle_purge(connection, one.purge_id, is_committed=False)
        for batch_id in one.appended_batches:
            state = _state_of(connection, batch_id)
            if state is not None and state is not BatchState.SEALED:  # sealed: its run finds out, or the sweep does
                batches.reopen(connection, batch_id, reason=f"rolled back: {reason}", actor=actor)
                reopened.append(batch_id)
    return tuple(reopened)


def _state_of(connection: Connection, batch_id: str) -> BatchState | None:
    found = batches.batch(connection, batch_id)
    return found.state if found is not None else None


def _record(connection: Connection, done: Rollback, *, actor: str, reason: str) -> None:
    purges.record_action(connection, done.table, "rollback", actor=actor, reason=reason, detail=asdict(done))
