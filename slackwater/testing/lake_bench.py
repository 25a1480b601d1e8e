"""A bench whose batches are as old and as far as a test needs them, and which folds with real Spark."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from slackwater.entities.model import load_entity
from slackwater.errors import ConfigurationError
from slackwater.lake.fold import FoldRequest, FoldResult
from slackwater.lake.maintenance import MaintainRequest, MaintainResult
from slackwater.ledger import folds, work
from slackwater.ledger.model import WorkLease
from slackwater.naming import changelog_table, state_table
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench


@dataclass
class LakeBench(Bench):
    """A ledger, a lake, a landing bucket, and what folds."""

    fold_with: Callable[[FoldRequest], FoldResult] | None = None

    def start_anew(self, entity: str = "orders") -> None:
        """Empty the ledger and both tables of an entity: cheaper for the next test than stores of its own."""
        for name in (changelog_table(entity), state_table(entity)):
            table = self.lake.load_table(name)
            bucket, _, prefix = table.location().removeprefix("s3://").partition("/")
            table.catalog.drop_table(name)
            for item in list(self.store.list(bucket, f"{prefix}/")):
                self.store.delete(bucket, item.key)
        self.lake.ensure_tables([load_entity(entity)])
        with self.ledger.transaction() as connection:
            connection.execute(
                "truncate ledger.object, ledger.batch, ledger.batch_object, ledger.object_day, ledger.refresh,"
                " ledger.refresh_batch, ledger.purge, ledger.purged_floor, ledger.lake_action, ledger.work"
            )

    def land(self, *files: LandingFile) -> list[str]:
        """Append one batch per file, in this order."""
        ids = [self.seal(file.entity, self.put_file(file)) for file in files]
        for batch_id in ids:
            self.append(batch_id)
        return ids

    def publish(self, *batch_ids: str) -> None:
        """Mark landed batches loaded and published, without any warehouse."""
        with self.ledger.transaction() as connection:
            connection.execute(
                "insert into ledger.refresh (refresh_id, mart_set, state, bounds, publication_id, ended_at)"
                " values ('r', 'core', 'published', '{}', 'p', clock_timestamp()) on conflict do nothing"
            )
            connection.execute(
                "update ledger.batch set state = 'loaded', loaded_at = clock_timestamp(), published_in = 'r',"
                " load_seq = coalesce(load_seq, 1) where batch_id = any(%s)",
                (list(batch_ids),),
            )

    def age(self, days: int, *batch_ids: str) -> None:
        """Have batches landed, and folded, so many days ago."""
        with self.ledger.transaction() as connection:
            connection.execute(
                "update ledger.batch set landed_at = clock_timestamp() - make_interval(days => %(days)s),"
                " folded_at = clock_timestamp() - make_interval(days => %(days)s) where batch_id = any(%(ids)s)",
                {"days": days, "ids": list(batch_ids)},
            )

    def fold(self, *batch_ids: str) -> FoldResult:
        """Fold landed batches of one entity, and tell the ledger."""
        if self.fold_with is None:
            raise ConfigurationError("this bench was not given what folds")
        entity = self.ledger.batch(batch_ids[0]).entity
        rows = sum(self.ledger.batch(batch_id).row_count or 0 for batch_id in batch_ids)
        result = self.fold_with(FoldRequest(entity=entity, batch_ids=batch_ids, dates=(), row_count=rows))
        with self.keeping() as lease, self.ledger.transaction() as connection:
            folds.mark_folded(connection, lease, batch_ids, snapshot_id=result.snapshot_id)
        return result

    @contextmanager
    def keeping(self) -> Iterator[WorkLease]:
        """Hold the lease of the lake."""
        lease = self.ledger.claim_work(work.LAKE, actor="test")
        if lease is None:
            raise ConfigurationError("somebody else keeps the lake")
        try:
            yield lease
        finally:
            self.ledger.release_work(lease)

    def snapshot_ids(self, table: str) -> list[int]:
        """Return a table's snapshots, oldest first."""
        found = sorted(self.lake.load_table(table).snapshots(), key=lambda one: one.sequence_number or 0)
        return [one.snapshot_id for one in found]

    def positions(self, entity: str = "orders") -> list[int]:
        """Return the positions the changelog holds, sorted."""
        return sorted(self.lake.load_table(changelog_table(entity)).scan().to_arrow()["_position"].to_pylist())

    def state_rows(self, entity: str = "orders", *, snapshot_id: int | None = None) -> pa.Table:
        """Return the state table's rows in order of their key."""
        table = self.lake.load_table(state_table(entity))
        return table.scan(snapshot_id=snapshot_id).to_arrow().sort_by("id")


def no_spark(_request: MaintainRequest) -> MaintainResult:
    """Do nothing of Spark's part."""
    return MaintainResult(tables=())


def now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)
