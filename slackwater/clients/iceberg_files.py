"""Files of the lake's tables: which a snapshot names, which batches they hold, what lies in the store; removal."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector
from pyiceberg.expressions import AlwaysFalse, BooleanExpression, EqualTo, In
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, DataFileContent, ManifestContent, ManifestFile
from pyiceberg.table import Table

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.errors import CommitConflict, NotKnown, StoreRejected
from slackwater.naming import SNAPSHOT_PURGE_ID

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class TableFile:
    """A data or delete file that a snapshot names.

    Attributes:
        added_by: Snapshot that committed it; it may have expired. 0: nothing tells it.
        is_data: False for a file of row deletes.
    """

    address: str
    day: date
    row_count: int
    size_bytes: int
    added_by: int
    is_data: bool


@dataclass(frozen=True)
class TableLayout:
    """What metadata says of main: how many manifests of data files, and whether its snapshot has statistics."""

    is_written: bool
    data_manifests: int
    has_statistics: bool


@dataclass(frozen=True)
class TableStorage:
    """What lies under a table's location: metadata, and files no snapshot names, included."""

    file_count: int
    size_bytes: int
    size_by_address: Mapping[str, int]


def files_at(lake: Lake, name: str, snapshot_id: int | None) -> dict[str, TableFile]:
    """Return every data and delete file of a snapshot by its address; none for a table nobody wrote to.

    Raises:
        NotKnown: The table has no such snapshot.
    """
    if snapshot_id is None:
        return {}
    table = lake.load_table(name)
    with translated():
        found = (_table_file(file, added_by) for file, added_by in _live_files(table, snapshot_id))
        return {one.address: one for one in found}


def find_file(lake: Lake, name: str, address: str) -> TableFile | None:
    """Return a file that some known snapshot names, None when none does; the newest snapshots are looked at first."""
    table = lake.load_table(name)
    seen: set[str] = set()
    with translated():
        for snapshot in sorted(table.metadata.snapshots, key=lambda one: one.timestamp_ms, reverse=True):
            for manifest in snapshot.manifests(table.io):
                if manifest.manifest_path in seen:
                    continue
                seen.add(manifest.manifest_path)
                for file, added_by in _entries(table, manifest):
                    if file.file_path == address:
                        return _table_file(file, added_by)
    return None


def batch_rows(lake: Lake, name: str, addresses: Collection[str]) -> dict[str, dict[str, int]]:
    """Count rows per batch in each of some data files of a changelog, by reading that column of them.

    Raises:
        StoreRejected: A file is not readable as Parquet; names it.
    """
    found: dict[str, dict[str, int]] = {}
    if not addresses:
        return found
    table = lake.load_table(name)
    for address in sorted(addresses):
        try:
            with translated(), table.io.new_input(address).open() as stream:
                counted = pq.read_table(stream, columns=["_batch_id"])["_batch_id"].value_counts()
        except pa.ArrowInvalid as exc:
            raise StoreRejected(f"data file {address} cannot be read: {exc}") from exc
        found[address] = {str(one["values"]): int(one["counts"]) for one in counted.to_pylist()}
    return found


def tombstones_by_object(lake: Lake, name: str) -> dict[str, int]:
    """Count the tombstones of a state table per object that brought them; reads two columns of it."""
    table = lake.load_table(name)
    with translated():
        rows = table.scan(row_filter=EqualTo(term="__op", value="d"), selected_fields=("_object_id",)).to_arrow()
    return {str(one["values"]): int(one["counts"]) for one in rows["_object_id"].value_counts().to_pylist()}


def rows_at(lake: Lake, name: str, snapshot_id: int, *, columns: Sequence[str], days: Collection[date]) -> pa.Table:
    """Read some columns of the rows a snapshot shows on some dates."""
    table = lake.load_table(name)
    wanted: BooleanExpression = In(term="date", literals={day.isoformat() for day in days}) if days else AlwaysFalse()
    with translated():
        return table.scan(row_filter=wanted, selected_fields=tuple(columns), snapshot_id=snapshot_id).to_arrow()


