"""Load one batch's data files into `RAW`, once, whoever tries and however often.

The files the Iceberg append wrote are copied into a transient table named by batch and attempt (DDL and COPY, outside
any transaction). Then one transaction takes the entity's lock row, asks the load history, inserts, compares counts and
writes the history: compare and set. Row versions are neither merged nor judged here; that is dbt's work.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slackwater.checkpoints import Checkpoint, reached
from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse, quote_identifier
from slackwater.entities.ddl import SNOWFLAKE_TYPES
from slackwater.entities.evolution import Place
from slackwater.entities.model import CHANGELOG_COLUMNS, RAW_COLUMNS, Entity, load_entity
from slackwater.errors import CommitConflict, LoadMismatch, TerminalError
from slackwater.ledger.model import Batch, BatchLease, BatchState
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET, SCHEMA_RAW, raw_table
from slackwater.warehouse.copy_files import copy_batch_files
from slackwater.warehouse.evolve import found_warehouse_tables, raw_behind

_FROM_CHANGELOG = {"batch_id": "_batch_id", "file_name": "_file_name"}
"""Raw columns that have another name in the changelog."""

MAX_TRIES = 8
"""Most tries of the load transaction when others hold the lock; with the waits below about 10 s."""


@dataclass(frozen=True)
class LoadResult:
    """What a load did.

    Attributes:
        load_seq: Place of the batch in the entity's order of loads, >= 1.
        row_count: Rows of the batch in raw.
        was_already_loaded: True when an earlier attempt had done it.
        is_refresh_due: True when this call raised the refresh flag, so the caller emits the event.
    """

    batch_id: str
    entity: str
    load_seq: int
    row_count: int
    seconds: float
    was_already_loaded: bool
    is_refresh_due: bool


@dataclass(frozen=True)
class _Loaded:
    load_seq: int
    row_count: int
    was_already_loaded: bool


def load_batch(
    batch_id: str,
    *,
    ledger: Ledger,
    lake: Lake,
    warehouse: Warehouse,
    lease: BatchLease,
    actor: str,
    sleep: Callable[[float], None] = time.sleep,
) -> LoadResult:
    """Load a landed batch into raw and say so in the ledger.

    A second call changes nothing in raw: the load history answers it, and the ledger is brought up to date.

    Args:
        batch_id: A batch in state `landed` (or `loaded`).
        ledger: Where the batch's manifest and state are.
        lake: Holds the data files the append wrote.
        warehouse: Session that writes.
        lease: The caller's lease of this batch.
        actor: Who does it, for the history.
        sleep: Waits between tries.

    Raises:
        LoadMismatch: The files hold another number of rows than the manifest promises; raw is unchanged.
        CommitConflict: Other loads of the entity held the lock through every try; raw is unchanged.
        SchemaBehind: Raw or the batch's files have other columns than this process knows; raw is unchanged.
        TerminalError: The batch has not landed yet.
    """
    started = time.monotonic()
    batch = ledger.batch(batch_id)
    if batch.state is BatchState.LOADED and batch.load_seq is not None:
        loaded = _Loaded(batch.load_seq, batch.row_count or 0, was_already_loaded=True)
    else:
        loaded = _load(batch, lake=lake, warehouse=warehouse, attempt=lease.attempt, actor=actor, sleep=sleep)
        reached(Checkpoint.AFTER_LOAD)
        ledger.mark_loaded(lease, load_seq=loaded.load_seq)
    return LoadResult(
        batch_id=batch_id,
        entity=batch.entity,
        load_seq=loaded.load_seq,
        row_count=loaded.row_count,
        seconds=time.monotonic() - started,
        was_already_loaded=loaded.was_already_loaded,
        is_refresh_due=ledger.raise_flag(MART_SET),
    )


def _load(
    batch: Batch, *, lake: Lake, warehouse: Warehouse, attempt: int, actor: str, sleep: Callable[[float], None]
) -> _Loaded:
    if batch.state is not BatchState.LANDED or batch.row_count is None:
        raise TerminalError(f"batch {batch.id} is {batch.state}, expected landed: append it to the lake first")
    held = loaded_before(warehouse, batch.id)
    if held is not None:
        return held
    entity = load_entity(batch.entity)
    table = transient_table(batch.id, attempt)
    warehouse.execute(transient_ddl(entity, table))
    try:
        if batch.row_count:
            copy_batch_files(entity, batch.id, lake=lake, warehouse=warehouse, table=table)
        reached(Checkpoint.AFTER_COPY)
        return insert_once(
            warehouse,
            entity,
            batch_id=batch.id,
            table=table,
            expected=batch.row_count,
            attempt=attempt,
            actor=actor,
            sleep=sleep,
        )
    except TerminalError as exc:
        found = found_warehouse_tables(warehouse, [entity], [Place.RAW])[entity.name]
        behind = raw_behind(entity, found, exc)
        if behind is None:
            raise
        raise behind from exc
    finally:
        warehouse.execute(f"drop table if exists {table}")


def transient_table(batch_id: str, attempt: int) -> str:
    """Return the quoted name of the table one attempt copies into; no two attempts share it."""
    return quote_identifier(f"{SCHEMA_RAW}.LOAD_{''.join(c for c in batch_id if c.isalnum())[:32]}_{attempt}")


def transient_ddl(entity: Entity, table: str) -> str:
    """Return the DDL of the table COPY fills: the changelog's columns, renamed ones under every name they had.

    COPY matches names, and a file written before a rename has the old one: Iceberg's field ids are not known here.
    """
    columns = [(name, c.type) for c in (*entity.columns, *CHANGELOG_COLUMNS) for name in c.names]
    lines = ",\n".join(f"    {quote_identifier(name)} {SNOWFLAKE_TYPES[kind]}" for name, kind in columns)
    return f"create or replace transient table {table} (\n{lines}\n)"


def loaded_before(warehouse: Warehouse, batch_id: str) -> _Loaded | None:
    """Return what the load history says of a batch, None when it was never loaded."""
    rows = warehouse.query("select load_seq, rows_loaded from OPS.LOAD_HISTORY where batch_id = ?", (batch_id,))
    return _Loaded(int(str(rows[0][0])), int(str(rows[0][1])), was_already_loaded=True) if rows else None


def insert_once(
    warehouse: Warehouse,
    entity: Entity,
    *,
    batch_id: str,
    table: str,
    expected: int,
    attempt: int,
    actor: str,
    sleep: Callable[[float], None] = time.sleep,
) -> _Loaded:
    """Insert a batch's rows into raw and its history row in one transaction, unless the history has it.

    Args:
        warehouse: Session that writes.
        entity: The batch's entity.
        batch_id: The batch.
        table: Quoted name of the table that holds the copied rows.
        expected: Rows the manifest promises, >= 0.
        attempt: The lease's attempt, for the history.
        actor: Who does it, for the history.
        sleep: Waits between tries.

    Raises:
        LoadMismatch: Inserted and expected rows differ; rolled back.
        CommitConflict: The lock was held by others through every try.
    """
    for number in range(1, MAX_TRIES + 1):
        try:
            return _insert_transaction(
                warehouse, entity, batch_id=batch_id, table=table, expected=expected, attempt=attempt, actor=actor
            )
        except CommitConflict:
            if number == MAX_TRIES:
                raise
            sleep(min(2.0, 0.1 * 2**number) * (0.5 + random.random()))  # noqa: S311 - spreads waits, no secret
    raise AssertionError("unreachable: the last try returns or raises")


def _insert_transaction(
    warehouse: Warehouse, entity: Entity, *, batch_id: str, table: str, expected: int, attempt: int, actor: str
) -> _Loaded:
    with warehouse.transaction():
        # The update waits for, or conflicts with, every other load of the entity; only then is the history read.
        warehouse.execute("update OPS.LOAD_LOCK set next_load_seq = next_load_seq + 1 where entity = ?", (entity.name,))
        held = loaded_before(warehouse, batch_id)
        if held is not None:
            # Undo the number taken, so that load_seq has no gaps: every number up to the greatest is in the history.
            warehouse.execute(
                "update OPS.LOAD_LOCK set next_load_seq = next_load_seq - 1 where entity = ?", (entity.name,)
            )
            return held
        number = warehouse.scalar("select next_load_seq - 1 from OPS.LOAD_LOCK where entity = ?", (entity.name,))
        if number is None:
            raise TerminalError(f"OPS.LOAD_LOCK has no row for {entity.name}; run `slackwater stack up`")
        load_seq = int(str(number))
        inserted, query_id = 0, None
        if expected:
            inserted = warehouse.execute(insert_sql(entity, table), (load_seq, batch_id))
            query_id = warehouse.last_query_id
        if inserted != expected:
            raise LoadMismatch(
                f"batch {batch_id} of {entity.name}: the manifest promises {expected} rows, the lake's files gave"
                f" {inserted}; rolled back. Compare the batch's objects with the lake's snapshot before retrying"
            )
        warehouse.execute(
            "insert into OPS.LOAD_HISTORY (batch_id, entity, load_seq, rows_expected, rows_loaded, attempt, loaded_at,"
            " actor, query_id) select ?, ?, ?, ?, ?, ?, sysdate(), ?, ?",
            (batch_id, entity.name, load_seq, expected, inserted, attempt, actor, query_id),
        )
        reached(Checkpoint.INSIDE_LOAD_TRANSACTION)
    return _Loaded(load_seq, inserted, was_already_loaded=False)


def insert_sql(entity: Entity, table: str) -> str:
    """Return the INSERT from the copied rows into raw; parameters: load_seq, batch id.

    The filter keeps rows of other batches out should a data file have been rewritten together with others.
    """
    targets = [*entity.column_names, *(column.name for column in RAW_COLUMNS)]
    names = {column.name: column.names for column in entity.columns}
    sources = [_source(names.get(name, (name,))) for name in targets]
    return (
        f"insert into {quote_identifier(raw_table(entity.name))} ({_listed(targets)})\n"
        f"select {', '.join(sources)}\nfrom {table}\nwhere {quote_identifier('_batch_id')} = ?"
    )


def _source(names: Sequence[str]) -> str:
    name, *old_names = names
    if old_names:
        return f"coalesce({_listed(names)})"  # a file has one of them
    if name == "loaded_at":
        return "sysdate()::timestamp_ntz(6)"
    if name == "load_seq":
        return "cast(? as number(38,0))"
    return quote_identifier(_FROM_CHANGELOG.get(name, name))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(quote_identifier(name) for name in names)
