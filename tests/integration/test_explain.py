"""`slackwater explain` over real stores: the ids it tells are the stores' own, and it says what is missing."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.iceberg import Lake
from slackwater.clients.postgres import connect
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import NotKnown
from slackwater.explain.model import Mark, Step, StepKind, Story
from slackwater.explain.stores import Stores
from slackwater.explain.tell import explain_batch, explain_day, explain_key, explain_object
from slackwater.ledger.builds import note_build
from slackwater.ledger.model import SeenObject, Skipped, object_id
from slackwater.ledger.store import Ledger
from slackwater.testing.warehouse_path import WarehousePath, changelog_rows
from slackwater.warehouse.marts import load_marts
from slackwater.warehouse.publish import publish

pytestmark = pytest.mark.integration

DAY = date(2010, 12, 1)
AT = datetime.fromisoformat("2010-12-01 08:00:00")
LATER = datetime.fromisoformat("2010-12-02 09:30:00")
BUILT_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def order(key: int, **changed):
    values = {"user_id": None, "status": "pending", "total_amount": Decimal("10.00"), "shipping_address": "Lane 1"}
    return {"id": key, **values, "created_at": AT, "updated_at": AT} | changed


DAILY_MART = next(mart for mart in load_marts() if mart.name == "daily_business_metrics")


@dataclass
class Scene:
    """One shop whose orders have come differently far."""

    sandbox: object
    path: WarehousePath
    speed: SpeedStore
    batches: dict[str, str] = field(default_factory=dict)
    refreshes: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)

    def load(self, name: str, *changes, is_fed: bool = True) -> None:
        self.batches[name] = self.path.load("orders", *changes).batch_id
        self.objects[name] = self.path.ledger.batch(self.batches[name]).objects[0].object_id
        if is_fed:
            self.speed.insert_changes("orders", self.path.lake.scan("orders", batch_id=self.batches[name]))

    def refresh(self, name: str, *, is_passed: bool, revenue: str) -> None:
        refresh, lease = self.path.start()
        self.refreshes[name] = refresh.refresh_id
        with self.path.ledger.transaction() as connection:
            assert note_build(connection, refresh.refresh_id, invocation_id=f"dbt-{name}", built_at=BUILT_AT)
        self._check(refresh.refresh_id, "passed", "")
        self.path.ledger.mark_tested(lease, refresh.refresh_id)
        if is_passed:
            self._build_candidate(revenue)
            publish(refresh, ledger=self.path.ledger, warehouse=self.path.warehouse, lease=lease, marts=(DAILY_MART,))
        else:
            self._check(refresh.refresh_id, "failed", '["1"]')
            self.path.ledger.mark_rejected(lease, refresh.refresh_id, reasons=["totals fell"], report="scan.html")
        self.path.ledger.release_work(lease)

    def _check(self, refresh_id: str, outcome: str, keys: str) -> None:
        self.path.warehouse.execute(
            "insert into OPS.CHECK_RESULTS (refresh_id, check_name, layer, dataset, column_name, outcome, severity,"
            " measured, threshold, message, failing_keys, files, checked_at)"
            " select ?, ?, 'staging', 'STAGING.STG_ORDERS', '', ?, 'error', '', '', 'two rows', ?, '[]', sysdate()",
            (refresh_id, f"check_{outcome}", outcome, keys),
        )

    def _build_candidate(self, revenue: str) -> None:
        mart = DAILY_MART
        self.path.warehouse.execute(
            f"create or replace table {mart.candidate_table} as select * exclude (publication_id)"
            f" from {mart.published_table} where 1 = 0"
        )
        row = dict.fromkeys(mart.column_names, "0") | {"date": str(DAY), "total_orders": "2", "total_revenue": revenue}
        marks = ", ".join("?" for _ in row)
        self.path.warehouse.execute(f"insert into {mart.candidate_table} select {marks}", tuple(row.values()))

    def record(self, name: str, key: int, *, first: int, etag: str = "one", is_fed: bool = True) -> SeenObject:
        """Record an object nobody appends, and feed its one row to ClickHouse."""
        partition = "elsewhere.orders+0"
        path = f"cdc/orders/date=2010-12-01/hour=00/{partition}+{first}-{first}.parquet"
        bucket = self.sandbox.systems.landing.bucket
        seen = SeenObject(
            object_id(bucket, path, etag), bucket, path, etag, 99, "orders", partition, first, first, last_modified=None
        )
        self.path.ledger.record_objects([seen], actor="bridge")
        self.objects[name] = seen.object_id
        if is_fed:
            change = order(key, lsn=10_000 + first)
            self.speed.insert_changes("orders", changelog_rows("orders", [change], batch_id="none", source=seen))
        return seen


@pytest.fixture(scope="module")
def scene(module_sandbox) -> Iterator[Scene]:
    sandbox = module_sandbox
    with (
        Warehouse(sandbox.warehouse) as warehouse,
        Ledger(sandbox.ledger.dsn) as ledger,
        SpeedStore(sandbox.clickhouse) as speed,
        closing(Lake(sandbox.lake, sandbox.s3)) as lake,
    ):
        made = Scene(sandbox, WarehousePath(ledger, lake, warehouse), speed)
        _fill_shop(sandbox)
        made.load("first", order(1), order(2))
        made.refresh("first", is_passed=True, revenue="20.00")
        delivered = {"op": "u", "status": "delivered", "total_amount": Decimal("12.50"), "updated_at": LATER}
        made.load("second", order(1, **delivered))
        made.refresh("second, rejected", is_passed=False, revenue="0")
        made.load("third", order(3))
        made.refresh("third", is_passed=True, revenue="32.50")
        made.load("waiting", order(4, created_at=LATER, updated_at=LATER))
        made.batches["landed"] = made.path.land("orders", [order(5)])
        made.record("seen", 6, first=60)
        made.record("bad", 7, first=70)
        ledger.quarantine(made.objects["bad"], reason="wrong_type", message="total_amount is a float", actor="ingest")
        _supersede(made)
        lost = SeenObject("f" * 32, "b", "lost", "e", 1, "orders", "elsewhere.orders+0", 90, 90)
        speed.insert_changes("orders", changelog_rows("orders", [order(9)], batch_id="none", source=lost))
        other = made.record("other content", 11, first=95, is_fed=False)
        fed = replace(other, object_id="e" * 32)
        speed.insert_changes("orders", changelog_rows("orders", [order(11)], batch_id="none", source=fed))
        yield made


def _fill_shop(sandbox) -> None:
    with connect(sandbox.shop.dsn) as connection:
        connection.execute(
            "insert into shop.orders values (1, null, 'pending', 10, 'Lane 1', %(at)s, %(at)s),"
            " (10, null, 'pending', 10, 'Lane 1', %(at)s, %(at)s)",
            {"at": AT},
        )
        connection.execute(
            "update shop.orders set status = 'delivered', total_amount = 12.5, updated_at = %s where id = 1", (LATER,)
        )


def _supersede(made: Scene) -> None:
    """An object is overwritten after it was sealed; its batch goes on without it, the new content waits."""
    old = made.record("overwritten", 8, first=80)
    made.batches["without"] = made.path.ledger.seal("orders", [old.object_id], actor="bridge") or ""
    lease = made.path.claim(made.batches["without"])
    skipped = Skipped(old.object_id, old.key, "superseded", "If-Match failed")
    made.path.ledger.mark_landed(lease, snapshot_id=None, row_count=0, skipped=[skipped])
    made.path.ledger.release(lease)
    made.record("overwriting", 8, first=80, etag="two", is_fed=False)


@pytest.fixture
def stores(scene: Scene) -> Iterator[Stores]:
    with Stores(scene.sandbox.systems) as opened:
        yield opened


def step(story: Story, kind: StepKind, *, chapter: int = 0, last: bool = True) -> Step:
    found = [one for one in story.chapters[chapter].steps if one.kind is kind]
    assert found, f"no {kind} among {[one.kind.value for one in story.chapters[chapter].steps]}"
    return found[-1 if last else 0]


def kinds(story: Story, chapter: int = 0) -> list[str]:
    return [one.kind.value for one in story.chapters[chapter].steps]


def test_a_value_changed_in_two_batches_has_a_chapter_per_version_with_the_stores_own_ids(scene, stores):
    story = explain_key(stores, "orders", 1)

    assert story.notes == ()
    assert len(story.chapters) == 2
    for chapter, batch, refresh in ((0, "second", "third"), (1, "first", "first")):
        batch_id, refresh_id = scene.batches[batch], scene.refreshes[refresh]
        held = scene.path.ledger.batch(batch_id)
        query_id, loaded_at = scene.path.warehouse.query(
            "select query_id, loaded_at from OPS.LOAD_HISTORY where batch_id = ?", (batch_id,)
        )[0]
        assert query_id
        assert step(story, StepKind.OBJECT, chapter=chapter).id == scene.objects[batch]
        assert step(story, StepKind.BATCH, chapter=chapter).id == batch_id
        assert step(story, StepKind.SNAPSHOT, chapter=chapter).id == str(held.snapshot_id)
        load = step(story, StepKind.LOAD, chapter=chapter)
        assert (load.id, load.at) == (query_id, loaded_at.replace(tzinfo=UTC))
        assert step(story, StepKind.REFRESH, chapter=chapter).id == refresh_id
        build = step(story, StepKind.BUILD, chapter=chapter)
        assert (build.id, build.at) == (f"dbt-{refresh}", BUILT_AT)
        assert step(story, StepKind.PUBLICATION, chapter=chapter).id == f"pub-{refresh_id}"
        position = scene.path.warehouse.scalar(
            "select _position from RAW.ORDERS where id = 1 and batch_id = ?", (batch_id,)
        )
        assert step(story, StepKind.SPEED, chapter=chapter).id == f"shop.orders+0@{position}"
        assert all(one.at is not None for one in story.chapters[chapter].steps)


def test_the_newest_version_comes_first_and_says_what_changed_but_no_personal_value(scene, stores):
    story = explain_key(stores, "orders", 1)

    assert story.answer == "Published: the newest of 2 versions is what readers see."
    assert story.missing == (
        "1 file of orders in quarantine: changes in them are not seen here (slackwater quarantine list).",
    )
    change = step(story, StepKind.CHANGE)
    assert dict(change.detail)["status"] == "pending -> delivered"
    assert dict(change.detail)["total_amount"] == "10.00 -> 12.50"
    assert change.at == LATER.replace(tzinfo=UTC)
    assert "Lane" not in str(story)


def test_the_shop_rows_are_found_by_operation_and_time(scene, stores):
    with connect(scene.sandbox.shop.dsn) as connection:
        ids = [
            row[0] for row in connection.execute("select history_id from shop_history.orders where id = 1 order by 1")
        ]

    story = explain_key(stores, "orders", 1)

    assert [step(story, StepKind.SHOP, chapter=number).id for number in (1, 0)] == [f"history {found}" for found in ids]


def test_a_rejected_refresh_is_told_with_its_reasons_and_the_check_that_names_the_key(scene, stores):
    story = explain_key(stores, "orders", 1)

    rejected = step(story, StepKind.REFRESH, last=False)
    assert (rejected.id, rejected.mark) == (scene.refreshes["second, rejected"], Mark.FAILED)
    assert dict(rejected.detail)["reasons"] == "totals fell"
    checks = step(story, StepKind.CHECKS, last=False)
    assert (checks.mark, checks.what) == (Mark.FAILED, "2 checks: 1 failed, 1 passed")
    assert "names what you ask about" in str(dict(checks.detail)["failed"])


def test_a_build_by_hand_after_the_end_of_a_refresh_does_not_replace_its_invocation(scene, stores):
    with scene.path.ledger.transaction() as connection:
        assert not note_build(connection, scene.refreshes["third"], invocation_id="by hand", built_at=BUILT_AT)

    assert step(explain_key(stores, "orders", 1), StepKind.BUILD).id == "dbt-third"


def test_a_mart_row_names_who_wrote_it_last(scene, stores):
    newest, oldest = explain_key(stores, "orders", 1), explain_key(stores, "orders", 2)

    mart = step(newest, StepKind.MART)
    assert mart.id == f"pub-{scene.refreshes['third']}"
    assert mart.what == f"row of {DAY}: last written by this publication"
    assert step(oldest, StepKind.MART).what == f"row of {DAY}: written anew since, by a later publication"


@pytest.mark.parametrize(
    ("key", "stage", "last_kind"),
    [
        (4, "loaded, waits for a refresh", StepKind.REFRESH),
        (5, "it is in the lake and waits for its load into the warehouse", StepKind.LOAD),
        (6, "its file was seen and waits for a batch", StepKind.OBJECT),
        (10, "only the shop has it; no file brought it yet", StepKind.CHANGE),
    ],
)
def test_what_has_not_happened_yet_is_said_plainly(scene, stores, key, stage, last_kind):
    story = explain_key(stores, "orders", key)

    assert story.answer == f"Version 1 of 1: {stage}; readers see none of them."
    assert f"Version 1 is not published: {stage}." in story.missing
    waiting = [one for one in story.chapters[0].steps if one.mark is Mark.WAITING]
    if last_kind is not StepKind.OBJECT:
        assert waiting[0].kind is last_kind
    assert StepKind.PUBLICATION.value not in kinds(story)


def test_a_landed_row_is_found_in_the_lake_before_it_is_loaded(scene, stores):
    story = explain_key(stores, "orders", 5)

    assert step(story, StepKind.BATCH).id == scene.batches["landed"]
    assert step(story, StepKind.SNAPSHOT).mark is Mark.DONE
    assert step(story, StepKind.SPEED).mark is Mark.FAILED


def test_a_quarantined_file_is_named_with_its_reason(scene, stores):
    story = explain_key(stores, "orders", 7)

    found = step(story, StepKind.OBJECT)
    assert (found.id, found.mark) == (scene.objects["bad"], Mark.FAILED)
    assert dict(found.detail)["message"] == "total_amount is a float"
    assert "wrong_type: total_amount is a float" in story.missing[0]
    assert "slackwater quarantine retry" in story.missing[0]


def test_a_superseded_file_names_the_batch_that_went_on_and_the_object_that_has_its_key(scene, stores):
    by_key = explain_key(stores, "orders", 8)
    by_object = explain_object(stores, scene.objects["overwritten"][:12])

    assert f"object {scene.objects['overwriting']} has its key now" in by_key.missing[0]
    batch = step(by_object, StepKind.BATCH)
    assert (batch.id, batch.mark, batch.what) == (scene.batches["without"], Mark.FAILED, "a batch went on without it")


def test_every_version_of_a_landing_key_is_told_newest_first(scene, stores):
    with scene.path.ledger.transaction() as connection:
        key = connection.execute(
            "select key from ledger.object where object_id = %s", (scene.objects["overwriting"],)
        ).fetchone()[0]

    story = explain_object(stores, key)

    ids = [step(story, StepKind.OBJECT, chapter=number, last=False).id for number in (0, 1)]
    assert ids == [scene.objects["overwriting"], scene.objects["overwritten"]]
    assert "its file was seen and waits for a batch" in story.answer.lower()


def test_a_change_whose_file_never_came_is_called_missing(scene, stores):
    story = explain_key(stores, "orders", 9)

    assert step(story, StepKind.OBJECT).mark is Mark.FAILED
    assert "the file that holds it was never seen" in story.answer


def test_a_change_of_an_unknown_object_is_looked_up_by_its_position(scene, stores):
    story = explain_key(stores, "orders", 11)

    assert step(story, StepKind.OBJECT).id == scene.objects["other content"]
    assert "its file was seen and waits for a batch" in story.answer


def test_an_object_is_followed_forwards_to_its_publication_and_its_days(scene, stores):
    story = explain_object(stores, scene.objects["first"])

    expected = ["object", "batch", "snapshot", "load", "refresh", "dbt run", "checks", "publication"]
    assert kinds(story) == [*expected, "change", "mart row", "clickhouse"]
    assert step(story, StepKind.PUBLICATION).id == f"pub-{scene.refreshes['first']}"
    assert step(story, StepKind.CHANGE).what == "2 changes, LSN 1 to 2"
    assert step(story, StepKind.SPEED).what == "2 of 2 rows in ClickHouse"
    assert story.answer == "Published."


def test_a_batch_is_found_by_the_beginning_of_its_id(scene, stores):
    batch_id = scene.batches["second"]

    story = explain_batch(stores, batch_id[:10])

    assert step(story, StepKind.BATCH).id == batch_id
    assert step(story, StepKind.OBJECT).id == scene.objects["second"]
    assert step(story, StepKind.PUBLICATION).id == f"pub-{scene.refreshes['third']}"


def test_a_day_names_its_publication_and_the_loaded_batches_that_wait(scene, stores):
    published = explain_day(stores, DAY)
    waiting = explain_day(stores, LATER.date())

    row = step(published, StepKind.MART)
    assert row.id == f"pub-{scene.refreshes['third']}"
    assert dict(row.detail)["total_revenue"] == Decimal("32.50")
    assert step(published, StepKind.REFRESH).id == scene.refreshes["third"]
    assert waiting.answer == f"No row of {LATER.date()} is published."
    assert f"Batch {scene.batches['waiting']} of orders changes this day" in waiting.missing[0]
    assert any("batches of orders not loaded yet" in sentence for sentence in published.missing)


def test_nothing_known_is_an_error_with_status_one(scene, stores, monkeypatch):
    for ask in (
        lambda: explain_key(stores, "orders", 999),
        lambda: explain_day(stores, date(1999, 1, 1)),
        lambda: explain_object(stores, "cdc/orders/nothing.parquet"),
        lambda: explain_batch(stores, "0123456789"),
    ):
        with pytest.raises(NotKnown, match="no store knows"):
            ask()
    for name, value in scene.sandbox.env.items():
        monkeypatch.setenv(name, value)

    result = CliRunner().invoke(app, ["explain", "order", "999"])

    assert result.exit_code == 1
    assert "Error: no store knows orders 999" in result.output


def test_the_command_prints_the_newest_version_all_of_them_or_json(scene, monkeypatch):
    for name, value in scene.sandbox.env.items():
        monkeypatch.setenv(name, value)

    newest, everything, document = (
        CliRunner().invoke(app, ["explain", "order", "1", *options]) for options in ([], ["--all"], ["--json"])
    )

    assert [newest.exit_code, everything.exit_code, document.exit_code] == [0, 0, 0]
    assert "Version 2 of 2" in newest.output
    assert "Version 1 of 2" not in newest.output
    assert "1 more: --all shows it." in newest.output
    assert "Version 1 of 2" in everything.output
    told = json.loads(document.output)
    assert [chapter["steps"][3]["id"] for chapter in told["chapters"]] == [
        scene.batches["second"],
        scene.batches["first"],
    ]


def test_a_store_that_is_away_is_named_and_the_rest_is_told(scene):
    away = scene.sandbox.systems.clickhouse.model_copy(update={"port": 1})
    systems = scene.sandbox.systems
    broken = type(systems)(**{**vars(systems), "clickhouse": away})
    with Stores(broken) as stores:
        story = explain_key(stores, "orders", 1)
        with pytest.raises(NotKnown, match="ClickHouse did not answer"):
            explain_key(stores, "orders", 999)

    assert len(story.notes) == 1
    assert story.notes[0].startswith("ClickHouse did not answer: ")
    assert step(story, StepKind.SPEED).mark is Mark.UNKNOWN
    assert step(story, StepKind.PUBLICATION).mark is Mark.DONE
