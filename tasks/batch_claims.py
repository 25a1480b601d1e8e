"""Claim a batch for this flow run and keep its lease alive while the run works."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run

from slackwater.errors import SlackwaterError
from slackwater.ledger.model import BatchLease
from tasks.connections import open_ledger
from tasks.retrying import retried_task


def current_actor() -> str:
    """Return who acts in the ledger: the flow run id, which the UI and the ledger share."""
    return f"flow-run/{flow_run.root_flow_run_id or flow_run.id or 'local'}"


@retried_task()
def claim_batch(batch_id: str) -> BatchLease | None:
    """Take the lease of a batch.

    Returns:
        The lease, or None when the batch is loaded already or another run's lease is alive.
    """
    with open_ledger() as ledger:
        return ledger.claim_batch(batch_id, actor=current_actor())


@contextmanager
def holding(lease: BatchLease) -> Iterator[None]:
    """Renew the lease in the background; give it back with the error when the block fails."""
    with open_ledger() as ledger:
        try:
            with ledger.renewing(lease):
                yield
        except SlackwaterError as exc:
            ledger.release(lease, error=f"{type(exc).__name__}: {exc}")
            raise
