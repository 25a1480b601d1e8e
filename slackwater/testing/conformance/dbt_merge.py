"""The warehouse's own merge under the kit: landing files through lake and raw into the dbt models `base_` and `stg_`.

Everything between the file and `STAGING` is the real way: S3, ledger, append, load, refresh, impact, `dbt run`. Only
the marts are left out: a publication is recorded without any, so that the next refresh touches what is new to it. dbt
costs seconds per invocation, so the files of all runs are gathered and worked off together when a state is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import quote_identifier
from slackwater.entities.model import AMOUNTS, Column, Entity, load_entity
from slackwater.lake.append import append_batch
from slackwater.ledger.model import SeenObject
from slackwater.naming import MART_SET, SCHEMA_STAGING
from slackwater.settings import LandingSettings
from slackwater.testing.conformance.landing_bytes import LandingObject
from slackwater.testing.conformance.runs import KEYS_PER_RUN, Run
from slackwater.testing.conformance.source import Row, Value
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.warehouse_path import ACTOR, WarehousePath
from slackwater.warehouse.dbt_cli import NodeOutcome, run_command
from slackwater.warehouse.load import load_batch
from slackwater.warehouse.refresh import Refresh, frozen_values


@dataclass
class DbtMerge:
    """`Merge` over one warehouse.

    Attributes:
        path: Ledger, lake and warehouse, empty.
        store: Where landing objects are put.
        landing: The bucket, and what fits in memory.
        dbt: Runs dbt.
        entities: What is built; others are not delivered.
        project_dir: dbt's project; the checkout's by default.
        dbt_runs: How often dbt ran.
    """

    path: WarehousePath
    store: ObjectStore
    landing: LandingSettings
    dbt: DbtSession
    entities: Sequence[str]
    project_dir: Path | None = None
    dbt_runs: int = 0
    _refresh: Refresh | None = None
    _waiting: dict[str, dict[str, LandingObject]] = field(default_factory=dict)
    _rows: dict[str, dict[int, dict[int, Row]]] = field(default_factory=dict)

    def apply(self, run: Run, files: Sequence[LandingObject]) -> None:
        """Keep files until a state is asked for; an object waiting already is the same object."""
        waiting = self._waiting.setdefault(run.case.entity.name, {})
        waiting |= {item.object_id: item for item in files}

    def state(self, run: Run) -> Mapping[int, Row]:
        """Return the run's rows of `STAGING.STG_<entity>` after everything applied so far."""
        if self._waiting:
            self._work_off()
        return self._rows[run.case.entity.name].get(run.first_key, {})

    def rebuild(self) -> None:
        """Build every table anew from raw; states are then those of the full build."""
        if self._refresh is None:
            raise AssertionError("nothing was built yet")
        self._build(self._refresh, is_full=True)

    def _work_off(self) -> None:
        """Load what waits, one batch per entity, and refresh the touched rows."""
        gathered, self._waiting = self._waiting, {}
        batches = [self._load(entity, list(items.values())) for entity, items in gathered.items()]
        if not any(batches):
            return
        refresh, lease = self.path.start()
        self._build(refresh)
        publication_id = f"conformance-{self.dbt_runs}"
        self.path.warehouse.execute(
            "insert into MARTS.PUBLICATION (publication_id, publication_seq, refresh_id, mart_set, rows_deleted,"
            " rows_inserted, published_at) select ?, ?, ?, ?, 0, 0, sysdate()",
            (publication_id, self.dbt_runs, refresh.refresh_id, MART_SET),
        )
        self.path.ledger.mark_tested(lease, refresh.refresh_id)
        self.path.ledger.mark_published(lease, refresh.refresh_id, publication_id=publication_id)
        self.path.ledger.release_work(lease)

    def _load(self, entity: str, items: Sequence[LandingObject]) -> str | None:
        """Put, record, seal, append and load; returns the batch, None when every object was there before."""
        seen = [self._put(item) for item in items]
        new = self.path.ledger.unknown_ids([item.object_id for item in seen])
        self.path.ledger.record_objects(seen, actor=ACTOR)
        if not new:
            return None
        batch_id = self.path.ledger.seal(entity, sorted(new), actor=ACTOR)
        if batch_id is None:
            raise AssertionError("somebody else sealed the kit's objects")
        ledger, lake = self.path.ledger, self.path.lake
        append_batch(batch_id, ledger=ledger, lake=lake, store=self.store, landing=self.landing, actor=ACTOR)
        lease = self.path.claim(batch_id)
        load_batch(batch_id, ledger=ledger, lake=lake, warehouse=self.path.warehouse, lease=lease, actor=ACTOR)
        return batch_id

    def _put(self, item: LandingObject) -> SeenObject:
        etag = self.store.put(self.landing.bucket, item.key, item.data)
        return SeenObject(
            object_id=item.object_id,
            bucket=self.landing.bucket,
            key=item.key,
            etag=etag,
            size_bytes=len(item.data),
            entity=item.entity,
            source_partition=item.source_partition,
            first_position=item.first_position,
            last_position=item.last_position,
            epoch=item.epoch,
        )

    def _build(self, refresh: Refresh, *, is_full: bool = False) -> None:
        models = [f"{layer}_{entity}" for entity in self.entities for layer in ("base", "stg")]
        command = run_command(
            frozen_values(refresh), target_dir=self.dbt.target_dir, project_dir=self.project_dir, is_full=is_full
        )
        results = self.dbt.run(command.selecting(*models))
        failed = [result for result in results if result.outcome is not NodeOutcome.PASSED]
        if failed or len(results) != len(models):
            raise AssertionError(f"dbt built {len(results)} of {len(models)} models: {[f.message for f in failed]}")
        self.dbt_runs += 1
        self._refresh = refresh
        self._rows = {entity: self._read(load_entity(entity)) for entity in self.entities}

    def _read(self, entity: Entity) -> dict[int, dict[int, Row]]:
        """Return staging's rows by key, grouped by the first key of their run."""
        others = [column for column in entity.columns if column.name != entity.key]
        chosen = ", ".join(quote_identifier(name) for name in (entity.key, *(column.name for column in others)))
        table = quote_identifier(f"{SCHEMA_STAGING}.STG_{entity.name}")
        grouped: dict[int, dict[int, Row]] = {}
        for key, *values in self.path.warehouse.query(f"select {chosen} from {table}"):
            row = {column.name: _exact(column, value) for column, value in zip(others, values, strict=True)}
            held = grouped.setdefault(int(str(key)) // KEYS_PER_RUN * KEYS_PER_RUN, {})
            if int(str(key)) in held:
                raise AssertionError(f"{table} holds key {key} twice")
            held[int(str(key))] = row
        return grouped


def _exact(column: Column, value: object) -> Value:
    """Return a warehouse value in the kit's terms: whole numbers as int, amounts as Decimal; a float is a fault."""
    if isinstance(value, float):
        raise TypeError(f"{column.name} came back as a float: {value!r}")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return Decimal(str(value)) if column.type in AMOUNTS else int(str(value))
