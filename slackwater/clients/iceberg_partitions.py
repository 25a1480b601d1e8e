"""Rows per partition of a table, from metadata alone: no data file is opened.

Manifests are read only where the manifest list does not say it already: one that holds a single date tells its rows
there. (An append of one day's file makes such a manifest.)
"""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.table import Table

from slackwater.errors import StoreRejected

MANIFEST_READERS = 8
"""Manifests read at the same time; each is one small object."""

_EPOCH = date(1970, 1, 1)


def rows_by_date(table: Table) -> Mapping[date, int]:
    """Return the live rows of main per partition date; empty without a snapshot.

    Args:
        table: A table partitioned by the identity of one date.

    Raises:
        StoreRejected: A manifest belongs to another partitioning, or holds row deletes: nothing here writes those.
    """
    snapshot = table.current_snapshot()
    if snapshot is None:
        return {}
    spec_id = table.spec().spec_id
    unread: list[ManifestFile] = []
    found: Counter[date] = Counter()
    for manifest in snapshot.manifests(table.io):
        if manifest.partition_spec_id != spec_id or manifest.content != ManifestContent.DATA:
            raise StoreRejected(
                f"{table.name()} holds {manifest.manifest_path}, partitioning {manifest.partition_spec_id} and content"
                f" {manifest.content.name}; only data files in the present partitioning, {spec_id}, are counted"
            )
        day = _only_date(manifest)
        if day is None:
            unread.append(manifest)
        else:
            found[day] += (manifest.added_rows_count or 0) + (manifest.existing_rows_count or 0)
    with ThreadPoolExecutor(MANIFEST_READERS, thread_name_prefix="manifest") as readers:
        for counted in readers.map(lambda manifest: _read(table.io, manifest), unread):
            found.update(counted)
    return {day: count for day, count in found.items() if count}


def _only_date(manifest: ManifestFile) -> date | None:
    """Return the one date all of a manifest's files have, None when there are several or its list does not count."""
    is_counted = manifest.added_rows_count is not None and manifest.existing_rows_count is not None
    summaries = manifest.partitions or []
    if not is_counted or len(summaries) != 1 or summaries[0].contains_null:
        return None
    lower, upper = summaries[0].lower_bound, summaries[0].upper_bound
    if lower is None or lower != upper:
        return None
    return _EPOCH + timedelta(days=int.from_bytes(lower, "little", signed=True))  # as the Iceberg format says


def _read(io: FileIO, manifest: ManifestFile) -> Counter[date]:
    found: Counter[date] = Counter()
    for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
        value = entry.data_file.partition[0]
        day = value if isinstance(value, date) else _EPOCH + timedelta(days=value)
        found[day] += entry.data_file.record_count
    return found
