"""Writes changes into the shop's tables, in the order of their LSNs.

Neighbouring changes of one entity and operation are sent as one statement over arrays; a run ends where a key would
repeat, so per key nothing is ever reordered or merged. The caller owns the transaction.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.clients.postgres import Connection, translated
from slackwater.entities.ddl import POSTGRES_TYPES
from slackwater.entities.model import load_entity
from slackwater.replay.source_schema import EVENT_TIME_SETTING

SET_EVENT_TIME = "select set_config(%s, %s, true)"


@dataclass(frozen=True)
class Run:
    """Changes that one statement writes.

    Attributes:
        entity: Entity name.
        op: `c`, `u` or `d`.
        start: First row in the entity's slice.
        end: One after the last row.
    """

    entity: str
    op: str
    start: int
    end: int


def plan_runs(parts: Mapping[str, pa.Table]) -> Iterator[Run]:
    """Yield the runs of a slice in LSN order.

    Rows whose event time the row does not say (updates and deletes of an entity without `updated_at`, any delete) end
    a run also where the time changes, because the time is set for the statement.

    Args:
        parts: Per entity the slice's changes, ordered by LSN.
    """
    marks: list[tuple[int, str, int, str, int, int]] = []
    for name, table in parts.items():
        key = load_entity(name).key
        times = table["__source_ts_ms"].cast(pa.int64()).to_pylist()
        columns = (table["__source_lsn"].to_pylist(), table["__op"].to_pylist(), table[key].to_pylist(), times)
        marks += [(lsn, name, row, op, k, at) for row, (lsn, op, k, at) in enumerate(zip(*columns, strict=True))]
    marks.sort()
    start, keys = 0, set[int]()
    for index, (_, name, _, op, key_value, at) in enumerate(marks):
        if index > start:
            _, name_0, row_0, op_0, _, at_0 = marks[start]
            is_same_time = at == at_0 or not needs_event_time(name, op)
            if (name, op) == (name_0, op_0) and key_value not in keys and is_same_time:
                keys.add(key_value)
                continue
            yield Run(name_0, op_0, row_0, row_0 + index - start)
        start, keys = index, {key_value}
    if marks:
        _, name, row, op, _, _ = marks[start]
        yield Run(name, op, row, row + len(marks) - start)


def needs_event_time(entity: str, op: str) -> bool:
    """Tell whether a version's event time must be set, because its row does not hold it."""
    return op == "d" or (op == "u" and load_entity(entity).event_time != "updated_at")


def write_changes(connection: Connection, parts: Mapping[str, pa.Table]) -> int:
    """Write a slice's changes in LSN order and return their number.

    Args:
        connection: A connection inside the caller's transaction.
        parts: Per entity the slice's changes, ordered by LSN.

    Raises:
        StoreRejected: A constraint of the shop refused a row: the mapping and the shop disagree.
    """
    count = 0
    with translated(), connection.pipeline(), connection.cursor() as cursor:
        for run in plan_runs(parts):
            entity = load_entity(run.entity)
            rows = parts[run.entity].slice(run.start, run.end - run.start)
            if needs_event_time(run.entity, run.op):
                cursor.execute(SET_EVENT_TIME, (EVENT_TIME_SETTING, rows["__source_ts_ms"][0].as_py().isoformat()))
            names = (entity.key,) if run.op == "d" else entity.column_names
            cursor.execute(statement(run.entity, run.op), [array_text(rows[name]) for name in names])
            if needs_event_time(run.entity, run.op):
                cursor.execute(SET_EVENT_TIME, (EVENT_TIME_SETTING, ""))
            count += rows.num_rows
    return count


@cache
def statement(entity: str, op: str) -> str:
    """Return the statement that writes many rows of one operation, one bound array per column (a delete: the key's)."""
    declared = load_entity(entity)
    key, table = declared.key, f"shop.{entity}"
    arrays = ", ".join(f"%s::{POSTGRES_TYPES[c.type].split('(')[0]}[]" for c in declared.columns)
    columns = ", ".join(declared.column_names)
    if op == "c":
        return f"insert into {table} ({columns}) select * from unnest({arrays})"
    if op == "u":
        pairs = ", ".join(f"{name} = source.{name}" for name in declared.column_names if name != key)
        return (
            f"update {table} as target set {pairs} from unnest({arrays}) as source ({columns})"
            f" where target.{key} = source.{key}"
        )
    return f"delete from {table} where {key} = any(%s::bigint[])"


def array_text(column: pa.ChunkedArray) -> str | list[str | None]:
    """Return a column as PostgreSQL takes an array: as one literal, or a list for text (which would need quoting)."""
    if pa.types.is_string(column.type):
        values: list[str | None] = column.to_pylist()
        return values
    texts = pc.fill_null(column.cast(pa.string()), "NULL").to_pylist()
    return "{" + ",".join(texts) + "}"
