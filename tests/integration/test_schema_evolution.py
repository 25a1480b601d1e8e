"""Columns added, renamed and widened over tables that hold rows: every store in order, audited, killed in between.

One story on one set of stores (`tests/support/evolving.py`), then the kit's cases on the tables that went through it.
"""

import json
import re
from decimal import Decimal

import pytest
from evolving import KEY, LARGE, told_on
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.s3 import ObjectStore
from slackwater.entities.evolution import APPLIED, Place, StepKind
from slackwater.entities.model import ColumnType
from slackwater.errors import ConfigurationError
from slackwater.lake.schema_evolution import apply_schema, plan_schema
from slackwater.naming import changelog_table, state_table
from slackwater.stack import bootstrap
from slackwater.testing.conformance.dbt_merge import DbtMerge
from slackwater.testing.conformance.evolved import EVOLVED, drawn_evolved_cases, evolved_cases
from slackwater.testing.conformance.histories import generated_cases
from slackwater.testing.conformance.kit import check
from slackwater.testing.conformance.lake_merge import LakeMerge
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.declaring import declaring
from slackwater.testing.evolved_dbt import copy_evolved_project
from spark.jobs import fold_changes

pytestmark = [pytest.mark.integration, pytest.mark.spark]

EXPECTED = {
    1: ("t1", "d1", LARGE, 2**40 + 1, "b1", "o1"),
    2: ("n2b", "d2", Decimal("1.10"), 2, None, None),
    5: ("n5", "d5", Decimal("1.10"), 5, None, None),
    6: ("t6", "e6", Decimal("6.60"), 6, None, None),
    7: ("t7", "e7", LARGE, 2**40 + 7, "b7", "o7"),
}
"""By key; 3 was deleted before the change, 4 after it. 50 and 51 came by the file that had to wait."""
COLUMNS = "title, details, price, stock_quantity, brand, notes"


@pytest.fixture(scope="module")
def story(module_sandbox, tmp_path_factory):
    session = module_sandbox.spark()
    project_dir = copy_evolved_project(tmp_path_factory.mktemp("project"))
    with told_on(module_sandbox, lambda request: fold_changes.run(session, request), project_dir) as told:
        yield told


def by_key(rows) -> dict[int, tuple[object, ...]]:
    return {int(str(key)) - KEY: tuple(values) for key, *values in rows}


def test_every_table_is_changed_in_order_and_nothing_is_left(story):
    kinds = {StepKind.RENAME: 2, StepKind.WIDEN: 2, StepKind.ADD: 2}
    counted = {
        place: {kind: sum(s.place is place and s.kind is kind for s in story.plan) for kind in kinds} for place in Place
    }

    assert [s.place for s in story.plan] == sorted((s.place for s in story.plan), key=list(Place).index)
    assert counted == {
        Place.CHANGELOG: kinds,
        Place.STATE: {StepKind.RENAME: 3, StepKind.WIDEN: 2, StepKind.ADD: 3},  # the places of told values too
        Place.RAW: {StepKind.RENAME: 2, StepKind.WIDEN: 1, StepKind.ADD: 2},  # both integers are number(38,0)
        Place.SPEED: kinds,
        Place.STAGING: {StepKind.RENAME: 4, StepKind.WIDEN: 2, StepKind.ADD: 4},  # base and stg
    }
    assert [step for step in plan_schema([EVOLVED], story.stores) if step.kind in APPLIED] == []


def test_a_column_nobody_declared_is_reported_and_left_alone(story):
    undeclared = [(s.table, s.column) for s in plan_schema([EVOLVED], story.stores) if s.kind is StepKind.UNDECLARED]

    assert undeclared == [("RAW.PRODUCTS", "hand_made")]
    assert story.path.warehouse.query("select count(HAND_MADE) from RAW.PRODUCTS") == [(0,)]


def test_every_step_is_one_row_of_the_audit_although_each_place_was_killed(story):
    rows = story.path.warehouse.query("select actor, kind, object, detail from OPS.AUDIT_LOG order by recorded_at")
    done = [step for step in story.plan if step.kind in APPLIED]

    assert story.kills == len(Place)
    assert {(actor, kind) for actor, kind, _, _ in rows} == {("operator", "schema_change")}
    assert sorted(name for _, _, name, _ in rows) == sorted(f"{step.table}.{step.column}" for step in done)
    details = [json.loads(detail) for *_, detail in rows]
    assert {detail["state"] for detail in details} == {"applied"}
    assert {"step": "rename column", "place": "raw", "from": "name", "to": "title", "state": "applied"} in details


def test_a_renamed_column_of_the_lake_keeps_its_field_id(story):
    fields = story.path.lake.load_table(changelog_table("products")).schema().fields
    ids = {found.name: found.field_id for found in fields}

    assert (ids["title"], ids["details"]) == (story.field_ids["name"], story.field_ids["description"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("new writer, old lake", "changes.products has no such column: title string"),
        ("new loader, old raw", "rename name to title"),
        ("old writer, new lake", "changes.products has no such column: name string"),
        ("old loader, new file", r"nobody declared \(brand, details, notes, title\)"),
    ],
)
def test_a_process_and_a_table_of_different_shapes_refuse_each_other(story, name, message):
    assert re.search(message, str(story.refused[name]))