def row_count_at(lake: Lake, name: str, snapshot_id: int) -> int:
    """Count the rows a snapshot shows; opens data files only where row deletes must be applied."""
    table = lake.load_table(name)
    with translated():
        return int(table.scan(snapshot_id=snapshot_id).count())


def read_layout(lake: Lake, name: str) -> TableLayout:
    """Read from metadata what decides whether a table's manifests and statistics are worth work."""
    table = lake.load_table(name)
    snapshot = table.current_snapshot()
    if snapshot is None:
        return TableLayout(is_written=False, data_manifests=0, has_statistics=False)
    with translated():
        count = sum(1 for one in snapshot.manifests(table.io) if one.content == ManifestContent.DATA)
    has_statistics = any(one.snapshot_id == snapshot.snapshot_id for one in table.metadata.statistics)
    return TableLayout(is_written=True, data_manifests=count, has_statistics=has_statistics)


def read_storage(lake: Lake, name: str) -> TableStorage:
    """List everything below a table's location.

    Raises:
        StoreRejected: The table's files are behind something that cannot list.
    """
    table = lake.load_table(name)
    if not isinstance(table.io, PyArrowFileIO):
        raise StoreRejected(f"{name}: the files of {type(table.io).__name__} cannot be listed")
    scheme, netloc, path = table.io.parse_location(table.location())
    with translated():
        found = table.io.fs_by_scheme(scheme, netloc).get_file_info(
            FileSelector(path, recursive=True, allow_not_found=True)
        )
    sizes = {f"{scheme}://{one.path}": int(one.size) for one in found if one.is_file}
    return TableStorage(len(sizes), sum(sizes.values()), sizes)


def remove_files(lake: Lake, name: str, addresses: Collection[str], *, seen_head: int | None, purge_id: str) -> None:
    """Take whole data files out of main, in one commit whose summary names the purge.

    Args:
        lake: The lake.
        name: The table.
        addresses: Data files of the snapshot that was looked at, at least one.
        seen_head: That snapshot.
        purge_id: Written to the new snapshot's summary.

    Raises:
        CommitConflict: Main moved since it was looked at; choose anew.
        StoreRejected: Main does not hold one of the files.
    """
    table = lake.load_table(name)
    if table.metadata.current_snapshot_id != seen_head or seen_head is None:
        raise CommitConflict(f"{name}: main moved from {seen_head} to {table.metadata.current_snapshot_id}")
    wanted = set(addresses)
    with translated():
        files = [file for file, _ in _live_files(table, seen_head) if file.file_path in wanted]
        if len(files) != len(wanted):
            raise StoreRejected(f"{name}: main holds {len(files)} of the {len(wanted)} files to remove")
        table.metadata.properties["commit.retry.num-retries"] = "0"
        with table.transaction() as transaction:
            update = transaction.update_snapshot(snapshot_properties={SNAPSHOT_PURGE_ID: purge_id})
            with update.overwrite() as removal:
                for file in files:
                    removal.delete_data_file(file)


def _live_files(table: Table, snapshot_id: int) -> Iterator[tuple[DataFile, int]]:
    snapshot = table.snapshot_by_id(snapshot_id)
    if snapshot is None:
        raise NotKnown(f"{table.name()} has no snapshot {snapshot_id}")
    for manifest in snapshot.manifests(table.io):
        yield from _entries(table, manifest)


def _entries(table: Table, manifest: ManifestFile) -> Iterator[tuple[DataFile, int]]:
    """Yield the files a manifest names, each with the snapshot that committed it."""
    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
        added_by = entry.snapshot_id if entry.snapshot_id is not None else manifest.added_snapshot_id
        yield entry.data_file, added_by or 0


def _table_file(file: DataFile, added_by: int) -> TableFile:
    value = file.partition[0]
    return TableFile(
        address=file.file_path,
        day=value if isinstance(value, date) else _EPOCH + timedelta(days=value),
        row_count=file.record_count,
        size_bytes=file.file_size_in_bytes,
        added_by=added_by,
        is_data=file.content == DataFileContent.DATA,
    )
