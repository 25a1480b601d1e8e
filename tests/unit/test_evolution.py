"""What an entity file may say of its past, the plan that follows, and files, rows and statements of every shape."""

from dataclasses import replace
from decimal import Decimal
from importlib.resources import files

import pyarrow as pa
import pytest
import yaml

from slackwater.clients.clickhouse_evolution import speed_statement
from slackwater.clients.iceberg_schema import changelog_iceberg_schema, require_fitting
from slackwater.entities.casting import cast_landing_table
from slackwater.entities.evolution import (
    TYPES,
    FoundTable,
    Place,
    SchemaStep,
    StepKind,
    plan_evolution,
    require_possible,
)
from slackwater.entities.model import (
    CHANGELOG_COLUMNS,
    RAW_COLUMNS,
    Column,
    ColumnType,
    all_entities,
    changelog_schema,
    load_entity,
    parse_entity,
    state_columns,
)
from slackwater.errors import ConfigurationError, SchemaBehind, SchemaDrift, TerminalError
from slackwater.testing.conformance.evolved import EVOLVED
from slackwater.testing.conformance.older_shapes import shape_at
from slackwater.testing.landing_files import LandingFile
from slackwater.warehouse.audit import Deed
from slackwater.warehouse.copy_files import require_known_columns
from slackwater.warehouse.evolve import raw_behind, type_word, warehouse_statement
from slackwater.warehouse.load import insert_sql, transient_ddl

PRODUCTS = load_entity("products")
FIXED = {
    Place.CHANGELOG: CHANGELOG_COLUMNS,
    Place.STATE: state_columns(PRODUCTS)[len(PRODUCTS.columns) :],
    Place.RAW: RAW_COLUMNS,
    Place.SPEED: (),
    Place.STAGING: (),
}


def entity_with(*changed, version=2, **edits):
    """Read the text of an entity file in which columns were replaced (by name) or added, and keys set."""
    document = yaml.safe_load(files("slackwater.entities").joinpath("products.yml").read_text(encoding="utf-8"))
    columns = {column["name"]: column for column in document["columns"]}
    for column in changed:
        columns[column.pop("instead_of", column["name"])] = column
    document |= {"columns": list(columns.values()), "version": version, **edits}
    return parse_entity(yaml.safe_dump(document), file="products.yml")


def table_of(entity, place=Place.CHANGELOG, **edits):
    """Return a table of the entity's shape; `edits` replace a column's type, None takes it away."""
    columns = {c.name: TYPES[place][c.type] for c in (*entity.columns, *FIXED[place])} | edits
    return FoundTable(place, "t", {name: kind for name, kind in columns.items() if kind is not None})


def told(steps):
    return [(step.kind, step.column) for step in steps]


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("entity", all_entities(), ids=lambda entity: entity.name)
def test_a_table_in_the_declared_shape_has_no_step(entity, place):
    fixed = state_columns(entity) if place is Place.STATE else FIXED[place]
    columns = {column.name: TYPES[place][column.type] for column in (*entity.columns, *fixed)}
    assert plan_evolution(entity, FoundTable(place, "t", columns)) == ()


def test_a_plan_renames_then_widens_then_adds():
    steps = plan_evolution(EVOLVED, table_of(PRODUCTS))

    assert told(steps) == [
        (StepKind.RENAME, "title"), (StepKind.RENAME, "details"), (StepKind.WIDEN, "price"),
        (StepKind.WIDEN, "stock_quantity"), (StepKind.ADD, "brand"), (StepKind.ADD, "notes"),
    ]  # fmt: skip
    assert str(steps[0]) == "changelog t: rename name to title"
    assert str(steps[2]) == "changelog t: widen price from decimal(10,2) to decimal(18,2)"
    assert str(steps[4]) == "changelog t: add brand string"


def test_the_state_table_takes_the_places_of_told_values_along():
    steps = plan_evolution(EVOLVED, table_of(PRODUCTS, Place.STATE))

    assert ("_description_order", "_details_order") in [(s.old_name, s.column) for s in steps]
    assert (StepKind.ADD, "_notes_order") in told(steps)


