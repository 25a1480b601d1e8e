"""Column lineage of the whole project: every chain ends in a file or says what makes the value; examples by hand."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.lineage.build import DECLARED_ORIGINS, PREDICTED, build_lineage
from slackwater.lineage.dbt_project import CompiledModel, Origin, read_models
from slackwater.lineage.model import ColumnId, Lineage, Place

NOT_MODELS = set(Place)

STATUS, AMOUNT, PLACED = "raw.orders.status", "raw.orders.total_amount", "raw.orders.created_at"
RAW_COLUMNS_BY_HAND: Mapping[str, set[str]] = {
    "marts.daily_business_metrics.total_revenue": {STATUS, AMOUNT},
    "marts.daily_business_metrics.total_orders": {"raw.orders.id"},  # a count of orders
    "marts.daily_business_metrics.new_customers": {STATUS, PLACED, "raw.orders.user_id", "raw.users.created_at"},
    "marts.daily_business_metrics.average_items_per_order": {STATUS, "raw.order_items.quantity"},
    "marts.fct_order_lines.line_total": {"raw.order_items.quantity", "raw.order_items.unit_price"},
    "marts.fct_order_lines.discount_amount": {
        *("raw.order_items.quantity", "raw.order_items.unit_price", "raw.products.price"),
    },
    "marts.customer_analytics.email": {"raw.users.email"},
    "marts.customer_analytics.full_name": {"raw.users.first_name", "raw.users.last_name"},
    "marts.cohort_retention.total_revenue": {STATUS, AMOUNT},
    "marts.inventory.product_name": {"raw.products.name"},
    "staging.stg_orders.file_name": {"raw.orders.file_name"},
}
"""Read off the models by a person: what the value is computed from, not which rows are taken."""

CHAIN_BY_HAND = """\
marts.fct_order_lines.line_total
  staging.stg_order_items.line_total
    base.base_order_items.quantity
      raw.order_items.quantity
        changes.order_items.quantity
          cdc/order_items/*.quantity
    base.base_order_items.unit_price
      raw.order_items.unit_price
        changes.order_items.unit_price
          cdc/order_items/*.unit_price
"""


@pytest.fixture(scope="module")
def models(manifest_path: Path) -> tuple[CompiledModel, ...]:
    return read_models(manifest_path)


@pytest.fixture(scope="module")
def lineage(models: tuple[CompiledModel, ...]) -> Lineage:
    return build_lineage(models)


def _told(manifest_path: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["lineage", *arguments, "--manifest", str(manifest_path)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("name", RAW_COLUMNS_BY_HAND)
def test_a_column_comes_from_the_raw_columns_a_person_reads_in_the_models(lineage: Lineage, name: str) -> None:
    (column,) = lineage.find(name)
    assert {str(each) for each in lineage.below(column) if each.place == Place.RAW} == RAW_COLUMNS_BY_HAND[name]


def test_every_column_of_a_model_leads_to_a_raw_column_or_declares_what_makes_it(lineage: Lineage) -> None:
    loose, both, wrong = [], [], []
    declared = {*DECLARED_ORIGINS.values(), PREDICTED}
    for column in lineage.made_of:
        if column.place in NOT_MODELS:
            continue
        leads_to_raw = any(each.place == Place.RAW for each in lineage.below(column))
        if not leads_to_raw and not lineage.origins.get(column):
            # What it is made of may be declared further down.
            below = [each for each in lineage.below(column) if not lineage.made_of[each]]
            if not below or any(lineage.origins.get(each) not in declared for each in below):
                loose.append(str(column))
        if leads_to_raw and column in lineage.origins:
            both.append(str(column))
        if column in lineage.origins and lineage.made_of[column]:
            wrong.append(str(column))
    assert (loose, both, wrong) == ([], [], [])


def test_the_declared_origins_are_these(models: tuple[CompiledModel, ...]) -> None:
    declared = {f"{m.name}.{name}": origin for m in models for name, origin in m.origins.items()}
    assert {name for name, origin in declared.items() if origin is Origin.CLOCK} == {
        f"{entity}_enhanced.processed_at" for entity in ("users", "products", "orders", "order_items")
    }
    assert {name for name, origin in declared.items() if origin is Origin.CONSTANT} == {
        "ltv_backtest.method",
        "ltv_backtest.is_baseline",
        "ltv_backtest.horizon_days",
        "customer_tier_analytics.customer_tier",
    }


def test_every_raw_column_comes_from_a_file_or_says_what_makes_it(lineage: Lineage) -> None:
    raw = [column for column in lineage.made_of if column.place == Place.RAW]
    assert raw
    ends = {column: [each for each in (column, *lineage.below(column)) if not lineage.made_of[each]] for column in raw}
    loose = [str(column) for column, found in ends.items() for end in found if not _is_end(lineage, end)]
    assert loose == []


def _is_end(lineage: Lineage, end: ColumnId) -> bool:
    return end.place == Place.LANDING or bool(lineage.origins.get(end))


def test_every_column_a_model_selects_is_described_and_no_other(
    models: tuple[CompiledModel, ...], lineage: Lineage
) -> None:
    selected: dict[str, set[str]] = {}
    for column in lineage.made_of:
        if column.place not in NOT_MODELS:
            selected.setdefault(column.table, set()).add(column.column)
    assert {model.name: set(model.columns) for model in models} == selected


def test_the_command_prints_the_chain_down_to_the_file(manifest_path: Path) -> None:
    assert _told(manifest_path, "fct_order_lines.line_total") == CHAIN_BY_HAND


def test_the_command_prints_what_is_made_of_a_column(manifest_path: Path) -> None:
    lines = _told(manifest_path, "raw.users.email", "--uses").split("\n")
    assert lines[:3] == ["raw.users.email", "  base.base_users.email", "    staging.stg_users.email"]
    assert "        marts.customer_analytics.email" in lines
    assert not [line for line in lines if "fct_order_lines" in line]


def test_the_document_has_every_step_and_both_ends(manifest_path: Path) -> None:
    (found,) = json.loads(_told(manifest_path, "marts.daily_business_metrics.total_revenue", "--json"))
    assert found["column"] == "marts.daily_business_metrics.total_revenue"
    assert found["steps"][0]["made_of"] == ["staging.stg_orders.is_counted", "staging.stg_orders.total_amount"]
    assert found["raw_columns"] == [STATUS, AMOUNT]
    assert found["landing_columns"] == ["cdc/orders/*.status", "cdc/orders/*.total_amount"]
    assert found["origins"] == {}
    assert found["used_by"] == []


def test_a_clock_column_says_so(manifest_path: Path) -> None:
    assert _told(manifest_path, "users_enhanced.processed_at") == (
        "enhanced.users_enhanced.processed_at <- the `as_of` of the refresh\n"
    )


def test_a_prediction_leads_through_the_fit_to_the_lines_that_were_sold(lineage: Lineage) -> None:
    (column,) = lineage.find("customer_analytics.predicted_ltv")
    below = {str(each) for each in lineage.below(column)}
    assert {
        "ops.ltv_prediction.expected_spend",
        "marts.fct_order_lines.line_total",
        "raw.order_items.unit_price",
    } <= below


def test_an_unknown_column_is_a_clear_error(manifest_path: Path) -> None:
    done = CliRunner().invoke(app, ["lineage", "inventory.colour", "--manifest", str(manifest_path)])
    assert done.exit_code == 1
    assert "no column is named 'inventory.colour'; it has avg_daily_demand" in done.output + done.stderr
