"""The story of one change of shape: what happens on real stores before, while and after columns change.

Told to a test file that runs it once and then asks each store; keys lie far above those of the conformance kit.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.entities.evolution import Place, SchemaStep
from slackwater.entities.model import load_entity
from slackwater.errors import SchemaBehind
from slackwater.lake.append import append_batch
from slackwater.lake.fold import FoldRequest, FoldResult
from slackwater.lake.schema_evolution import Stores, apply_schema, plan_schema
from slackwater.ledger.listings import retry_quarantine, show_quarantine
from slackwater.ledger.model import SeenObject, object_id
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET, changelog_table
from slackwater.settings import LandingSettings
from slackwater.testing.conformance.evolved import EVOLVED
from slackwater.testing.declaring import declaring
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.warehouse_path import ACTOR, WarehousePath, run_dbt
from slackwater.warehouse.dbt_cli import NodeOutcome, run_command
from slackwater.warehouse.load import load_batch
from slackwater.warehouse.refresh import frozen_values

KEY = 900_000_000
DAY = datetime.fromisoformat("2010-12-01 08:00:00")
LARGE = Decimal("9999999999999999.99")
MODELS = ("base_products", "stg_products")


PRODUCTS = load_entity("products")
TOASTED = "__debezium_unavailable_value"
NO_ADDED = {"brand": None, "notes": None}
ADDED_NOTHING_YET = EVOLVED.model_copy(
    update={
        "columns": tuple(
            column.model_copy(update={"type": column.was[0], "was": ()}) if column.was else column
            for column in EVOLVED.columns
            if column.since is None
        )
    }
)
"""A release between the two: renamed already, nothing added or widened yet."""


class KilledError(Exception):
    """The process ended here."""


@dataclass
class Story:
    """Stores under change, and what happened on the way."""

    path: WarehousePath
    speed: SpeedStore
    env: dict[str, str]
    target_dir: Path
    fold: Callable[[FoldRequest], FoldResult]
    refused: dict[str, Exception] = field(default_factory=dict)
    plan: tuple[SchemaStep, ...] = ()
    kills: int = 0
    field_ids: dict[str, int] = field(default_factory=dict)
    waiting: str = ""
    waiting_reason: str = ""
    not_folded: list[str] = field(default_factory=list)

    @property
    def stores(self) -> Stores:
        return Stores(self.path.lake, self.path.warehouse, self.speed)

    def load(self, batch_id: str) -> None:
        path = self.path
        lease = path.claim(batch_id)
        try:
            load_batch(batch_id, ledger=path.ledger, lake=path.lake, warehouse=path.warehouse, lease=lease, actor=ACTOR)
        finally:
            path.ledger.release(lease)

    def fold_batches(self, *batch_ids: str) -> None:
        rows = sum(self.path.ledger.batch(batch_id).row_count or 0 for batch_id in batch_ids)
        self.fold(FoldRequest(entity="products", batch_ids=batch_ids, dates=(), row_count=rows))

    def build(self, number: int, project_dir: Path | None = None) -> None:
        refresh, lease = self.path.start()
        command = run_command(frozen_values(refresh), target_dir=self.target_dir, project_dir=project_dir)
        results = run_dbt(command.selecting(*MODELS), env=self.env, target_dir=self.target_dir)
        assert [r.message for r in results if r.outcome is not NodeOutcome.PASSED] == []
        self.path.warehouse.execute(
            "insert into MARTS.PUBLICATION (publication_id, publication_seq, refresh_id, mart_set, rows_deleted,"
            " rows_inserted, published_at) select ?, ?, ?, ?, 0, 0, sysdate()",
            (f"story-{number}", number, refresh.refresh_id, MART_SET),
        )
        self.path.ledger.mark_tested(lease, refresh.refresh_id)
        self.path.ledger.mark_published(lease, refresh.refresh_id, publication_id=f"story-{number}")
        self.path.ledger.release_work(lease)

    def refuses(self, name: str, act: Callable[[], object]) -> None:
        with pytest.raises(SchemaBehind) as caught:
            act()
        self.refused[name] = caught.value

    def warehouse_rows(self, table: str, columns: str) -> list[tuple[object, ...]]:
        return self.path.warehouse.query(f"select id, {columns} from {table} where id >= {KEY} order by id")


def product(key: int, **values):
    row = {"name": f"n{key}", "description": f"d{key}", "price": Decimal("1.10"), "stock_quantity": key,
           "category": "toys", "created_at": DAY, "updated_at": DAY}  # fmt: skip
    return {"id": KEY + key, **row, **values}


def evolved_product(key: int, **values):
    row = {"title": f"t{key}", "details": f"e{key}", "price": LARGE, "stock_quantity": 2**40 + key, "category": "toys",
           "created_at": DAY, "updated_at": DAY, "brand": f"b{key}", "notes": f"o{key}"}  # fmt: skip
    return {"id": KEY + key, **row, **values}


def put(story: Story, store: ObjectStore, bucket: str, file: LandingFile) -> SeenObject:
    etag = store.put(bucket, file.key(), file.parquet())
    seen = SeenObject(
        object_id(bucket, file.key(), etag), bucket, file.key(), etag, 1, file.entity, "shop.products+0", file.first,
        file.last,
    )  # fmt: skip
    story.path.ledger.record_objects([seen], actor=ACTOR)
    return seen


def die_once_per_place(story: Story):
    places: set[Place] = set()

    def die(step: SchemaStep) -> None:
        if step.place not in places:
            places.add(step.place)
            story.kills += 1
            raise KilledError

    return die


def product_deleted(key: int):
    return {"id": KEY + key, "op": "d", "created_at": None}


def before(told: Story, store: ObjectStore, landing: LandingSettings) -> None:
    """Rows of the first shape in every store, one batch that is not loaded, one file of the second shape refused."""
    path = told.path
    first = path.land("products", [product(1), product(2), product(3), product(3, op="d"), product(4)])
    told.load(first)
    told.fold_batches(first)
    told.build(1)
    path.warehouse.execute("alter table RAW.PRODUCTS add column HAND_MADE varchar")
    told.speed.insert_changes("products", path.lake.scan("products"))
    table = path.lake.load_table(changelog_table("products"))
    told.field_ids = {f.name: f.field_id for f in table.schema().fields}
    with declaring(EVOLVED):
        file = LandingFile(entity="products", first=50_000, count=2).with_row(0, id=KEY + 50).with_row(1, id=KEY + 51)
        seen = put(told, store, landing.bucket, file)
    batch_id = path.ledger.seal("products", [seen.object_id], actor=ACTOR)
    append_batch(batch_id, ledger=path.ledger, lake=path.lake, store=store, landing=landing, actor=ACTOR)
    told.waiting, told.waiting_reason = seen.object_id, show_quarantine(path.ledger, seen.object_id).item.reason or ""


def change(told: Story) -> None:
    """New processes meet old tables, then the change is applied and killed once at every place."""
    path = told.path
    told.refuses("new writer, old lake", lambda: path.land("products", [evolved_product(90)]))
    with declaring(load_entity("users"), PRODUCTS):
        not_loaded = path.land("products", [product(2, name="n2b"), product(5)])
    told.refuses("new loader, old raw", lambda: told.load(not_loaded))
    told.plan = plan_schema([EVOLVED], told.stores)
    die = die_once_per_place(told)
    for _ in range(20):
        try:
            apply_schema([EVOLVED], told.stores, actor="operator", after_step=die)
        except KilledError:
            continue
        break
    told.load(not_loaded)
    told.not_folded.append(not_loaded)


def old_processes(told: Story) -> None:
    """Processes of before meet tables and files of after."""
    path = told.path
    told.refuses("old writer, new lake", lambda: path.land("products", [product(91)]))
    with declaring(ADDED_NOTHING_YET):
        narrow = path.land("products", [evolved_product(6, stock_quantity=6, price=Decimal("6.60"), **NO_ADDED)])
        told.not_folded.append(narrow)
    with declaring(EVOLVED):
        wide = path.land(
            "products", [evolved_product(7), evolved_product(1, details=TOASTED, op="u"), product_deleted(4)]
        )
        told.not_folded.append(wide)
    told.refuses("old loader, new file", lambda: told.load(wide))


def after(told: Story, store: ObjectStore, landing: LandingSettings, project_dir: Path) -> None:
    """The refused file is tried again; everything is loaded, folded and built."""
    path = told.path
    batch_id = retry_quarantine(path.ledger, told.waiting, actor=ACTOR)
    append_batch(batch_id, ledger=path.ledger, lake=path.lake, store=store, landing=landing, actor=ACTOR)
    for waiting in (*told.not_folded[1:], batch_id):
        told.load(waiting)
    told.fold_batches(*told.not_folded)
    told.build(2, project_dir)
    told.speed.insert_changes("products", path.lake.scan("products"))


@contextmanager
def told_on(sandbox, fold: Callable[[FoldRequest], FoldResult], project_dir: Path) -> Iterator[Story]:
    """Tell the whole story on a sandbox; inside the block the new shape is declared."""
    landing, store = sandbox.landing, ObjectStore(sandbox.s3)
    with ExitStack() as opened:
        warehouse = opened.enter_context(Warehouse(sandbox.warehouse))
        ledger = opened.enter_context(Ledger(sandbox.ledger.dsn))
        speed = opened.enter_context(SpeedStore(sandbox.clickhouse))
        lake = opened.enter_context(closing(Lake(sandbox.lake, sandbox.s3)))
        target_dir = Path(sandbox.env["SLACKWATER_QUALITY_DBT_TARGET_DIR"])
        told = Story(WarehousePath(ledger, lake, warehouse), speed, sandbox.env, target_dir, fold)
        before(told, store, landing)
        with declaring(EVOLVED):
            change(told)
        old_processes(told)
        opened.enter_context(declaring(EVOLVED))
        after(told, store, landing, project_dir)
        yield told