def test_a_step_that_is_done_is_no_step():
    half = table_of(PRODUCTS, name=None, title="string", stock_quantity="bigint")

    assert told(plan_evolution(EVOLVED, half)) == [
        (StepKind.RENAME, "details"), (StepKind.WIDEN, "price"), (StepKind.ADD, "brand"), (StepKind.ADD, "notes"),
    ]  # fmt: skip


def test_types_that_share_a_word_in_a_store_need_no_widening():
    kinds = {
        step.column for step in plan_evolution(EVOLVED, table_of(PRODUCTS, Place.RAW)) if step.kind == "widen type"
    }

    assert kinds == {"price"}


@pytest.mark.parametrize(
    ("edits", "column", "message"),
    [
        ({"stock_quantity": "bigint"}, "stock_quantity", "is bigint, declared int"),
        ({"price": "decimal(18,2)"}, "price", "is decimal(18,2), declared decimal(10,2)"),
        ({"price": "double"}, "price", "is double, declared decimal(10,2)"),
        ({"category": None}, "category", "is missing, declared string"),
    ],
    ids=["narrowed integer", "narrowed amount", "foreign type", "added without since"],
)
def test_what_cannot_be_is_refused_by_store_table_column_found_and_declared(edits, column, message):
    steps = plan_evolution(PRODUCTS, table_of(PRODUCTS, **edits))

    assert told(steps) == [(StepKind.INCOMPATIBLE, column)]
    with pytest.raises(ConfigurationError) as caught:
        require_possible(steps)
    assert f"changelog t: column {column} {message}" in str(caught.value)


def test_a_table_with_the_old_and_the_new_name_is_refused():
    steps = plan_evolution(EVOLVED, table_of(EVOLVED, name="string"))

    assert told(steps) == [(StepKind.INCOMPATIBLE, "title")]
    assert "(title, name)" in steps[0].reason


def test_a_column_nobody_declared_is_reported_and_stops_nothing():
    steps = plan_evolution(PRODUCTS, table_of(PRODUCTS, colour="string"))

    assert told(steps) == [(StepKind.UNDECLARED, "colour")]
    require_possible(steps)


def test_what_else_staging_holds_is_for_dbt_to_judge():
    table = table_of(EVOLVED, Place.STAGING, category=None, price_tier="varchar", price="float", name=None)

    assert plan_evolution(EVOLVED, table) == ()
    assert told(plan_evolution(EVOLVED, table_of(PRODUCTS, Place.STAGING)))[:2] == [
        (StepKind.RENAME, "title"), (StepKind.RENAME, "details"),
    ]  # fmt: skip


ADDED = {"name": "brand", "type": "string", "since": 2}


