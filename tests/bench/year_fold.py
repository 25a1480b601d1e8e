"""The changelog of the full year, folded into empty state tables."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from folding import metered
from pyspark.sql import SparkSession
from stacks import BenchStack

from slackwater.clients.iceberg import Lake
from slackwater.entities.model import load_entity
from slackwater.lake.append import changelog_rows
from slackwater.lake.fold import FoldRequest, FoldResult
from slackwater.ledger.model import BatchObject
from slackwater.naming import ENTITIES, state_table
from slackwater.replay.run import plan_sample
from spark.jobs import fold_changes

ROWS_PER_BATCH = 200_000


@dataclass(frozen=True)
class YearFold:
    """What the year is and what its folds cost; `wrong_entities` hold another number of rows than the shop."""

    changes: int
    rows: int
    wall: float
    cpu: float
    wrong_entities: tuple[str, ...]


def measure_year(stack: BenchStack, session: SparkSession, *, say: Callable[[str], None]) -> YearFold:
    """Append the year's changes of every entity as an ingest does, then fold each entity once.

    Args:
        stack: Stores with empty tables.
        session: Spark.
        say: Progress.
    """
    changes, rows, wall, cpu, wrong = 0, 0, 0.0, 0.0, []
    plan = plan_sample().plan
    with closing(Lake(stack.systems.lake, stack.systems.s3)) as lake:
        for entity in ENTITIES:
            table = plan.changes[entity].table.combine_chunks()
            say(f"the year's {table.num_rows:,} changes of {entity} ...")
            request = _append(lake, entity, table)
            done: list[FoldResult] = []
            work = metered(lambda r=request, d=done: d.append(fold_changes.run(session, r)))
            held = lake.load_table(state_table(entity)).scan().to_arrow(), _left(table)
            if sum(op != "d" for op in held[0]["__op"].to_pylist()) != held[1]:
                wrong.append(entity)
            changes, rows = changes + table.num_rows, rows + done[0].key_count
            wall, cpu = wall + work.wall, cpu + work.cpu
    return YearFold(changes, rows, wall, cpu, tuple(wrong))


def _append(lake: Lake, entity: str, table: pa.Table) -> FoldRequest:
    ids, days = [], set()
    for first in range(0, table.num_rows, ROWS_PER_BATCH):
        part = table.slice(first, ROWS_PER_BATCH)
        batch_id = f"year-{entity}-{first}"
        item = BatchObject(
            object_id=batch_id, bucket="bench", key=f"cdc/{entity}/{first}", etag=str(time.monotonic_ns()),
            size_bytes=1, source_partition=f"shop.{entity}+0", first_position=first,
            last_position=first + part.num_rows - 1, epoch=0, is_skipped=False, reason=None,
        )  # fmt: skip
        rows = changelog_rows(part, load_entity(entity), item=item, batch_id=batch_id)
        lake.append_batch_rows(entity, rows, batch_id=batch_id, sealed_at=datetime.now(UTC))
        ids.append(batch_id)
        days |= set(rows["date"].unique().to_pylist())
    return FoldRequest(entity=entity, batch_ids=tuple(ids), dates=tuple(sorted(days)), row_count=table.num_rows)


def _left(table: pa.Table) -> int:
    """Return how many rows the changes leave behind: every key is inserted once and deleted at most once at a time."""
    ops = table["__op"].to_pylist()
    return sum(op == "c" for op in ops) - sum(op == "d" for op in ops)
