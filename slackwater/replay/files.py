"""Landing files of the replay: key and bytes of one entity's changes of one slice. Pure; the same rows, the same bytes.

What a Debezium connector with the unwrap transform and an S3 sink gives: Parquet, or gzipped JSON lines in which
decimals are strings, the shop's timestamps ISO strings and the capture's timestamps milliseconds since 1970.
"""

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slackwater.errors import InvalidPlanError
from slackwater.replay.changes import EntityChanges
from slackwater.replay.synthetic import DAY_US, HOUR_US

PARTITION = 0
EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


class FileForm(StrEnum):
    """Physical form of a landing file; the value is its suffix."""

    PARQUET = "parquet"
    JSON = "jsonl.gz"


class SliceBy(StrEnum):
    """How much time one file covers."""

    HOUR = "hour"
    DAY = "day"

    @property
    def length_us(self) -> int:
        """Return the length in microseconds."""
        return HOUR_US if self is SliceBy.HOUR else DAY_US


@dataclass(frozen=True)
class TimeSlice:
    """Half-open range of source time in microseconds since 1970."""

    start_us: int
    end_us: int


@dataclass(frozen=True)
class LandingFile:
    """One file as it is sent, and the rows it holds.

    Attributes:
        entity: Entity name.
        source_partition: `<topic>+<partition>`.
        key: S3 key.
        first: Position of the first row.
        rows: Entity columns and change columns, in position order.
        data: The bytes.
    """

    entity: str
    source_partition: str
    key: str
    first: int
    rows: pa.Table
    data: bytes


def topic(entity: str) -> str:
    """Return the topic of an entity's changes."""
    return f"shop.{entity}"


def source_partition(entity: str) -> str:
    """Return the name of the one partition an entity's changes come from."""
    return f"{topic(entity)}+{PARTITION}"


def to_datetime(us: int) -> datetime:
    """Return microseconds since 1970 as an aware UTC time."""
    return EPOCH_START + timedelta(microseconds=us)


def time_slices(start_us: int, end_us: int, *, slice_by: SliceBy) -> Iterator[TimeSlice]:
    """Yield the slices of a range that begins and ends at midnight.

    Raises:
        InvalidPlanError: The range does not begin and end on a slice's border.
    """
    length = slice_by.length_us
    if start_us % length or end_us % length:
        raise InvalidPlanError(f"a range cut by {slice_by} must begin and end at a full {slice_by}")
    for at_us in range(start_us, end_us, length):
        yield TimeSlice(at_us, at_us + length)


def landing_key(entity: str, part: TimeSlice, *, prefix: str, first: int, last: int, form: FileForm) -> str:
    """Return the key of a file: the hour is the slice's first (00 for a day)."""
    start = to_datetime(part.start_us)
    name = f"{source_partition(entity)}+{first}-{last}.{form}"
    return f"{prefix}{entity}/date={start:%Y-%m-%d}/hour={start:%H}/{name}"


def landing_file(changes: EntityChanges, part: TimeSlice, *, prefix: str, form: FileForm) -> LandingFile | None:
    """Return the file of one entity's changes of a slice; None when there are none.

    Args:
        changes: All changes of the entity in the year.
        part: The slice.
        prefix: Landing prefix, ending in `/`.
        form: Physical form.
    """
    first, end = changes.span(part.start_us, part.end_us)
    if first == end:
        return None
    rows = changes.table.slice(first, end - first).combine_chunks()
    entity = changes.entity.name
    return LandingFile(
        entity=entity,
        source_partition=source_partition(entity),
        key=landing_key(entity, part, prefix=prefix, first=first, last=end - 1, form=form),
        first=first,
        rows=rows,
        data=parquet_bytes(rows) if form is FileForm.PARQUET else json_bytes(rows),
    )


def parquet_bytes(rows: pa.Table) -> bytes:
    """Return rows as Parquet with every writer setting fixed: nothing of the bytes depends on time or place."""
    sink = io.BytesIO()
    pq.write_table(
        rows,
        sink,
        version="2.6",
        compression="snappy",
        use_dictionary=True,
        write_statistics=True,
        data_page_version="1.0",
        row_group_size=max(rows.num_rows, 1),
        store_schema=False,
    )
    return sink.getvalue()


def json_bytes(rows: pa.Table) -> bytes:
    """Return rows as gzipped JSON lines, the gzip header without a time or a name."""
    table = pa.table({name: _json_column(name, rows.column(name)) for name in rows.column_names})
    lines = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in table.to_pylist())
    sink = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=sink, compresslevel=6, mtime=0) as file:
        file.write(lines.encode())
    return sink.getvalue()


def _json_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_decimal(column.type):
        return column.cast(pa.string())
    if not pa.types.is_timestamp(column.type):
        return column
    if name.startswith("__"):
        return pc.divide(column.cast(pa.int64()), 1_000)
    return pc.strftime(column.cast(pa.timestamp("us", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")


def feed_rows(file: LandingFile, *, object_id: str, epoch: int) -> pa.Table:
    """Return a file's rows as the speed layer stores them: with the place each has in the change order.

    Args:
        file: The file that was sent.
        object_id: Id of the object version it became.
        epoch: Epoch of the source.
    """
    count = file.rows.num_rows
    return (
        file.rows.drop_columns(["__deleted"])
        .append_column("_object_id", pa.array([object_id] * count, pa.string()))
        .append_column("_epoch", pa.array([epoch] * count, pa.int32()))
        .append_column("_source_partition", pa.array([file.source_partition] * count, pa.string()))
        .append_column("_position", pa.array(range(file.first, file.first + count), pa.int64()))
    )
