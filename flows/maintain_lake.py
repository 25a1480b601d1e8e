"""Flow: keep the lake's tables within their retention. Every day, or by hand; dry, it only says what would go.

One run at a time holds the lake's lease, because folding, compacting and this change the same tables.
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from slackwater.ledger.work import LAKE
from tasks.maintain_lake import maintain_tables
from tasks.work_claims import claim_work, holding_work


@flow(name="maintain-lake", log_prints=True)
def maintain_lake(dry_run: bool = False) -> State[None]:
    """Purge what is older than the greatest lateness, expire snapshots, remove orphans, tidy manifests.

    Args:
        dry_run: Change nothing; the artifact says what would go, and why.

    Returns:
        Completed; the message says what the tables took before and take now.
    """
    if dry_run:
        report = maintain_tables(None)
        return Completed(message=f"Looked only: {report.before.size_bytes} bytes in {report.before.file_count} files.")
    lease = claim_work(LAKE)
    if lease is None:
        return Completed(message="Skipped: another run keeps the lake.")
    with holding_work(lease):
        report = maintain_tables(lease)
    after = report.after or report.before
    left_out = f" Left out what needs Spark: {report.left_out}" if report.left_out else ""
    return Completed(
        message=(
            f"{report.before.size_bytes} bytes in {report.before.file_count} files before, {after.size_bytes} bytes in"
            f" {after.file_count} files now.{left_out}"
        )
    )
