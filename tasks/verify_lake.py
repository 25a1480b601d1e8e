"""Step of the sweep: does the lake still hold what the ledger believes it holds?"""

from prefect import get_run_logger

from slackwater.lake.verify import Verification, reopen_lost
from tasks.batch_claims import current_actor
from tasks.connections import open_lake, open_ledger
from tasks.retrying import retried_task


@retried_task()
def reopen_lost_batches() -> Verification:
    """Open the batches again that a rollback took from the lake; the sweep that follows sends their events.

    Refuses, and so ends the sweep before it records anything, when the ledger knows less than the lake.
    """
    with open_ledger() as ledger:
        found = reopen_lost(ledger, open_lake(), actor=current_actor())
    for batch in found.lost:
        get_run_logger().warning(
            "%s batch %s: the lake holds none of its %d rows any more; opened again",
            batch.entity, batch.batch_id, batch.row_count,
        )  # fmt: skip
    for different in found.different:
        get_run_logger().error(
            "%s batch %s: the lake holds %d rows instead of %d; see `slackwater ledger verify`",
            different.entity, different.batch_id, different.found_rows, different.expected_rows,
        )  # fmt: skip
    return found
