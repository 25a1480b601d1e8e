"""Reads one landing object, exactly the version the ledger recorded, into an Arrow table. Nothing else opens them."""

import gzip
import zlib

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from slackwater.clients.s3 import ObjectStore
from slackwater.entities.casting import cast_landing_table
from slackwater.entities.model import AMOUNTS, CDC_COLUMNS, ColumnType, Entity, arrow_schema
from slackwater.errors import MalformedObject, SchemaDrift
from slackwater.ledger.model import BatchObject

_PARQUET_MAGIC = b"PAR1"
_LARGEST_BLOCK_BYTES = 2**31 - 1


def read_object(store: ObjectStore, item: BatchObject, *, entity: Entity, max_bytes: int | None = None) -> pa.Table:
    """Read and cast one object of a batch.

    Args:
        store: The object store.
        item: What to read; its etag is a condition, its positions say how many rows there are.
        entity: What it should hold.
        max_bytes: Largest object that is opened, since it must fit in memory; None opens any.

    Returns:
        Entity columns and `CDC_COLUMNS`, one row per change in file order.

    Raises:
        ObjectSuperseded: The key holds other content now.
        MalformedObject: It cannot be read as the contract says; `reason` says why.
        StoreUnavailable: The store does not answer.
    """
    if max_bytes is not None and item.size_bytes > max_bytes:
        raise MalformedObject("too_large", f"{item.size_bytes} bytes, at most {max_bytes} are opened; raise the limit")
    data = store.get(item.bucket, item.key, if_match=item.etag)
    expected_rows = item.last_position - item.first_position + 1
    return parse_object(data, entity=entity, is_json=item.key.endswith(".jsonl.gz"), expected_rows=expected_rows)


def parse_object(data: bytes, *, entity: Entity, is_json: bool, expected_rows: int) -> pa.Table:
    """Parse and cast a landing file's bytes; see `read_object`. A file without rows needs no columns."""
    if not data:
        raise MalformedObject("empty", "the object has no bytes")
    table = _parse_json(data, entity) if is_json else _parse_parquet(data)
    if table.num_rows != expected_rows:
        raise MalformedObject(
            "row_count_mismatch", f"the file holds {table.num_rows} rows, its name promises {expected_rows}"
        )
    if table.num_rows == 0 and table.num_columns == 0:
        return arrow_schema(entity, CDC_COLUMNS).empty_table()
    return cast_landing_table(entity, table)


def _parse_parquet(data: bytes) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError) as exc:
        if not data.startswith(_PARQUET_MAGIC):
            reason = "not_parquet"
        elif not data.endswith(_PARQUET_MAGIC):
            reason = "truncated"
        else:
            reason = "corrupt"
        raise MalformedObject(reason, f"not readable as Parquet: {str(exc).splitlines()[0]}") from exc


def _parse_json(data: bytes, entity: Entity) -> pa.Table:
    try:
        text = gzip.decompress(data)
        text.decode("utf-8")  # Arrow does not check
    except UnicodeDecodeError as exc:
        raise MalformedObject("not_json", f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
    except (EOFError, zlib.error) as exc:
        raise MalformedObject("truncated", f"the gzip stream ends early or is damaged: {exc}") from exc
    except OSError as exc:
        raise MalformedObject("not_gzip", f"not readable as gzip: {exc}") from exc
    if not text.strip():
        return pa.table({})
    block = pj.ReadOptions(block_size=min(len(text) + 1, _LARGEST_BLOCK_BYTES))
    try:
        # A column the schema names but the file lacks would come back as nulls, so names are asked first.
        names = pj.read_json(pa.BufferReader(text), read_options=block).column_names
        options = pj.ParseOptions(explicit_schema=_text_columns(entity, names))
        return pj.read_json(pa.BufferReader(text), read_options=block, parse_options=options)
    except pa.ArrowInvalid as exc:
        message = str(exc).splitlines()[0]
        if "changed from" in message and "Column()" not in message:  # `Column()` is the row itself
            raise SchemaDrift("wrong_type", f"a column holds a value of another type: {message}") from exc
        raise MalformedObject("not_json", f"not readable as JSON lines: {message}") from exc
    except pa.ArrowException as exc:
        raise MalformedObject("not_json", f"not readable as JSON lines: {exc}") from exc


def _text_columns(entity: Entity, names: list[str]) -> pa.Schema:
    """Text and money stay text: inference would turn a name that looks like a date into a time."""
    kinds = {ColumnType.STRING, *AMOUNTS}
    declared = [name for column in (*entity.columns, *CDC_COLUMNS) if column.type in kinds for name in column.names]
    return pa.schema([pa.field(name, pa.string()) for name in declared if name in names])
