"""What main holds of a changelog, by batch and by object: for verifying a ledger and for rebuilding one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, In
from pyiceberg.table.snapshots import ancestors_of

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.clients.iceberg_history import is_history_complete
from slackwater.naming import ENTITIES, SNAPSHOT_BATCH_ID, changelog_table

_OBJECT = ("_batch_id", "_object_id", "_file_name", "_epoch", "_source_partition", "date")


@dataclass(frozen=True)
class LandedSnapshot:
    """The ancestor of main that a batch wrote."""

    snapshot_id: int
    row_count: int
    committed_at: datetime


@dataclass(frozen=True)
class MainHistory:
    """The commits to main that are still known.

    Attributes:
        head_id: Newest snapshot, None for a table nobody wrote to.
        by_batch: Per batch id the newest ancestor it wrote.
        oldest_at: Commit time of the oldest known ancestor.
        is_complete: False when older ancestors were expired: batches may be held without being in `by_batch`.
    """

    head_id: int | None
    by_batch: Mapping[str, LandedSnapshot]
    oldest_at: datetime | None
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ObjectRows:
    """The rows of one object in one batch.

    Attributes:
        days: Rows per event day (UTC).
    """

    entity: str
    batch_id: str
    object_id: str
    key: str
    epoch: int
    source_partition: str
    first_position: int
    last_position: int
    days: Mapping[date, int]

    @property
    def row_count(self) -> int:
        """Return how many rows there are."""
        return sum(self.days.values())


def main_history(lake: Lake, entity: str) -> MainHistory:
    """Read from a table's metadata which batches main's known ancestors hold; no data is read."""
    table = lake.load_table(changelog_table(entity))
    by_batch: dict[str, LandedSnapshot] = {}
    oldest_at = None
    with translated():
        head = table.current_snapshot()
        for snapshot in ancestors_of(head, table.metadata):
            oldest_at = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
            batch_id = snapshot.summary.get(SNAPSHOT_BATCH_ID) if snapshot.summary is not None else None
            if snapshot.summary is not None and isinstance(batch_id, str):
                rows = int(snapshot.summary["added-records"] or 0)
                by_batch.setdefault(batch_id, LandedSnapshot(snapshot.snapshot_id, rows, oldest_at))
        is_complete = is_history_complete(table, since=None)
    return MainHistory(head.snapshot_id if head else None, by_batch, oldest_at, is_complete)


def main_histories(lake: Lake) -> dict[str, MainHistory]:
    """Read the history of every entity's changelog."""
    return {entity: main_history(lake, entity) for entity in ENTITIES}


def count_batch_rows(lake: Lake, entity: str, batch_ids: Collection[str] | None = None) -> dict[str, int]:
    """Count main's rows per batch by reading them; of these batches alone where named. Absent means none."""
    table = lake.load_table(changelog_table(entity))
    wanted: BooleanExpression = AlwaysTrue()
    if batch_ids is not None:
        if not batch_ids:
            return {}
        wanted = In(term="_batch_id", literals=set(batch_ids))
    with translated():
        reader = table.scan(row_filter=wanted, selected_fields=("_batch_id",)).to_arrow_batch_reader()
        counted = [_grouped(pa.Table.from_batches([part]), ["_batch_id"]) for part in reader]
    if not counted:
        return {}
    total = pa.concat_tables(counted).group_by("_batch_id").aggregate([("rows", "sum")])
    return dict(zip(total["_batch_id"].to_pylist(), total["rows_sum"].to_pylist(), strict=True))


def object_rows(lake: Lake, entity: str) -> tuple[ObjectRows, ...]:
    """Return what main holds of every object, by batch and object; reads seven columns of the whole table once."""
    table = lake.load_table(changelog_table(entity))
    with translated():
        reader = table.scan(selected_fields=(*_OBJECT, "_position")).to_arrow_batch_reader()
        parts = [_grouped(pa.Table.from_batches([part]), list(_OBJECT), is_placed=True) for part in reader]
    if not parts:
        return ()
    wanted = [("rows", "sum"), ("first", "min"), ("last", "max")]
    days = pa.concat_tables(parts).group_by(list(_OBJECT)).aggregate(wanted)
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    for row in days.to_pylist():
        found.setdefault((row["_batch_id"], row["_object_id"]), []).append(row)
    return tuple(_object_rows(entity, found[place]) for place in sorted(found))


def _grouped(rows: pa.Table, names: list[str], *, is_placed: bool = False) -> pa.Table:
    """Count one part's rows per group; with the smallest and greatest position where wanted."""
    places = [("_position", "min"), ("_position", "max")] if is_placed else []
    counted = rows.group_by(names).aggregate([("_batch_id", "count"), *places])
    renamed = {"_batch_id_count": "rows", "_position_min": "first", "_position_max": "last"}
    return counted.rename_columns([renamed.get(name, name) for name in counted.column_names])


def _object_rows(entity: str, days: list[dict[str, object]]) -> ObjectRows:
    first = days[0]
    return ObjectRows(
        entity=entity,
        batch_id=str(first["_batch_id"]),
        object_id=str(first["_object_id"]),
        key=str(first["_file_name"]),
        epoch=int(str(first["_epoch"])),
        source_partition=str(first["_source_partition"]),
        first_position=min(int(str(day["first_min"])) for day in days),
        last_position=max(int(str(day["last_max"])) for day in days),
        days={date.fromisoformat(str(day["date"])): int(str(day["rows_sum"])) for day in days},
    )
