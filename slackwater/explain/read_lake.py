"""Reads from the lake's metadata which snapshots hold batches, and rows of one key that only the lake has yet."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_contents import MainHistory, main_history
from slackwater.clients.iceberg_history import CLOCK_SKEW
from slackwater.clients.iceberg_lookup import rows_of_key
from slackwater.entities.model import load_entity
from slackwater.errors import StoreRejected
from slackwater.explain.facts import ChangeRow, scalar, utc
from slackwater.explain.work_facts import BatchFacts, Held, SnapshotFacts

SHOWN_FILES = 3


def snapshots_of(
    lake: Lake, entity: str, batches: Sequence[BatchFacts], *, with_files: Collection[str] = (), day: date | None = None
) -> dict[str, SnapshotFacts]:
    """Return what main says of an entity's batches; metadata only.

    Args:
        lake: The lake.
        entity: The batches' entity.
        batches: By the ledger; one that never landed and that main does not hold is left out.
        with_files: Ids of the batches whose data files are wanted (two small reads each).
        day: Only data files of this day's partition.
    """
    history = main_history(lake, entity)
    found: dict[str, SnapshotFacts] = {}
    for batch in batches:
        landed = history.by_batch.get(batch.batch_id)
        if landed is not None:
            files = _files(lake, entity, batch.batch_id, day=day) if batch.batch_id in with_files else ()
            found[batch.batch_id] = SnapshotFacts(
                Held.ON_MAIN, landed.snapshot_id, landed.committed_at, landed.row_count, files
            )
        elif batch.row_count and batch.state != "sealed":
            found[batch.batch_id] = SnapshotFacts(Held.NOT_ON_MAIN if _reaches(history, batch) else Held.EXPIRED)
    return found


def lake_versions(lake: Lake, entity: str, key: int, batch_ids: Sequence[str]) -> tuple[ChangeRow, ...]:
    """Return the rows of a key in batches that are not loaded yet; the files of other batches are not opened."""
    declared = load_entity(entity)
    rows = rows_of_key(lake, entity, column=declared.key, key=key, batch_ids=tuple(batch_ids))
    names = [name for name in declared.column_names if name != declared.key]
    return tuple(_change_row(row, names) for row in rows.to_pylist()) if rows is not None else ()


def _reaches(history: MainHistory, batch: BatchFacts) -> bool:
    """Say whether main's known history reaches back to the append of a batch."""
    if history.is_complete:
        return True
    landed_at = utc(batch.landed_at)
    return history.oldest_at is not None and landed_at is not None and history.oldest_at < landed_at - CLOCK_SKEW


def _files(lake: Lake, entity: str, batch_id: str, *, day: date | None) -> tuple[str, ...]:
    names = lake.files_of_batch(entity, batch_id)
    of_day = [name for name in names if day is not None and f"/date={day}/" in name]
    return tuple((of_day or names)[:SHOWN_FILES])


def _change_row(row: Mapping[str, object], names: Sequence[str]) -> ChangeRow:
    event_at = utc(row["__source_ts_ms"])
    if event_at is None:
        raise StoreRejected(f"__source_ts_ms came back as {type(row['__source_ts_ms']).__name__}, expected a time")
    return ChangeRow(
        op=str(row["__op"]),
        lsn=int(str(row["__source_lsn"])),
        epoch=int(str(row["_epoch"])),
        object_id=str(row["_object_id"]),
        source_partition=str(row["_source_partition"]),
        position=int(str(row["_position"])),
        event_at=event_at,
        captured_at=utc(row["__ts_ms"]),
        values={name: scalar(row[name]) for name in names},
        batch_id=str(row["_batch_id"]),
        file_name=str(row["_file_name"]),
    )
