"""The lake: Iceberg tables through pyiceberg and a SQL catalog, appended by compare and set.

pyiceberg retries a commit by itself on a newer snapshot without asking anybody; for our appends that would be
"check then act". So the loaded handle gets `commit.retry.num-retries=0` (the table keeps its own value): the commit
succeeds only if main is still the snapshot that was looked at, otherwise we reload and ask again whether it is held.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.expressions import And, BooleanExpression, EqualTo, In
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from slackwater.clients.iceberg_errors import is_lost_race, translated
from slackwater.clients.iceberg_history import (
    added_files,
    files_with_rows,
    is_history_complete,
    required_snapshot,
    snapshot_of,
)
from slackwater.clients.iceberg_schema import (
    changelog_iceberg_schema,
    date_partition,
    require_fitting,
    state_iceberg_schema,
)
from slackwater.entities.model import Entity
from slackwater.errors import CommitConflict, ConfigurationError, StoreRejected
from slackwater.naming import (
    CHANGES_NAMESPACE,
    ENTITIES,
    SNAPSHOT_BATCH_ID,
    STATE_NAMESPACE,
    changelog_table,
    state_table,
)
from slackwater.settings import LakeSettings, S3Settings

MERGE_PROPERTIES: Mapping[str, str] = {
    "write.merge.mode": "merge-on-read",
    "write.update.mode": "merge-on-read",
    "write.delete.mode": "merge-on-read",
}
"""Of the state tables: a fold writes new rows and marks the old ones, so it costs what changed, not what is there."""

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class CommittedAppend:
    """What the lake holds of a batch.

    Attributes:
        snapshot_id: Snapshot that added the rows; None when it expired and the rows were found by scanning.
        row_count: Rows the batch has in the table.
        data_files: `s3://` addresses the snapshot added, sorted.
        was_held: True when an earlier attempt had committed it.
    """

    snapshot_id: int | None
    row_count: int
    data_files: tuple[str, ...]
    was_held: bool


class Lake:
    """The changelog tables of the lake."""

    def __init__(self, settings: LakeSettings, s3: S3Settings) -> None:
        self._settings = settings
        self._s3 = s3
        self._catalog: Catalog | None = None

    def ensure_tables(self, entities: Sequence[Entity]) -> None:
        """Create namespaces, changelog and state tables that are missing; existing ones are left as they are."""
        with translated():
            catalog = self._open()
            for namespace in (CHANGES_NAMESPACE, STATE_NAMESPACE):
                with suppress(NamespaceAlreadyExistsError):
                    catalog.create_namespace(namespace)
            for entity in entities:
                self._ensure_table(catalog, changelog_table(entity.name), changelog_iceberg_schema(entity))
                self._ensure_table(catalog, state_table(entity.name), state_iceberg_schema(entity), MERGE_PROPERTIES)

    def load_table(self, name: str) -> Table:
        """Load a table's newest metadata.

        Args:
            name: Identifier such as `changes.orders`.

        Raises:
            ConfigurationError: There is no such table.
        """
        with translated():
            return self._open().load_table(name)

    def append_batch_rows(
        self,
        entity: str,
        rows: pa.Table,
        *,
        batch_id: str,
        sealed_at: datetime | None = None,
        attempts: int = 12,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> CommittedAppend:
        """Append a batch's rows once, whoever else commits meanwhile and however often this is called.

        Args:
            entity: Entity name.
            rows: All rows of the batch in `changelog_schema` order, at least one.
            batch_id: Written to the snapshot summary and looked for before every commit.
            sealed_at: When the batch was sealed: if main's history reaches back so far, no scan is needed.
            attempts: Most commits tried, >= 1.
            sleep: Waits between attempts.
            jitter: Number in [0, 1) that spreads the waits.

        Raises:
            CommitConflict: Others won every attempt.
            SchemaBehind: The table has not, or no longer, the columns of the rows.
        """
        for attempt in range(attempts):
            table = self.load_table(changelog_table(entity))
            with translated():
                held = self._held(table, batch_id, dates=_dates(rows), sealed_at=sealed_at)
                if held is not None:
                    return held
                require_fitting(changelog_table(entity), table.schema(), rows.schema)
                table.metadata.properties["commit.retry.num-retries"] = "0"
                try:
                    table.append(rows, snapshot_properties={SNAPSHOT_BATCH_ID: batch_id})
                except (CommitFailedException, ValueError) as exc:
                    if not is_lost_race(exc):
                        raise
                    sleep(min(2.0, 0.05 * 2**attempt) * (0.5 + jitter()))
                    continue
                return CommittedAppend(
                    snapshot_id=required_snapshot(table).snapshot_id,
                    row_count=rows.num_rows,
                    data_files=added_files(table, required_snapshot(table)),
                    was_held=False,
                )
        raise CommitConflict(f"batch {batch_id}: all {attempts} commits to {changelog_table(entity)} lost the race")

    def held(
        self, entity: str, batch_id: str, *, dates: Sequence[date] = (), sealed_at: datetime | None = None
    ) -> CommittedAppend | None:
        """Return what main holds of a batch, None when nothing; `dates` narrow the scan of expired history."""
        table = self.load_table(changelog_table(entity))
        with translated():
            return self._held(table, batch_id, dates=dates, sealed_at=sealed_at)

    def files_of_batch(self, entity: str, batch_id: str) -> list[str]:
        """Return the data files that hold a batch's rows, whatever was appended later.

        They are those its snapshot added; beyond snapshot retention those of main in which its rows are found, which
        may hold rows of other batches too.

        Raises:
            StoreRejected: Main holds no row of this batch (rolled back, or it had no rows).
        """
        table = self.load_table(changelog_table(entity))
        with translated():
            snapshot = snapshot_of(table, batch_id)
            files = added_files(table, snapshot) if snapshot is not None else files_with_rows(table, batch_id)
        if not files:
            raise StoreRejected(f"{changelog_table(entity)} holds no row of batch {batch_id}")
        return list(files)

    def scan(self, entity: str, *, batch_id: str | None = None, columns: tuple[str, ...] = ("*",)) -> pa.Table:
        """Read an entity's changelog, or one batch of it."""
        table = self.load_table(changelog_table(entity))
        with translated():
            if batch_id is None:
                return table.scan(selected_fields=columns).to_arrow()
            return table.scan(row_filter=EqualTo(term="_batch_id", value=batch_id), selected_fields=columns).to_arrow()

    def row_count(self, entity: str) -> int:
        """Count an entity's changelog rows from metadata."""
        table = self.load_table(changelog_table(entity))
        with translated():
            return int(table.scan().count())

    def is_empty(self) -> bool:
        """Say whether no changelog has a snapshot; missing tables count as empty."""
        for entity in ENTITIES:
            try:
                if self.load_table(changelog_table(entity)).current_snapshot() is not None:
                    return False
            except ConfigurationError as exc:
                if not isinstance(exc.__cause__, NoSuchTableError):
                    raise
        return True

    def close(self) -> None:
        """Close the catalog's connections."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def _held(
        self, table: Table, batch_id: str, *, dates: Sequence[date], sealed_at: datetime | None
    ) -> CommittedAppend | None:
        snapshot = snapshot_of(table, batch_id)
        if snapshot is not None:
            rows = int(snapshot.summary["added-records"] or 0 if snapshot.summary else 0)
            return CommittedAppend(snapshot.snapshot_id, rows, added_files(table, snapshot), was_held=True)
        if is_history_complete(table, since=sealed_at):
            return None
        row_filter: BooleanExpression = EqualTo(term="_batch_id", value=batch_id)
        if dates:
            row_filter = And(row_filter, In(term="date", literals={day.isoformat() for day in dates}))
        found = table.scan(row_filter=row_filter, selected_fields=("_batch_id",)).to_arrow().num_rows
        return CommittedAppend(None, found, (), was_held=True) if found else None

    def _open(self) -> Catalog:
        if self._catalog is None:
            self._catalog = load_catalog(self._settings.catalog_name, **self._catalog_properties())
        return self._catalog

    def _ensure_table(self, catalog: Catalog, name: str, schema: Schema, added: Mapping[str, str] = _NONE) -> None:
        with suppress(TableAlreadyExistsError):
            properties = {**self._table_properties(), **added}
            catalog.create_table(name, schema, partition_spec=date_partition(schema), properties=properties)

    def _catalog_properties(self) -> dict[str, str]:
        s3 = self._s3
        properties = {
            "type": "sql",
            "uri": self._settings.catalog_uri.get_secret_value(),
            "warehouse": self._settings.warehouse,
            "pool_pre_ping": "true",
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            "s3.region": s3.region,
        }
        if s3.endpoint_url:
            properties["s3.endpoint"] = s3.endpoint_url
        if s3.access_key_id and s3.secret_access_key:
            properties["s3.access-key-id"] = s3.access_key_id.get_secret_value()
            properties["s3.secret-access-key"] = s3.secret_access_key.get_secret_value()
        return properties

    def _table_properties(self) -> dict[str, str]:
        return {
            "format-version": "2",
            "write.format.default": "parquet",
            "write.parquet.compression-codec": "snappy",
            "write.target-file-size-bytes": str(self._settings.target_file_bytes),
            "write.metadata.delete-after-commit.enabled": "true",
            "write.metadata.previous-versions-max": "50",
            "commit.retry.num-retries": "20",
        }


def _dates(rows: pa.Table) -> list[date]:
    return [value for value in rows["date"].unique().to_pylist() if value is not None]
