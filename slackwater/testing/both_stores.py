"""The same handmade changes in the warehouse's raw tables and in ClickHouse, for tests that compare the two.

Skips lake and ledger on purpose: what reconciliation reads are the two stores and a frontier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import pyarrow as pa

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.snowflake import Scalar, Warehouse
from slackwater.entities.ddl import CLICKHOUSE_CHANGE_COLUMNS
from slackwater.entities.model import RAW_COLUMNS, arrow_schema, load_entity
from slackwater.naming import raw_table

Value = str | int | Decimal | datetime | None
Change = Mapping[str, Value]

LOADED_AT = datetime(2026, 1, 1)  # noqa: DTZ001 - every store holds UTC without a zone
DEFAULT_TIME = datetime(2010, 12, 1, 8, 0)  # noqa: DTZ001


@dataclass
class BothStores:
    """Puts changes into both stores; positions count up per entity from 0.

    Also stands in for the ledger: its frontier is everything put, unless `frontier` says less.
    """

    warehouse: Warehouse
    speed: SpeedStore
    frontier: dict[str, int] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)

    def put(self, entity: str, *changes: Change) -> pa.Table:
        """Put changes into both stores and return them as the feed sent them.

        `op`, `lsn`, `object` of a change set its operation (`c`), LSN (its position) and object.
        """
        rows = self.rows(entity, changes)
        self.put_into_warehouse(entity, rows)
        self.speed.insert_changes(entity, rows)
        return rows

    def rows(self, entity: str, changes: Sequence[Change]) -> pa.Table:
        """Return changes in the columns of ClickHouse and give each the entity's next position."""
        first = self._next.get(entity, 0)
        self._next[entity] = first + len(changes)
        made = []
        for position, change in enumerate(changes, start=first):
            values = {name: value for name, value in change.items() if name not in {"op", "lsn", "object"}}
            place = {
                "__op": change.get("op", "c"),
                "__ts_ms": DEFAULT_TIME,
                "__source_ts_ms": DEFAULT_TIME,
                "__source_lsn": change.get("lsn", position),
                "_object_id": change.get("object", "0" * 32),
                "_epoch": 0,
                "_source_partition": partition_of(entity),
                "_position": position,
            }
            made.append(values | place)
        return pa.Table.from_pylist(made, schema=arrow_schema(load_entity(entity), CLICKHOUSE_CHANGE_COLUMNS))

    def put_into_warehouse(self, entity: str, rows: pa.Table, *, load_seq: int = 1) -> None:
        """Insert rows into raw as a load would, without its history."""
        names = [column.name for column in (*load_entity(entity).columns, *RAW_COLUMNS)]
        loaded = {"loaded_at": LOADED_AT, "batch_id": "batch", "file_name": "file", "load_seq": load_seq}
        records = [row | loaded for row in rows.to_pylist()]
        marks = ", ".join(f"({', '.join('?' for _ in names)})" for _ in records)
        # Decimals go as text: the embedded warehouse reads a bound number with a fraction as a whole one.
        values = (record[name] for record in records for name in names)
        params: list[Scalar] = [str(value) if isinstance(value, Decimal) else value for value in values]
        self.warehouse.execute(f"insert into {raw_table(entity)} ({', '.join(names)}) values {marks}", params)

    def published_frontier(self) -> Mapping[tuple[str, str], int]:
        """Return the frontier: everything put, lowered where `frontier` says so."""
        return {
            (entity, partition_of(entity)): self.frontier.get(entity, last - 1) for entity, last in self._next.items()
        }


def partition_of(entity: str) -> str:
    """Return the one source partition of an entity."""
    return f"shop.{entity}+0"
