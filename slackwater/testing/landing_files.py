"""Builds landing files for tests: rows of an entity in the physical forms the contract allows."""

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.entities.model import AMOUNTS, CDC_COLUMNS, ColumnType, Entity, load_entity

Value = str | int | float | Decimal | datetime | None
Row = Mapping[str, Value]

DAY = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


@dataclass(frozen=True)
class LandingFile:
    """A landing file to be written: `count` rows of an entity from source position `first`.

    Attributes:
        overrides: Per row index the columns that differ from the generated ones.
        days: Rows are spread over so many days.
    """

    entity: str = "orders"
    first: int = 0
    count: int = 3
    date: str = "2010-12-01"
    hour: str = "08"
    topic: str | None = None
    days: int = 1
    overrides: Mapping[int, Row] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """Return the last position, `first - 1` without rows."""
        return self.first + self.count - 1

    def key(self, *, form: str = "parquet", prefix: str = "cdc/") -> str:
        """Return the landing key."""
        topic = self.topic or f"shop.{self.entity}"
        return f"{prefix}{self.entity}/date={self.date}/hour={self.hour}/{topic}+0+{self.first}-{self.last}.{form}"

    def rows(self) -> list[dict[str, Value]]:
        """Return the rows as Python values."""
        entity = load_entity(self.entity)
        return [{**_row(entity, self.first + i, i % self.days), **self.overrides.get(i, {})} for i in range(self.count)]

    def table(self) -> pa.Table:
        """Return the rows as Arrow, times of change in epoch milliseconds."""
        entity = load_entity(self.entity)
        fields = [pa.field(column.name, column.type.arrow) for column in entity.columns]
        fields += [
            pa.field(c.name, pa.int64() if c.type == ColumnType.TIMESTAMP else c.type.arrow) for c in CDC_COLUMNS
        ]
        rows = self.rows()
        naive = [{name: _naive(value) for name, value in row.items()} for row in rows]
        return pa.Table.from_pylist(naive, schema=pa.schema(fields))

    def parquet(self) -> bytes:
        """Return the Parquet bytes."""
        return parquet_bytes(self.table())

    def jsonl_gz(self) -> bytes:
        """Return gzipped JSON lines: money as text, times as ISO text."""
        return jsonl_gz_bytes(self.rows())

    def with_row(self, index: int, **columns: Value) -> "LandingFile":
        """Return a copy whose row `index` has other values."""
        return replace(self, overrides={**self.overrides, index: {**self.overrides.get(index, {}), **columns}})


def parquet_bytes(table: pa.Table) -> bytes:
    """Write a table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def jsonl_gz_bytes(rows: Sequence[Row]) -> bytes:
    """Write rows as gzipped JSON lines; the same rows give the same bytes."""
    lines = [json.dumps({name: _json_value(value) for name, value in row.items()}) for row in rows]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def _row(entity: Entity, position: int, day: int) -> dict[str, Value]:
    values: dict[str, Value] = {
        ColumnType.INT64: position + 1,
        ColumnType.INT32: position % 100,
        ColumnType.STRING: f"text {position}",
        ColumnType.TIMESTAMP: DAY + timedelta(days=day),
        **dict.fromkeys(AMOUNTS, Decimal(position % 10_000) / 100),
        ColumnType.DATE: None,
    }
    row: dict[str, Value] = {column.name: values[column.type] for column in entity.columns}
    if entity.name == "orders":
        row["status"] = "pending"
    changed_ms = int((DAY + timedelta(days=day)).timestamp() * 1000)
    return row | {
        "__op": "c",
        "__ts_ms": changed_ms + 5,
        "__source_ts_ms": changed_ms,
        "__source_lsn": 1_000 + position,
    }


def _naive(value: Value) -> Value:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _json_value(value: Value) -> str | int | float | None:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, Decimal) else value
