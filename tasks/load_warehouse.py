"""Step: load a landed batch into the warehouse's raw table."""

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.ledger.model import BatchLease
from slackwater.warehouse.load import LoadResult, load_batch
from tasks.batch_claims import current_actor
from tasks.connections import open_lake, open_ledger, open_warehouse
from tasks.retrying import retried_task


@retried_task(timeout_seconds=1_800)
def load_warehouse(lease: BatchLease) -> LoadResult:
    """Load the batch's rows once, under one load sequence number.

    A second call finds the batch in the load history and changes nothing.
    """
    with open_ledger() as ledger, open_warehouse(lease.batch_id) as warehouse:
        result = load_batch(
            lease.batch_id,
            ledger=ledger,
            lake=open_lake(),
            warehouse=warehouse,
            lease=lease,
            actor=current_actor(),
        )
    get_run_logger().info(
        "%s: %d rows loaded as sequence %d in %.1f s", result.entity, result.row_count, result.load_seq, result.seconds
    )
    create_markdown_artifact(
        key=f"load-{result.entity.replace('_', '-')}",
        markdown=(
            f"## Batch `{result.batch_id}` loaded into `RAW.{result.entity.upper()}`\n\n"
            f"| rows | load sequence | seconds | was there already |\n|---:|---:|---:|---|\n"
            f"| {result.row_count} | {result.load_seq} | {result.seconds:.1f} | {result.was_already_loaded} |"
        ),
    )
    return result