@pytest.mark.parametrize(
    ("columns", "edits", "message"),
    [
        ([{**ADDED, "required": True}], {}, "leave out `required`"),
        ([{**ADDED, "since": 1}], {}, "greater than or equal to 2"),
        ([{**ADDED, "since": 3}], {}, "brand since 3: later than the entity's `version`, 2"),
        ([ADDED], {"version": 1}, "brand changed, so `version` is at least 2"),
        ([{"name": "stock_quantity", "type": "int32", "was": ["int64"]}], {}, "cannot become int32 from int64"),
        ([{"name": "price", "type": "decimal(10,2)", "was": ["decimal(18,2)"]}], {}, "cannot become decimal(10,2)"),
        ([{"name": "price", "type": "decimal(18,2)", "was": ["int64"]}], {}, "decimal(18,2) widens decimal(10,2)"),
        ([{"name": "category", "type": "string", "was": ["int32"]}], {}, "string widens nothing"),
        ([{"name": "price", "type": "decimal(20,4)"}], {}, "Input should be"),
        ([{"name": "title", "type": "string", "renamed_from": ["category"]}], {}, "category; a name is never used"),
        ([{"name": "title", "type": "string", "renamed_from": ["title"]}], {}, "title; a name is never used again"),
        ([{"name": "title", "type": "string", "renamed_from": ["batch_id"]}], {}, "batch_id; a name is never used"),
        ([{"instead_of": "id", "name": "nr", "type": "int64", "required": True, "renamed_from": ["id"]}], {"key": "nr"},
         "the key, the event time and `created_at` stay as they are"),
        ([{"name": "category", "type": "string", "dropped": True}], {}, "none is dropped or narrowed"),
        ([], {"dropped": ["category"]}, "Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_an_impossible_past_is_refused_when_the_file_is_read(columns, edits, message):
    with pytest.raises(ConfigurationError) as caught:
        entity_with(*[dict(column) for column in columns], **edits)

    assert message in str(caught.value)
    assert "products.yml" in str(caught.value)


def test_every_possible_change_can_be_declared():
    entity = entity_with(
        dict(ADDED),
        {"instead_of": "name", "name": "title", "type": "string", "renamed_from": ["label", "name"]},
        {"name": "stock_quantity", "type": "int64", "was": ["int32"]},
        {"name": "price", "type": "decimal(18,2)", "was": ["decimal(10,2)"]},
    )

    assert [column.name for column in entity.columns if column.since or column.renamed_from or column.was] == [
        "title", "price", "stock_quantity", "brand",
    ]  # fmt: skip


def old_rows():
    return LandingFile(entity="products", count=2).table()


def test_a_file_of_before_is_read_under_new_names_widened_and_with_nulls():
    rows = cast_landing_table(EVOLVED, old_rows())

    assert rows.schema.field("stock_quantity").type == pa.int64()
    assert rows.schema.field("price").type == pa.decimal128(18, 2)
    assert rows["title"].to_pylist() == rows["details"].to_pylist() == ["text 0", "text 1"]
    assert rows["price"].to_pylist() == [Decimal("0.00"), Decimal("0.01")]
    assert rows["brand"].null_count == rows["notes"].null_count == 2


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (lambda t: t.drop_columns(["category"]), "missing_column", "category"),
        (lambda t: t.append_column("notes", t["name"]), "missing_column", "brand"),
        (lambda t: t.append_column("title", t["name"]), "schema_change", "title and name are names of one column"),
        (lambda t: t.append_column("colour", t["name"]), "schema_change", "colour"),
        (lambda t: t.set_column(0, "id", pa.array([1.0, 2.0])), "wrong_type", "id"),
        (lambda t: t.set_column(3, "price", pa.array([1, 2], pa.int32())), "wrong_type", "price"),
        (lambda t: t.set_column(7, "updated_at", pa.array([1, 2], pa.int32())), "wrong_type", "updated_at"),
    ],
    ids=["dropped", "dropped though younger than the file", "both names", "undeclared", "float", "narrowed amount",
         "narrowed time"],
)  # fmt: skip
def test_a_file_of_no_shape_is_refused(change, reason, message):
    with pytest.raises(SchemaDrift, match=message) as caught:
        cast_landing_table(EVOLVED, change(old_rows()))

    assert caught.value.reason == reason


def test_a_file_of_the_version_between_lacks_only_what_came_later():
    rows = cast_landing_table(EVOLVED, old_rows().append_column("brand", pa.array(["x", "y"])))

    assert rows["brand"].to_pylist() == ["x", "y"]
    assert rows["notes"].null_count == 2


@pytest.mark.parametrize(
    ("rows", "table", "message"),
    [
        (EVOLVED, PRODUCTS, "t has no such column: title string"),
        (PRODUCTS, EVOLVED, "t has no such column: name string"),
        (entity_with({"name": "stock_quantity", "type": "int64", "was": ["int32"]}), PRODUCTS, "has it as int: stock"),
    ],
    ids=["renamed in the rows", "renamed in the table", "wider rows"],
)
def test_rows_that_a_table_would_take_wrongly_are_refused_before_they_are_written(rows, table, message):
    with pytest.raises(SchemaBehind, match=message):
        require_fitting("t", changelog_iceberg_schema(table), changelog_schema(rows))


def test_rows_that_lack_added_columns_or_are_narrower_fit():
    wider = entity_with(dict(ADDED), {"name": "stock_quantity", "type": "int64", "was": ["int32"]})

    assert require_fitting("t", changelog_iceberg_schema(wider), changelog_schema(PRODUCTS)) is None


def step(kind, **edits):
    made = SchemaStep(kind, Place.RAW, "RAW.PRODUCTS", "price", ColumnType.LARGE_MONEY, declared="number(18,2)")
    return replace(made, **edits)


@pytest.mark.parametrize(
    ("given", "warehouse", "speed"),
    [
        (step(StepKind.RENAME, old_name="cost"), 'rename column "COST" to "PRICE"', "rename column cost to price"),
        (step(StepKind.WIDEN), 'alter column "PRICE" set data type number(18,2)',
         "modify column price Nullable(Decimal(18, 2))"),
        (step(StepKind.ADD), 'add column "PRICE" number(18,2)', "add column price Nullable(Decimal(18, 2))"),
    ],
)  # fmt: skip
def test_a_step_is_one_statement_that_drops_nothing(given, warehouse, speed):
    assert warehouse_statement(given) == f'alter table "RAW"."PRODUCTS" {warehouse}'
    assert speed_statement(given, held={"price": "Nullable(Decimal(10, 2))"}) == f"alter table RAW.PRODUCTS {speed}"


def test_a_widened_column_that_may_not_be_null_stays_so():
    assert speed_statement(step(StepKind.WIDEN), held={"price": "Decimal(10, 2)"}).endswith("price Decimal(18, 2)")


@pytest.mark.parametrize(
    ("kind", "word"),
    [(("NUMBER", 38, 0), "number(38,0)"), (("NUMBER", 10, 2), "number(10,2)"), (("TEXT", None, None), "varchar"),
     (("TIMESTAMP_NTZ", None, None), "timestamp_ntz(6)"), (("DATE", None, None), "date")],
)  # fmt: skip
def test_the_warehouses_own_words_are_those_of_the_ddl(kind, word):
    assert type_word(*kind) == word
    assert word in TYPES[Place.RAW].values()


def test_a_refused_load_is_blamed_on_the_table_only_when_its_shape_differs():
    refusal = TerminalError("invalid identifier")

    assert raw_behind(PRODUCTS, [table_of(PRODUCTS, Place.RAW, colour="varchar")], refusal) is None
    behind = raw_behind(EVOLVED, [table_of(PRODUCTS, Place.RAW)], refusal)
    assert isinstance(behind, SchemaBehind)
    assert "rename name to title" in str(behind)
    assert "invalid identifier" in str(behind)


def test_a_load_finds_a_renamed_column_under_every_name_it_had():
    ddl, sql = transient_ddl(EVOLVED, "T"), insert_sql(EVOLVED, "T")

    assert '"TITLE" varchar' in ddl
    assert '"NAME" varchar' in ddl
    assert 'coalesce("TITLE", "NAME")' in sql
    assert '"NAME"' not in sql.split("select")[0]


@pytest.mark.parametrize(
    ("entity", "names", "message"),
    [
        (PRODUCTS, changelog_schema(EVOLVED).names, r"nobody declared \(brand, details, notes, title\)"),
        (EVOLVED, [n for n in changelog_schema(PRODUCTS).names if n != "name"], r"lacks declared ones \(title\)"),
    ],
    ids=["newer file", "column lost"],
)
def test_a_data_file_that_copy_would_read_in_part_is_refused(entity, names, message):
    with pytest.raises(SchemaBehind, match=message):
        require_known_columns(entity, names, "f")


@pytest.mark.parametrize("version", [1, 2, None])
def test_a_data_file_of_any_version_is_known(version):
    assert require_known_columns(EVOLVED, changelog_schema(shape_at(EVOLVED, version)).names, "f") is None


def test_the_same_deed_has_the_same_text_whatever_the_order_of_its_words():
    one, other = Deed("k", "o", {"a": "1", "b": "2"}), Deed("k", "o", {"b": "2", "a": "1"})

    assert one.text("begun") == other.text("begun") == '{"a": "1", "b": "2", "state": "begun"}'
    assert one.text("applied") != one.text("begun")


def test_a_toastable_column_keeps_the_history_of_its_value():
    places = {column.name: column for column in state_columns(EVOLVED)}

    assert places["_details_order"].renamed_from == ("_description_order",)
    assert places["_notes_order"] == Column(name="_notes_order", type=ColumnType.STRING, since=3)
