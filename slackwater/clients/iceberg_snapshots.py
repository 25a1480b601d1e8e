"""Snapshots, branches and tags of the lake's tables: read as they are, changed by compare and set.

pyiceberg's own builders apply an expiry or a moved branch to whatever the table is by the time of the commit, and drop
a branch that was made meanwhile on a snapshot that expires. So every change here requires that the refs are still where
they were when it was decided.
"""

from collections.abc import Collection
from datetime import UTC, datetime

from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
)

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.lake.history import Snapshot, TableHistory
from slackwater.naming import SNAPSHOT_BATCH_ID, SNAPSHOT_FOLDED_BATCHES, SNAPSHOT_PURGE_ID


def read_history(lake: Lake, name: str) -> TableHistory:
    """Read a table's snapshots and refs from its metadata."""
    return history_of(lake.load_table(name), name)


def history_of(table: Table, name: str) -> TableHistory:
    """Return the snapshots and refs of a loaded table."""
    metadata = table.metadata
    log = metadata.snapshot_log
    replaced = {entry.snapshot_id: log[n + 1].timestamp_ms for n, entry in enumerate(log[:-1])}
    child: IcebergSnapshot | None = None
    for one in ancestors_of(table.current_snapshot(), metadata):
        if child is not None:  # an engine may have cut the log
            replaced.setdefault(one.snapshot_id, child.timestamp_ms)
        child = one
    replaced.pop(metadata.current_snapshot_id or -1, None)
    ordered = sorted(metadata.snapshots, key=lambda one: (one.sequence_number or 0, one.timestamp_ms))
    return TableHistory(
        table=name,
        snapshots=tuple(_snapshot(one, replaced.get(one.snapshot_id)) for one in ordered),
        refs={ref: held.snapshot_id for ref, held in metadata.refs.items()},
        tags=frozenset(ref for ref, held in metadata.refs.items() if held.snapshot_ref_type == SnapshotRefType.TAG),
    )


def table_of_address(lake: Lake, address: str, names: Collection[str]) -> str | None:
    """Return the table below whose location an address lies, None when there is none."""
    for name in names:
        if address.startswith(f"{lake.load_table(name).location().rstrip('/')}/"):
            return name
    return None


def expire(lake: Lake, history: TableHistory, snapshot_ids: Collection[int]) -> None:
    """Take snapshots out of a table's metadata; their files stay until the orphans are removed.

    Args:
        lake: The lake.
        history: What was looked at; the refs must still be there.
        snapshot_ids: None of them may have a ref.

    Raises:
        CommitConflict: A ref moved since it was looked at; plan anew.
    """
    if snapshot_ids:
        seen = [AssertRefSnapshotId(ref=name, snapshot_id=held) for name, held in history.refs.items()]
        _commit(lake, history.table, RemoveSnapshotsUpdate(snapshot_ids=sorted(snapshot_ids)), seen)


def set_branch(lake: Lake, history: TableHistory, branch: str, snapshot_id: int) -> None:
    """Make a branch, or move it from where it was looked at.

    Raises:
        CommitConflict: It is somewhere else by now.
    """
    update = SetSnapshotRefUpdate(
        ref_name=branch,
        type=SnapshotRefType.BRANCH,
        snapshot_id=snapshot_id,
        max_ref_age_ms=None,
        max_snapshot_age_ms=None,
        min_snapshots_to_keep=None,
    )
    _commit(lake, history.table, update, [AssertRefSnapshotId(ref=branch, snapshot_id=history.refs.get(branch))])


def drop_branch(lake: Lake, history: TableHistory, branch: str) -> None:
    """Remove a branch from where it was looked at; its snapshots stay until they expire.

    Raises:
        CommitConflict: It is somewhere else by now.
    """
    seen = AssertRefSnapshotId(ref=branch, snapshot_id=history.refs[branch])
    _commit(lake, history.table, RemoveSnapshotRefUpdate(ref_name=branch), [seen])


def _commit(lake: Lake, name: str, update: TableUpdate, required: Collection[TableRequirement]) -> None:
    table = lake.load_table(name)
    with translated():
        requirements = (AssertTableUUID(uuid=table.metadata.table_uuid), *required)
        table.catalog.commit_table(table, requirements, (update,))


def _snapshot(one: IcebergSnapshot, replaced_ms: int | None) -> Snapshot:
    summary = one.summary.additional_properties if one.summary is not None else {}

    def number(key: str) -> int:
        return int(summary.get(key) or 0)

    batch_id, folded = summary.get(SNAPSHOT_BATCH_ID), summary.get(SNAPSHOT_FOLDED_BATCHES)
    return Snapshot(
        snapshot_id=one.snapshot_id,
        parent_id=one.parent_snapshot_id,
        committed_at=_at(one.timestamp_ms),
        last_current_at=None if replaced_ms is None else _at(replaced_ms),
        operation=one.summary.operation.value if one.summary is not None else "append",
        added_rows=number("added-records"),
        deleted_rows=number("deleted-records") + number("added-position-deletes") - number("removed-position-deletes"),
        added_files=number("added-data-files") + number("added-delete-files"),
        removed_files=number("deleted-data-files") + number("removed-delete-files"),
        total_rows=number("total-records") - number("total-position-deletes"),
        total_files=number("total-data-files") + number("total-delete-files"),
        total_bytes=number("total-files-size"),
        appended_batches=(batch_id,) if batch_id else (),
        folded_batches=tuple(folded.split(",")) if folded else (),
        purge_id=summary.get(SNAPSHOT_PURGE_ID),
    )


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
