"""What main's history says of a table: the snapshot a batch wrote, its files, and whether history was expired."""

from datetime import UTC, datetime, timedelta

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.expressions import EqualTo
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from slackwater.errors import StoreRejected
from slackwater.naming import SNAPSHOT_BATCH_ID

CLOCK_SKEW = timedelta(hours=1)
"""How far a snapshot's clock and the ledger's may lie apart when history is judged complete."""


def snapshot_of(table: Table, batch_id: str) -> Snapshot | None:
    """Return the newest ancestor of main that a batch wrote, None when there is none."""
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        if snapshot.summary is not None and snapshot.summary.get(SNAPSHOT_BATCH_ID) == batch_id:
            return snapshot
    return None


def is_history_complete(table: Table, *, since: datetime | None) -> bool:
    """Say whether every commit to main since a time (None: ever) is still among the ancestors.

    Expiry cuts the link to the parent (pyiceberg 0.12), so a first snapshot is known by its sequence number.
    """
    oldest = None
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        oldest = snapshot
    if oldest is None or (oldest.parent_snapshot_id is None and oldest.sequence_number == 1):
        return True
    return since is not None and datetime.fromtimestamp(oldest.timestamp_ms / 1000, UTC) < since - CLOCK_SKEW


def added_files(table: Table, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the addresses of the data files a snapshot added, sorted; later appends do not matter."""
    files: list[str] = []
    for manifest in snapshot.manifests(table.io):
        if manifest.added_snapshot_id == snapshot.snapshot_id:
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            files += [entry.data_file.file_path for entry in entries if entry.status == ManifestEntryStatus.ADDED]
    return tuple(sorted(files))


def files_with_rows(table: Table, batch_id: str) -> tuple[str, ...]:
    """Return the addresses of main's data files that hold rows of a batch, sorted; for batches whose snapshot expired.

    The planner's answer is too wide (bounds of text are cut at 16 characters, a rewritten file spans many batches), so
    the column is read.

    Raises:
        StoreRejected: Rows of such a file were deleted since: who reads the file alone would read them again.
    """
    found = []
    for task in table.scan(row_filter=EqualTo(term="_batch_id", value=batch_id)).plan_files():
        address = task.file.file_path
        with table.io.new_input(address).open() as stream:
            ids = pq.read_table(stream, columns=["_batch_id"])["_batch_id"]
        if not pc.any(pc.equal(ids, batch_id)).as_py():
            continue
        if task.delete_files:
            raise StoreRejected(f"data file {address} of batch {batch_id} has deleted rows; it cannot be copied")
        found.append(address)
    return tuple(sorted(found))


def required_snapshot(table: Table) -> Snapshot:
    """Return the current snapshot of a table that was just committed to."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        raise StoreRejected(f"{table.name()} has no snapshot right after a commit")
    return snapshot
