"""Landing files as a foreign program would write them: plain Parquet under a key of the contract."""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

Value = int | str | Decimal | datetime | None

FOREIGN_LSN = 10**15
"""Above every position a replay of the year gives out, so a foreign change is the newest of its key."""


def key_of(entity: str, *, first: int, count: int, partition: int = 9) -> str:
    """Return a landing key with `count` positions from `first`."""
    last = first + count - 1
    return f"cdc/{entity}/date=2026-01-01/hour=00/shop.{entity}+{partition}+{first}-{last}.parquet"


def parquet_bytes(rows: Sequence[Mapping[str, Value]], *, op: str, lsn: int, at: datetime | None = None) -> bytes:
    """Return rows as one landing file; every row gets the operation and an LSN of its own from `lsn` on."""
    when = at or datetime(2026, 1, 1, tzinfo=UTC)
    full = [
        {**row, "__op": op, "__ts_ms": when, "__source_ts_ms": when, "__source_lsn": lsn + number, "__deleted": "false"}
        for number, row in enumerate(rows)
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(full), sink)
    return sink.getvalue()
