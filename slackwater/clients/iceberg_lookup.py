"""Finds rows of one key in what one batch appended, without looking at the rest of the table.

A scan plans over every manifest of main; a batch's own snapshot names its few files at once, and their column bounds
say which of them can hold the key. What it costs depends on the batch, not on the table.
"""

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile, ManifestEntryStatus
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import PrimitiveType

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.clients.iceberg_history import snapshot_of
from slackwater.naming import changelog_table


def rows_of_key(lake: Lake, entity: str, *, column: str, key: int, batch_ids: tuple[str, ...]) -> pa.Table | None:
    """Return the rows of a key that batches appended; None when there are none.

    Args:
        lake: The lake.
        entity: The batches' entity.
        column: The entity's key.
        key: Wanted value.
        batch_ids: Batches; one that no known ancestor of main was written by contributes nothing.
    """
    table = lake.load_table(changelog_table(entity))
    found: list[pa.Table] = []
    with translated():
        for batch_id in batch_ids:
            snapshot = snapshot_of(table, batch_id)
            for address in _may_hold(table, snapshot, column=column, key=key) if snapshot is not None else ():
                with table.io.new_input(address).open() as stream:
                    found.append(pq.read_table(stream, filters=[(column, "=", key)]))
    rows = pa.concat_tables(found, promote_options="permissive") if found else None
    return rows if rows is not None and rows.num_rows else None


def _may_hold(table: Table, snapshot: Snapshot, *, column: str, key: int) -> list[str]:
    """Return the files a snapshot added whose bounds of a column take a value in."""
    files = []
    for manifest in snapshot.manifests(table.io):
        if manifest.added_snapshot_id == snapshot.snapshot_id:
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            files += [entry.data_file for entry in entries if entry.status == ManifestEntryStatus.ADDED]
    return [file.file_path for file in files if _takes_in(table, file, column=column, key=key)]


def _takes_in(table: Table, file: DataFile, *, column: str, key: int) -> bool:
    field = table.schema().find_field(column)
    low, high = (file.lower_bounds or {}).get(field.field_id), (file.upper_bounds or {}).get(field.field_id)
    if low is None or high is None or not isinstance(field.field_type, PrimitiveType):
        return True
    return int(from_bytes(field.field_type, low)) <= key <= int(from_bytes(field.field_type, high))
