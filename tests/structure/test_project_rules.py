"""The rules of dbt-project-evaluator hold for the dbt project; what departs from one is named here with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from project_graph import Column, Node, Project, read_project
from project_rules import RULES

PREDICTIONS = "made from the marts, not by the shop: no key has versions to choose from, no column is cast"

EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "source_fanout": dict.fromkeys(
        ("raw.orders", "raw.order_items", "raw.products"),
        "base has the newest version of a key, history what happened to it: both need every change",
    ),
    "unused_sources": {
        "ops.impact": "read where a table is built in parts, see macros/impact.sql",
        "ops.whole_marts": "written where a mart is built whole, see macros/materialize_impact.sql",
    },
    "marts_or_intermediate_dependent_on_source": {"ops.ltv_prediction -> int_ltv_predictions": PREDICTIONS},
    "layers_read_what_they_may": {"ops.ltv_prediction -> int_ltv_predictions": PREDICTIONS},
    "model_fanout": {
        "int_order_analytics": "the facts of an order, which most marts count; what they count differs",
        "stg_products": "a product's category decides what counts as an item, wherever lines are summed",
    },
    "rejoining_of_upstream_concepts": {
        "int_ltv_predictions -> ltv_backtest -> customer_analytics": "which method a tier shows is decided once, there",
        "int_order_analytics -> ltv_backtest -> customer_analytics": "likewise; the mart sums orders of its own",
        "int_order_analytics -> int_customer_metrics -> customer_analytics": "built in parts; the mart is not",
        "stg_products -> int_product_analytics -> products_enhanced": "a rank over all products, tested by itself",
    },
}
"""By rule what breaks it on purpose, and why. What no longer breaks it has to go."""


def _change(name: str, **changed: object) -> Callable[[Project], Project]:
    return lambda project: replace(project, nodes={**project.nodes, name: replace(project.nodes[name], **changed)})


def _read_also(name: str, *parents: str) -> Callable[[Project], Project]:
    return lambda project: _change(name, parents=(*project.nodes[name].parents, *parents))(project)


def _add(node: Node) -> Callable[[Project], Project]:
    return lambda project: replace(project, nodes={**project.nodes, node.name: node})


COPY = Node("raw.copy", "source", (), "One row.", relation="ECOMMERCE_DW.RAW.orders", source_description="Raw.")
LEAF = Node("one_more", "marts", ("stg_users",), "One row per customer.")
VIEWS = [
    Node(f"int_view_{n}", "intermediate", (f"int_view_{n - 1}" if n else "stg_users",), "", materialized="view")
    for n in range(6)
]
MANY = ("stg_orders", "stg_users", "stg_products", "stg_order_items", "hist_products", "hist_order_status")


def _chain(project: Project) -> Project:
    return replace(project, nodes={**project.nodes, **{view.name: view for view in VIEWS}})


PLANTED: Mapping[str, tuple[Callable[[Project], Project], str]] = {
    "staging_dependent_on_staging": (_read_also("stg_orders", "stg_users"), "stg_users -> stg_orders"),
    "staging_dependent_on_marts_or_intermediate": (
        _read_also("stg_users", "int_customer_tiers"),
        "int_customer_tiers -> stg_users",
    ),
    "marts_or_intermediate_dependent_on_source": (_read_also("inventory", "raw.products"), "raw.products -> inventory"),
    "layers_read_what_they_may": (_read_also("inventory", "base_products"), "base_products -> inventory"),
    "source_fanout": (_change("hist_products", parents=("raw.users",)), "raw.users"),
    "model_fanout": (_add(LEAF), "stg_users"),
    "rejoining_of_upstream_concepts": (
        _read_also("customer_analytics", "stg_users"),
        "stg_users -> users_enhanced -> customer_analytics",
    ),
    "direct_join_to_source": (_read_also("stg_users", "raw.users"), "stg_users"),
    "multiple_sources_joined": (_read_also("base_users", "raw.orders"), "base_users"),
    "duplicate_sources": (_add(COPY), "raw.copy"),
    "hard_coded_references": (
        _change("inventory", sql="select 1 from STAGING.STG_USERS"),
        "inventory: STAGING.STG_USERS",
    ),
    "root_models": (_change("inventory", parents=()), "inventory"),
    "unused_sources": (_change("base_users", parents=()), "raw.users"),
    "too_many_joins": (_change("inventory", parents=(*MANY, "base_users")), "inventory"),
    "missing_primary_key_tests": (
        _change("stg_users", columns=(Column("id", "Key.", "", frozenset({"unique"})),)),
        "stg_users",
    ),
    "test_coverage": (_change("inventory", tests=frozenset(), columns=()), "inventory"),
    "undocumented_models": (_change("inventory", description="All products."), "inventory"),
    "undocumented_columns": (_change("inventory", columns=(Column("stock", " ", ""),)), "inventory.stock"),
    "columns_without_unit": (
        _change("inventory", columns=(Column("days_of_cover", "How long it lasts.", "number(38,0)"),)),
        "inventory.days_of_cover",
    ),
    "undocumented_source_tables": (_change("raw.users", description=""), "raw.users"),
    "undocumented_sources": (_change("raw.users", source_description=""), "raw.users"),
    "test_directories": (_change("inventory", described_in="models/marts/all.yml"), "inventory"),
    "model_naming_conventions": (_change("inventory", layer="staging"), "inventory"),
    "model_directories": (_change("inventory", path="models/staging/inventory.sql"), "models/staging/inventory.sql"),
    "chained_views_dependencies": (_chain, "int_view_5"),
    "nothing_is_exposed_or_public": (_change("inventory", access="public"), "inventory"),
}
"""By rule a change of the project that breaks it, and what the rule has to find."""


@pytest.fixture(scope="session")
def project(manifest: dict[str, Any]) -> Project:
    return read_project(manifest)


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule_but_for_what_is_named(project: Project, rule: str) -> None:
    assert set(RULES[rule](project)) == set(EXCEPTIONS.get(rule, {}))


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_finds_what_breaks_it(project: Project, rule: str) -> None:
    plant, found = PLANTED[rule]
    assert found not in set(RULES[rule](project))
    assert found in set(RULES[rule](plant(project)))


@pytest.mark.parametrize(
    ("column", "is_fine"),
    [
        (Column("total_revenue", "Sum of amounts (shop's currency).", "number(18,2)"), True),
        (Column("total_revenue", "Sum of amounts.", "number(18,2)"), False),
        (Column("created_at", "Time of the order (UTC).", ""), True),
        (Column("created_at", "Time of the order.", ""), False),
        (Column("delivery_rate", "Delivered orders per order.", "number(18,4)"), False),
        (Column("total_orders", "All of them.", "number(38,0)"), False),
        (Column("magic", "A number of a kind nobody declared.", "number(38,0)"), False),
        (Column("price_tier", "budget, mid-range or premium.", "varchar"), True),
        (Column("is_in_stock", "More than nothing is there.", "boolean"), True),
    ],
    ids=lambda value: value.name if isinstance(value, Column) else str(value),
)
def test_a_number_or_time_says_its_unit(column: Column, is_fine: bool) -> None:
    alone = Project({"m": Node("m", "marts", (), "One row.", (column,))})
    assert (not set(RULES["columns_without_unit"](alone))) == is_fine
