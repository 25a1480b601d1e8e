"""Questions about the past of a table: what lies between two snapshots, and which snapshot or batch brought a file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_files import TableFile, batch_rows, files_at, find_file, row_count_at, rows_at
from slackwater.clients.iceberg_snapshots import read_history, table_of_address
from slackwater.entities.model import Entity, load_entity, told_order_column
from slackwater.errors import NotKnown, StoreRejected
from slackwater.lake.history import (
    TABLES,
    Snapshot,
    SnapshotDifference,
    Version,
    compare_batches,
    compare_keys,
    entity_of,
    folded_between,
    is_changelog,
)


@dataclass(frozen=True)
class FileOrigin:
    """Where a file of the lake came from.

    Attributes:
        is_live: Main names it.
        snapshot: The one that committed it; None when it expired.
        batch_ids: The batches it holds rows of; those of a state table's file are the ones its fold took in.
        problem: Why the batches are not known; None when they are.
    """

    table: str
    file: TableFile
    is_live: bool
    snapshot: Snapshot | None
    batch_ids: tuple[str, ...]
    problem: str | None


def compare_snapshots(lake: Lake, table: str, before_id: int, after_id: int) -> SnapshotDifference:
    """Say what two snapshots of a table show differently, by reading the dates whose files differ.

    Args:
        lake: The lake.
        table: Such as `changes.orders`.
        before_id: One snapshot; it need not be the older one.
        after_id: The other.

    Raises:
        NotKnown: There is no such table or snapshot.
    """
    entity = load_entity(entity_of(table))
    history = read_history(lake, table)
    history.find(before_id)
    history.find(after_id)
    before, after = files_at(lake, table, before_id), files_at(lake, table, after_id)
    days = {(before | after)[address].day for address in before.keys() ^ after.keys()}
    found = SnapshotDifference(
        table=table,
        before_id=before_id,
        after_id=after_id,
        before_rows=row_count_at(lake, table, before_id),
        after_rows=row_count_at(lake, table, after_id),
    )
    if is_changelog(table):
        counted = [
            _rows_per_batch(rows_at(lake, table, one, columns=["_batch_id"], days=days))
            for one in (before_id, after_id)
        ]
        return replace(found, batches=compare_batches(*counted))
    versions = [_versions(lake, table, one, entity=entity, days=days) for one in (before_id, after_id)]
    return replace(
        found,
        folded=folded_between(history, before_id, after_id),
        unfolded=folded_between(history, after_id, before_id),
        keys=compare_keys(*versions),
    )


def origin_of_file(lake: Lake, address: str) -> FileOrigin:
    """Say which snapshot committed a data file, and which batches it holds; the file itself may be damaged.

    Raises:
        NotKnown: It lies below no table of the lake, or no known snapshot names it.
    """
    table = table_of_address(lake, address, TABLES)
    if table is None:
        raise NotKnown(f"{address} lies below no table of the lake; its tables are {', '.join(TABLES)}")
    file = find_file(lake, table, address)
    if file is None:
        raise NotKnown(
            f"no known snapshot of {table} names {address}: it was never committed, or its snapshots expired"
        )
    history = read_history(lake, table)
    snapshot = next((one for one in history.snapshots if one.snapshot_id == file.added_by), None)
    is_live = address in files_at(lake, table, history.current_id)
    batch_ids = snapshot.batch_ids if snapshot is not None else ()
    problem = None
    if not batch_ids and is_changelog(table) and file.is_data:  # rewritten, or its snapshot expired: it says so itself
        try:
            batch_ids = tuple(sorted(batch_rows(lake, table, [address])[address]))
        except StoreRejected as exc:
            problem = str(exc)
    elif not batch_ids:
        problem = "nothing tells: the snapshot that committed it " + ("expired" if snapshot is None else "was no fold")
    return FileOrigin(table, file, is_live, snapshot, batch_ids, problem)


def _rows_per_batch(rows: pa.Table) -> dict[str, int]:
    return {str(one["values"]): int(one["counts"]) for one in rows["_batch_id"].value_counts().to_pylist()}


def _versions(lake: Lake, table: str, snapshot_id: int, *, entity: Entity, days: set[date]) -> Mapping[int, Version]:
    """Read which version of every key a snapshot shows on some dates."""
    told = [told_order_column(name) for name in entity.toastable_names]
    columns = [entity.key, "__op", "_epoch", "__source_lsn", "_position", "_object_id", *told]
    rows = rows_at(lake, table, snapshot_id, columns=columns, days=days)
    values = zip(*(rows[name].to_pylist() for name in columns), strict=True)
    return {row[0]: (row[1] != "d", row[1:]) for row in values}