def test_the_changelog_reads_old_files_in_the_new_shape(story):
    rows = story.path.lake.scan("products").sort_by("__source_lsn").to_pylist()
    first = next(row for row in rows if row["id"] == KEY + 1)

    told = (first["title"], first["details"], first["price"], first["stock_quantity"], first["brand"], first["notes"])
    assert told == ("n1", "d1", Decimal("1.10"), 1, None, None)
    assert story.path.lake.scan("products").schema.field("stock_quantity").type == ColumnType.INT64.arrow
    assert story.path.lake.scan("products").schema.field("price").type == ColumnType.LARGE_MONEY.arrow


def test_the_state_table_folded_before_and_after_holds_every_row_in_the_new_shape(story):
    rows = story.path.lake.load_table(state_table("products")).scan().to_arrow().to_pylist()
    living = {row["id"] - KEY: row for row in rows if row["__op"] != "d"}

    names = ("title", "details", "price", "stock_quantity", "brand", "notes")
    assert {key: tuple(row[name] for name in names) for key, row in living.items()} == EXPECTED
    assert {row["id"] - KEY for row in rows if row["__op"] == "d"} == {3, 4}
    assert living[2]["_details_order"] is not None


def test_raw_holds_a_batch_landed_before_the_rename_under_the_new_name(story):
    found = by_key(story.warehouse_rows("RAW.PRODUCTS", f"{COLUMNS}, __op"))

    assert found[5] == (*EXPECTED[5], "c")
    assert found[7] == (*EXPECTED[7], "c")
    assert found[6] == (*EXPECTED[6], "c")


@pytest.mark.parametrize("table", ["STAGING.BASE_PRODUCTS", "STAGING.STG_PRODUCTS"])
def test_dbt_builds_on_and_keeps_the_values_of_rows_it_does_not_touch(story, table):
    found = by_key(story.warehouse_rows(table, COLUMNS))

    assert {key: found[key] for key in EXPECTED} == EXPECTED
    assert set(found) == {*EXPECTED, 50, 51, *({3, 4} if "BASE" in table else ())}


def test_the_speed_layer_shows_the_new_shape(story):
    rows = story.speed.query(
        f"select id, {COLUMNS} from products_realtime where is_deleted = 0 and id < {KEY + 50} order by id"
    ).to_pylist()

    assert {row.pop("id") - KEY: tuple(row.values()) for row in rows} == EXPECTED


def test_a_file_that_waited_for_its_column_is_loaded_by_a_retry(story):
    found = by_key(story.warehouse_rows("RAW.PRODUCTS", COLUMNS))

    assert found[50][0].startswith("text")
    assert found[50][4:] == (found[50][0], found[50][0])
    with story.path.ledger.transaction() as connection:
        state = connection.execute("select state from ledger.object where object_id = %s", (story.waiting,)).fetchone()
    assert (story.waiting_reason, state) == ("schema_change", ("batched",))


def test_the_command_and_the_start_of_the_stack_find_nothing_to_do(story, module_sandbox, capsys):
    shown = CliRunner().invoke(app, ["schema", "plan", "--json"], env=module_sandbox.env)
    applied = CliRunner().invoke(app, ["schema", "apply"], env=module_sandbox.env)
    before = story.path.warehouse.scalar("select count(*) from OPS.AUDIT_LOG")
    capsys.readouterr()
    bootstrap.evolve_tables(module_sandbox.systems, actor="test")

    assert (shown.exit_code, applied.exit_code) == (0, 0), shown.output + applied.output
    assert [(s["step"], s["column"]) for s in json.loads(shown.stdout)] == [("undeclared column", "hand_made")]
    assert "Every table has the declared columns." in applied.output
    assert "hand_made" in capsys.readouterr().out
    assert story.path.warehouse.scalar("select count(*) from OPS.AUDIT_LOG") == before


def test_what_is_incompatible_stops_everything_before_anything_is_done(story, module_sandbox):
    narrowed = tuple(
        column.model_copy(update={"type": ColumnType.INT32, "was": ()}) if column.name == "stock_quantity" else column
        for column in EVOLVED.columns
    )
    added = EVOLVED.columns[-1].model_copy(update={"name": "colour", "toastable": False})
    wrong = EVOLVED.model_copy(update={"columns": (*narrowed, added)})

    with declaring(wrong):
        shown = CliRunner().invoke(app, ["schema", "plan"], env=module_sandbox.env)
        with pytest.raises(ConfigurationError, match=r"changelog changes\.products: column stock_quantity is bigint"):
            apply_schema([wrong], story.stores, actor="operator")
    assert shown.exit_code == 1
    assert "add colour string" in shown.output
    assert "colour" not in story.speed.columns("products_changes")
    assert [s.kind for s in plan_schema([EVOLVED], story.stores)] == [StepKind.UNDECLARED]


def test_the_fold_conforms_on_tables_that_went_through_the_change(story):
    cases = (*evolved_cases(), *generated_cases(20, seed_number=20101201, files_max=4, of=drawn_evolved_cases()))

    assert check(LakeMerge(story.path.lake, fold=story.fold), cases) > 4 * len(cases)


def test_the_dbt_merge_conforms_on_tables_that_went_through_the_change(story, module_sandbox, tmp_path):
    cases = [case for case in evolved_cases() if max(map(len, case.orders)) <= 4]
    with DbtSession(env=module_sandbox.env, target_dir=story.target_dir) as dbt:
        merge = DbtMerge(
            story.path,
            store=ObjectStore(module_sandbox.s3),
            landing=module_sandbox.landing,
            dbt=dbt,
            entities=("products",),
            project_dir=copy_evolved_project(tmp_path),
            dbt_runs=100,
        )

        assert check(merge, cases) > 4 * len(cases)
