"""The live files of a table per partition, and when each partition was last written to: from metadata alone.

Who compacts must know sizes, delete files and the last commit of every partition; no data file is opened. A commit's
time is the snapshot's, so data of an old day that was appended just now is fresh.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFileContent, ManifestEntry, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.clients.iceberg_partitions import MANIFEST_READERS
from slackwater.errors import StoreRejected
from slackwater.lake.compaction import PartitionFiles

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class TableFiles:
    """The live files of main.

    Attributes:
        snapshot_id: Where they were read; None for a table nobody wrote to.
        partitions: By day.
    """

    snapshot_id: int | None
    partitions: tuple[PartitionFiles, ...]


def table_files(lake: Lake, table: str) -> TableFiles:
    """Read main's live data and delete files per partition.

    Args:
        lake: The lake.
        table: Identifier of a table partitioned by the identity of one date.

    Raises:
        ConfigurationError: There is no such table.
        StoreRejected: A manifest belongs to another partitioning.
    """
    loaded = lake.load_table(table)
    with translated():
        snapshot = loaded.current_snapshot()
        if snapshot is None:
            return TableFiles(None, ())
        manifests = snapshot.manifests(loaded.io)
        _require_partitioning(loaded, manifests)
        entries: dict[date, list[ManifestEntry]] = defaultdict(list)
        with ThreadPoolExecutor(MANIFEST_READERS, thread_name_prefix="manifest") as readers:
            for part in readers.map(lambda manifest: _read(loaded.io, manifest), manifests):
                for entry in part:
                    entries[_day(entry)].append(entry)
        times = _commit_times(loaded)
    found = tuple(_partition(day, entries[day], times) for day in sorted(entries))
    return TableFiles(snapshot.snapshot_id, tuple(one for one in found if one.file_bytes or one.delete_count))


def unreadable_files(lake: Lake, table: str, *, days: Collection[date]) -> tuple[str, ...]:
    """Return the addresses of the data and delete files of some days that cannot be read, sorted, by reading them all.

    For after a failure; it costs as much as reading the table.

    Raises:
        StoreUnavailable: The object store does not answer; nothing is known then.
    """
    loaded = lake.load_table(table)
    with translated():
        snapshot = loaded.current_snapshot()
        found = [
            entry.data_file.file_path
            for manifest in (snapshot.manifests(loaded.io) if snapshot is not None else ())
            for entry in _read(loaded.io, manifest)
            if _day(entry) in days
        ]
        with ThreadPoolExecutor(MANIFEST_READERS, thread_name_prefix="file") as readers:
            are_good = list(readers.map(lambda address: _is_readable(loaded.io, address), found))
    return tuple(sorted(address for address, is_good in zip(found, are_good, strict=True) if not is_good))


def name_unreadable(error: StoreRejected, lake: Lake, table: str, *, days: Collection[date]) -> StoreRejected:
    """Return the error of a failed rewrite with the files that cannot be read, or as it is when all can.

    Iceberg names such a file in its log and not in what it raises (1.11.0).
    """
    found = unreadable_files(lake, table, days=days)
    if not found:
        return error
    return StoreRejected(
        f"{table}: {len(found)} files cannot be read: {', '.join(found)}; main is as it was. Find the batches that"
        f" brought them: slackwater lake file {found[0]} ({error})"
    )


def _is_readable(io: FileIO, address: str) -> bool:
    try:
        with io.new_input(address).open() as stream:
            pq.read_table(stream)
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
    except OSError as exc:
        if "Couldn't deserialize" in str(exc) or "Corrupt" in str(exc) or "end of stream" in str(exc):
            return False
        raise
    return True


def _partition(day: date, entries: Iterable[ManifestEntry], times: "CommitTimes") -> PartitionFiles:
    data = [one for one in entries if one.data_file.content == DataFileContent.DATA]
    deletes = [one for one in entries if one.data_file.content != DataFileContent.DATA]
    return PartitionFiles(
        day=day,
        file_bytes=tuple(sorted(one.data_file.file_size_in_bytes for one in data)),
        row_count=sum(one.data_file.record_count for one in data),
        delete_count=len(deletes),
        delete_bytes=sum(one.data_file.file_size_in_bytes for one in deletes),
        deleted_row_count=sum(one.data_file.record_count for one in deletes),
        written_at=max((times.of(one.snapshot_id) for one in (*data, *deletes)), default=None),
    )


@dataclass(frozen=True)
class CommitTimes:
    """When the known ancestors of main were committed; what is older was committed before the oldest of them."""

    by_snapshot: Mapping[int, datetime]
    oldest_at: datetime

    def of(self, snapshot_id: int | None) -> datetime:
        """Return when a snapshot was committed, at the latest."""
        return self.by_snapshot.get(snapshot_id, self.oldest_at) if snapshot_id is not None else self.oldest_at


def _commit_times(table: Table) -> CommitTimes:
    found = {
        snapshot.snapshot_id: datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
        for snapshot in ancestors_of(table.current_snapshot(), table.metadata)
    }
    return CommitTimes(found, min(found.values()))


def _require_partitioning(table: Table, manifests: Iterable[ManifestFile]) -> None:
    spec_id = table.spec().spec_id
    for manifest in manifests:
        if manifest.partition_spec_id != spec_id:
            raise StoreRejected(
                f"{table.name()} holds {manifest.manifest_path} in partitioning {manifest.partition_spec_id}; only the"
                f" present one, {spec_id}, can be compacted by day"
            )


def _read(io: FileIO, manifest: ManifestFile) -> list[ManifestEntry]:
    return manifest.fetch_manifest_entry(io, discard_deleted=True)


def _day(entry: ManifestEntry) -> date:
    value = entry.data_file.partition[0]
    return value if isinstance(value, date) else _EPOCH + timedelta(days=value)
