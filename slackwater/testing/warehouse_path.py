"""Handmade changes taken through the real ledger, lake and warehouse, for tests of loading, refreshing and publishing.

Only the landing file is left out: rows go to the lake as the append would write them. Values are given as Python
objects; what is not given is null. LSNs and positions count up, so later calls are newer unless told otherwise.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.entities.model import changelog_schema, load_entity
from slackwater.lake import append
from slackwater.lake.event_days import rows_per_object_day
from slackwater.ledger.model import BatchLease, BatchObject, SeenObject, WorkLease, object_id
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET
from slackwater.testing.dbt_session import DBT_SECONDS
from slackwater.warehouse.dbt_cli import RUN_RESULTS, DbtCommand, NodeResult, read_run_results
from slackwater.warehouse.load import LoadResult, load_batch
from slackwater.warehouse.refresh import Refresh, start_refresh

Value = str | int | bool | Decimal | datetime | None
Change = Mapping[str, Value]

ACTOR = "test"
DEFAULT_TIME = datetime.fromisoformat("2010-12-01 08:00:00")


class RowsOf(Protocol):
    """Makes the changelog rows of a batch."""

    def __call__(self, *, batch_id: str, source: SeenObject) -> pa.Table:
        """Return the rows of the batch's one object."""


@dataclass
class WarehousePath:
    """One ledger, lake and warehouse, and a counter of source positions."""

    ledger: Ledger
    lake: Lake
    warehouse: Warehouse
    _next_position: int = 1

    def land(self, entity: str, changes: Sequence[Change]) -> str:
        """Append changes to the lake as one batch of one object; return the batch's id, in state `landed`."""
        return self._land(entity, len(changes), partial(changelog_rows, entity, changes))

    def land_table(self, entity: str, changes: pa.Table) -> str:
        """Append a table of changes, in the columns of a change file, as `land` does."""

        def rows_of(*, batch_id: str, source: SeenObject) -> pa.Table:
            item = BatchObject(
                source.object_id, source.bucket, source.key, source.etag, source.size_bytes,
                str(source.source_partition), source.first_position or 0, source.last_position or 0, source.epoch,
                is_skipped=False, reason=None,
            )  # fmt: skip
            return append.changelog_rows(changes, load_entity(entity), item=item, batch_id=batch_id)

        return self._land(entity, changes.num_rows, rows_of)

    def _land(self, entity: str, count: int, rows_of: RowsOf) -> str:
        first = self._next_position
        last = first + count - 1
        self._next_position = last + 1
        partition = f"shop.{entity}+0"
        key = f"cdc/{entity}/date=2010-12-01/hour=00/{partition}+{first}-{last}.parquet"
        seen = SeenObject(
            object_id("landing", key, str(first)), "landing", key, str(first), 1, entity, partition, first, last
        )
        self.ledger.record_objects([seen], actor=ACTOR)
        batch_id = self.ledger.seal(entity, [seen.object_id], actor=ACTOR)
        if batch_id is None:
            raise AssertionError("somebody else sealed the test's object")
        lease = self.claim(batch_id)
        rows = rows_of(batch_id=batch_id, source=seen)
        snapshot_id = None
        if count:
            snapshot_id = self.lake.append_batch_rows(entity, rows, batch_id=batch_id).snapshot_id
        days = rows_per_object_day(rows)
        self.ledger.mark_landed(lease, snapshot_id=snapshot_id, row_count=count, days=days)
        self.ledger.release(lease)
        return batch_id

    def claim(self, batch_id: str) -> BatchLease:
        """Take the batch's lease, which nobody else may hold."""
        lease = self.ledger.claim_batch(batch_id, actor=ACTOR)
        if lease is None:
            raise AssertionError(f"batch {batch_id} is loaded or held by somebody else")
        return lease

    def load(self, entity: str, *changes: Change) -> LoadResult:
        """Land changes and load them into raw."""
        return self.load_landed(self.land(entity, changes))

    def load_landed(self, batch_id: str) -> LoadResult:
        """Load a landed batch into raw."""
        return load_batch(
            batch_id,
            ledger=self.ledger,
            lake=self.lake,
            warehouse=self.warehouse,
            lease=self.claim(batch_id),
            actor=ACTOR,
        )

    def start(self) -> tuple[Refresh, WorkLease]:
        """Claim the mart set and start a refresh; there must be something to do."""
        lease = self.ledger.claim_work(MART_SET, actor=ACTOR)
        if lease is None:
            raise AssertionError("somebody else refreshes")
        refresh = start_refresh(ledger=self.ledger, warehouse=self.warehouse, lease=lease)
        if refresh is None:
            raise AssertionError("nothing is unpublished")
        return refresh, lease


def changelog_rows(entity: str, changes: Sequence[Change], *, batch_id: str, source: SeenObject) -> pa.Table:
    """Return changes as the append writes them.

    `op`, `lsn` and `at` of a change set its operation (`c`), LSN (its position) and event time.
    """
    first = source.first_position or 0
    rows: list[dict[str, object]] = []
    for index, change in enumerate(changes):
        values: dict[str, object] = {name: value for name, value in change.items() if name not in {"op", "lsn", "at"}}
        at = change.get("at") or change.get("updated_at") or change.get("created_at") or DEFAULT_TIME
        if not isinstance(at, datetime):
            raise TypeError(f"the event time must be a datetime, not {at!r}")
        place: dict[str, object] = {
            "__op": change.get("op", "c"),
            "__ts_ms": at,
            "__source_ts_ms": at,
            "__source_lsn": change.get("lsn", first + index),
            "_batch_id": batch_id,
            "_file_name": source.key,
            "_object_id": source.object_id,
            "_epoch": source.epoch,
            "_source_partition": source.source_partition,
            "_position": first + index,
            "date": at.date(),
        }
        rows.append(values | place)
    return pa.Table.from_pylist(rows, schema=changelog_schema(load_entity(entity)))


def run_dbt(command: DbtCommand, *, env: Mapping[str, str], target_dir: Path) -> tuple[NodeResult, ...]:
    """Run dbt in a process of its own and return what its nodes did; a failed node is a result, not an error."""
    (target_dir / RUN_RESULTS).unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "dbt.cli.main", *command.arguments],
        env={**os.environ, **env, **command.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            said, errors = process.communicate(timeout=DBT_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # it says where each of its threads is
            said, errors = process.communicate()
            log = target_dir / "logs" / "dbt.log"
            asked = log.read_text(encoding="utf-8")[-3000:] if log.exists() else "no log"
            raise AssertionError(f"dbt hung:\n{said[-1500:]}\n{errors[-6000:]}\n{asked}") from None
    if not (target_dir / RUN_RESULTS).exists():
        raise AssertionError(f"dbt stopped early (exit {process.returncode}):\n{said[-3000:]}{errors[-2000:]}")
    return read_run_results(target_dir / RUN_RESULTS)
