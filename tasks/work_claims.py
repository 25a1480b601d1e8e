"""Claim a kind of work (a mart set, the lake) for this flow run and keep its lease alive while the run works."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slackwater.ledger.model import WorkLease
from tasks.batch_claims import current_actor
from tasks.connections import open_ledger
from tasks.retrying import retried_task


@retried_task()
def claim_work(kind: str) -> WorkLease | None:
    """Take the lease of a kind of work; None when another run's lease is alive."""
    with open_ledger() as ledger:
        return ledger.claim_work(kind, actor=current_actor())


def lower_flag(kind: str) -> None:
    """Take the flag of a kind of work down, before looking what there is to do."""
    with open_ledger() as ledger:
        ledger.lower_flag(kind)


@contextmanager
def holding_work(lease: WorkLease) -> Iterator[Callable[[], None]]:
    """Renew a lease while the block runs, then give it back.

    Yields:
        A function that raises `LeaseLost` when the lease was lost.
    """
    with open_ledger() as ledger:
        try:
            with ledger.renewing(lease) as check:
                yield check
        finally:
            ledger.release_work(lease)
