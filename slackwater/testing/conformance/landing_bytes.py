"""Writes a described change file as the landing file it stands for, and reads one back the way the ingest does."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from hashlib import md5

import pyarrow as pa

from slackwater.entities.model import AMOUNTS, CDC_COLUMNS, Column, ColumnType, Entity, load_entity
from slackwater.errors import MalformedObject
from slackwater.lake.append import changelog_rows
from slackwater.landing.reader import parse_object
from slackwater.ledger.model import BatchObject, object_id
from slackwater.testing.conformance.change_files import ChangeFile, DeleteForm, Fault, FileForm
from slackwater.testing.conformance.older_shapes import columns_at, shape_at
from slackwater.testing.conformance.source import Change, Row, Value
from slackwater.testing.landing_files import jsonl_gz_bytes, parquet_bytes

NOMINAL_BUCKET = "conformance"
"""Goes into the object ids, whatever bucket holds the bytes: the same case has the same ids everywhere."""

FABRICATED: Mapping[ColumnType, Value] = {
    ColumnType.INT32: 0,
    ColumnType.INT64: 0,
    ColumnType.STRING: "",
    ColumnType.TIMESTAMP: datetime(1970, 1, 1),  # noqa: DTZ001 - every store holds UTC without a zone
    ColumnType.MONEY: Decimal("0.00"),
    ColumnType.LARGE_MONEY: Decimal("0.00"),
}
DROPPED = "created_at"
_OUT_OF_RANGE = {
    Fault.YEAR_1: datetime(1, 1, 1),  # noqa: DTZ001
    Fault.YEAR_9999: datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
}
_OFFSETS = (timezone(timedelta(hours=1)), timezone(timedelta(hours=5, minutes=30)), UTC)


@dataclass(frozen=True)
class LandingObject:
    """One object as a merge receives it; everything is in it that the ledger would know.

    Attributes:
        key: Landing key, `cdc/<entity>/date=.../hour=../<topic>+0+<first>-<last>.<form>`.
        etag: MD5 of the bytes.
        object_id: Last part of the change order.
        epoch: First part of the change order.
        first_position: Source position of the first row; row i has this + i.
    """

    entity: str
    key: str
    data: bytes
    etag: str
    object_id: str
    epoch: int
    source_partition: str
    first_position: int
    last_position: int


def landing_object(file: ChangeFile, *, entity: Entity, source: str, first_key: int) -> LandingObject:
    """Write one file.

    Args:
        file: What is in it.
        entity: Whose changes.
        source: Begins the topic's name; files of different sources have nothing to do with each other.
        first_key: Is added to every key.
    """
    is_json = file.form in {FileForm.JSON, FileForm.JSON_OFFSET}
    topic = f"{source}.{entity.name}"
    name = f"{topic}+0+{file.first}-{file.last}.{'jsonl.gz' if is_json else 'parquet'}"
    key = f"cdc/{entity.name}/date=2010-12-01/hour={file.copy:02d}/{name}"
    rows = [_row(entity, change, file, first_key=first_key) for change in file.changes]
    _apply_fault(rows, file, entity)
    shape = shape_at(entity, file.version)
    data = _json(shape, rows, file.form) if is_json else _parquet(shape, rows, file.form)
    etag = md5(data, usedforsecurity=False).hexdigest()
    return LandingObject(
        entity=entity.name,
        key=key,
        data=data,
        etag=etag,
        object_id=object_id(NOMINAL_BUCKET, key, etag),
        epoch=file.epoch,
        source_partition=f"{topic}+0",
        first_position=file.first,
        last_position=file.last,
    )


def read_changelog(item: LandingObject) -> tuple[Row, ...] | None:
    """Read an object as the append does: cast, deletes stripped, its place in the change order added.

    Returns:
        Rows in the columns of `changelog_schema`, not to be changed; None for an object that is quarantined.
    """
    return _read(item, load_entity(item.entity).columns)


@lru_cache(maxsize=2_048)
def _read(item: LandingObject, columns: tuple[Column, ...]) -> tuple[Row, ...] | None:
    """Read an object; the columns are part of the question, as another declaration reads the same bytes otherwise."""
    entity = load_entity(item.entity).model_copy(update={"columns": columns})
    expected = item.last_position - item.first_position + 1
    try:
        rows = parse_object(item.data, entity=entity, is_json=item.key.endswith(".jsonl.gz"), expected_rows=expected)
    except MalformedObject:
        return None
    return tuple(changelog_rows(rows, entity, item=batch_object(item), batch_id=item.object_id).to_pylist())


def batch_object(item: LandingObject) -> BatchObject:
    """Return the object as a line of a manifest."""
    return BatchObject(
        object_id=item.object_id,
        bucket=NOMINAL_BUCKET,
        key=item.key,
        etag=item.etag,
        size_bytes=len(item.data),
        source_partition=item.source_partition,
        first_position=item.first_position,
        last_position=item.last_position,
        epoch=item.epoch,
        is_skipped=False,
        reason=None,
    )


def _row(entity: Entity, change: Change, file: ChangeFile, *, first_key: int) -> dict[str, Value]:
    is_delete = change.op == "d"
    values: dict[str, Value] = {}
    for name, column in columns_at(entity, file.version):
        if name == entity.key:
            values[column.name] = first_key + change.key
        elif is_delete:
            values[column.name] = FABRICATED[column.type] if file.deletes is DeleteForm.ZEROS else None
        else:
            values[column.name] = change.values[name]
    return values | {
        "__op": change.op,
        "__ts_ms": change.changed_at + timedelta(seconds=1),
        "__source_ts_ms": change.changed_at,
        "__source_lsn": change.lsn,
        "__deleted": "true" if is_delete else "false",
    }


def _apply_fault(rows: list[dict[str, Value]], file: ChangeFile, entity: Entity) -> None:
    if file.fault is Fault.DROPPED_COLUMN:
        for row in rows:
            del row[DROPPED]
    elif file.fault is Fault.LOST_COLUMN:
        first = min((column for column in entity.columns if column.since), key=lambda column: column.since or 0)
        for row in rows:
            del row[first.name]
    elif file.fault is Fault.TWO_NAMES:
        renamed = next(column for column in entity.columns if column.renamed_from)
        for row in rows:
            row[renamed.renamed_from[0]] = row[renamed.name]
    elif file.fault is not None:
        next(row for row in rows if row["__op"] != "d")[DROPPED] = _OUT_OF_RANGE[file.fault]


def _parquet(entity: Entity, rows: list[dict[str, Value]], form: FileForm) -> bytes:
    is_zoned = form is FileForm.PARQUET_ZONED
    fields = []
    for column in (*entity.columns, *CDC_COLUMNS):
        if rows and column.name not in rows[0]:
            continue
        kind = column.type.arrow
        if is_zoned:
            kind = pa.string() if column.type in AMOUNTS else kind
            kind = pa.timestamp("us", "UTC") if column.type is ColumnType.TIMESTAMP else kind
        elif column.name in {"__ts_ms", "__source_ts_ms"}:
            kind = pa.int64()
        fields.append(pa.field(column.name, pa.dictionary(pa.int8(), pa.string()) if column.name == "__op" else kind))
    fields.append(pa.field("__deleted", pa.string()))
    fields += [pa.field(name, pa.string()) for name in rows[0] if name not in {f.name for f in fields}] if rows else []
    columns = [_parquet_column([row[field.name] for row in rows], field.type) for field in fields]
    return parquet_bytes(pa.Table.from_arrays(columns, schema=pa.schema(fields)))


def _parquet_column(values: list[Value], kind: pa.DataType) -> pa.Array:
    if pa.types.is_int64(kind):
        values = [
            (value - datetime(1970, 1, 1)) // timedelta(milliseconds=1)  # noqa: DTZ001
            if isinstance(value, datetime)
            else value
            for value in values
        ]
    elif pa.types.is_timestamp(kind) and kind.tz is not None:
        values = [value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for value in values]
    elif pa.types.is_string(kind):
        values = [str(value) if isinstance(value, Decimal) else value for value in values]
    return pa.array(values, type=kind)


def _json(entity: Entity, rows: list[dict[str, Value]], form: FileForm) -> bytes:
    made = []
    for index, row in enumerate(rows):
        zone = _OFFSETS[index % len(_OFFSETS)] if form is FileForm.JSON_OFFSET else UTC
        # A delete that tells only its key leaves the other fields out of its line.
        shown = {k: v for k, v in row.items() if not (row["__op"] == "d" and v is None and k in entity.column_names)}
        made.append({name: _zoned(value, zone) for name, value in shown.items()})
    return jsonl_gz_bytes(made)


def _zoned(value: Value, zone: timezone) -> Value:
    if not isinstance(value, datetime):
        return value
    utc = value.replace(tzinfo=UTC)
    return utc.astimezone(zone) if 1 < value.year < 9999 else utc
