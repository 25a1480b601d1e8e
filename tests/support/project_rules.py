"""The rules of dbt-project-evaluator over a dbt project, and our own of descriptions.

Each rule takes a project and returns what breaks it. Names follow the package, without its `fct_`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from project_graph import Column, Node, Project

LEAF_CHILDREN_MAX = 3
PARENTS_MAX = 6
VIEWS_IN_A_ROW_MAX = 5

PARENT_LAYERS: Mapping[str, set[str]] = {
    "base": {"source"},
    "history": {"source"},
    "staging": {"base"},
    "intermediate": {"staging", "history", "intermediate"},
    "enhanced": {"staging", "history", "intermediate"},
    "marts": {"staging", "history", "intermediate", "enhanced", "marts"},
}
"""Layers that a layer may read."""

NAMES: Mapping[str, str] = {
    "base": r"base_\w+",
    "staging": r"stg_\w+",
    "history": r"hist_\w+",
    "intermediate": r"int_\w+",
    "enhanced": r"\w+_enhanced",
    "marts": r"(?!(?:base|stg|hist|int)_)\w+(?<!_enhanced)",
}
"""A model's name by its layer; marts have the names the business gave them."""

UNITS: tuple[tuple[str, str], ...] = (
    (r"_id$|^id$|_rank(_|$)", r"."),
    (r"_rate$", r"0 to 1"),
    (r"_at$|^last_updated$|^__source_ts_ms$|_date$|^date$|_month$|^month_start$|^valid_(from|to)$", r"UTC"),
    (r"(^|_)(days|seconds|months)(_|$)", r"days|seconds|months"),
    (
        r"(^|_)(price(?!_tier)|amount|revenue|spend|spent|ltv|lifetime_value|order_value|line_total|lines_total|error)(_|$)",
        r"currency",
    ),
    (
        r"(^|_)(orders|customers|units|quantity|items|stock|demand|count|products|reached|cancelled)(_|$)",
        r"orders|customers|units|lines|products|times",
    ),
)
"""What a column's name says it measures, and what its description has to say then; the first that fits counts."""

TYPES_WITHOUT_UNIT = ("varchar", "boolean")
NAMES_WITHOUT_UNIT = ("is_", "has_")

HARD_CODED = re.compile(r"(?<!distinct )\b(?:from|join)\s+(\w+\.[\w.]+)", re.IGNORECASE)


def _edges_to_another_layer(project: Project, layers: set[str], parent_layers: set[str]) -> Iterator[str]:
    for model in project.models:
        for parent in model.parents:
            if model.layer in layers and project.nodes[parent].layer in parent_layers:
                yield f"{parent} -> {model.name}"


def _source_parents(project: Project, model: Node) -> list[str]:
    return [parent for parent in model.parents if project.nodes[parent].layer == "source"]


def _views_above(project: Project, name: str) -> int:
    node = project.nodes[name]
    is_view = node.materialized in ("view", "ephemeral")
    return 1 + max((_views_above(project, parent) for parent in node.parents), default=0) if is_view else 0


def _rejoined(project: Project) -> Iterator[str]:
    for model in project.models:
        for between in model.parents:
            if project.children(between) == (model.name,):
                shared = set(project.nodes[between].parents) & set(model.parents)
                yield from (f"{parent} -> {between} -> {model.name}" for parent in shared)


def _duplicate_sources(project: Project) -> Iterator[str]:
    relations = [source.relation.lower() for source in project.sources]
    return (source.name for source in project.sources if relations.count(source.relation.lower()) > 1)


def _has_key_test(model: Node) -> bool:
    return "unique_key" in model.tests or any({"unique", "not_null"} <= column.tests for column in model.columns)


def _expected_unit(column: Column) -> str:
    """Return what the description has to match; empty for a text or flag, and where the name says nothing."""
    if column.data_type.startswith(TYPES_WITHOUT_UNIT) or column.name.startswith(NAMES_WITHOUT_UNIT):
        return ""
    return next((words for name, words in UNITS if re.search(name, column.name)), "")


def _without_unit(project: Project) -> Iterator[str]:
    for model in project.models:
        for column in model.columns:
            wanted = _expected_unit(column)
            is_unknown_number = not wanted and column.data_type.startswith("number")
            if is_unknown_number or (wanted and not re.search(wanted, column.description, re.IGNORECASE)):
                yield f"{model.name}.{column.name}"


def _is_beside(model: Node) -> bool:
    return PurePosixPath(model.described_in) == PurePosixPath(model.path).with_suffix(".yml")


Rule = Callable[[Project], Iterator[str]]

RULES: Mapping[str, Rule] = {
    "staging_dependent_on_staging": lambda p: _edges_to_another_layer(
        p, {"base", "history", "staging"}, {"history", "staging"}
    ),
    "staging_dependent_on_marts_or_intermediate": lambda p: _edges_to_another_layer(
        p, {"base", "history", "staging"}, {"intermediate", "enhanced", "marts"}
    ),
    "marts_or_intermediate_dependent_on_source": lambda p: _edges_to_another_layer(
        p, {"staging", "intermediate", "enhanced", "marts"}, {"source"}
    ),
    "layers_read_what_they_may": lambda p: (
        f"{parent} -> {m.name}"
        for m in p.models
        for parent in m.parents
        if p.nodes[parent].layer not in PARENT_LAYERS.get(m.layer, set())
    ),
    "source_fanout": lambda p: (s.name for s in p.sources if len(p.children(s.name)) > 1),
    "model_fanout": lambda p: (
        n.name for n in p.models if sum(not p.children(c) for c in p.children(n.name)) > LEAF_CHILDREN_MAX
    ),
    "rejoining_of_upstream_concepts": _rejoined,
    "direct_join_to_source": lambda p: (m.name for m in p.models if 0 < len(_source_parents(p, m)) < len(m.parents)),
    "multiple_sources_joined": lambda p: (m.name for m in p.models if len(_source_parents(p, m)) > 1),
    "duplicate_sources": _duplicate_sources,
    "hard_coded_references": lambda p: (f"{m.name}: {found}" for m in p.models for found in HARD_CODED.findall(m.sql)),
    "root_models": lambda p: (m.name for m in p.models if not m.parents),
    "unused_sources": lambda p: (s.name for s in p.sources if not p.children(s.name)),
    "too_many_joins": lambda p: (m.name for m in p.models if len(m.parents) > PARENTS_MAX),
    "missing_primary_key_tests": lambda p: (m.name for m in p.models if not _has_key_test(m)),
    "test_coverage": lambda p: (m.name for m in p.models if not (m.tests or any(c.tests for c in m.columns))),
    "undocumented_models": lambda p: (m.name for m in p.models if not m.description.startswith("One row per ")),
    "undocumented_columns": lambda p: (
        f"{m.name}.{c.name}" for m in p.models for c in m.columns if not c.description.strip()
    ),
    "columns_without_unit": _without_unit,
    "undocumented_source_tables": lambda p: (s.name for s in p.sources if not s.description.strip()),
    "undocumented_sources": lambda p: (s.name for s in p.sources if not s.source_description.strip()),
    "test_directories": lambda p: (m.name for m in p.models if not _is_beside(m)),
    "model_naming_conventions": lambda p: (
        m.name for m in p.models if not re.fullmatch(NAMES.get(m.layer, ""), m.name)
    ),
    "model_directories": lambda p: (m.path for m in p.models if PurePosixPath(m.path).parts[1:-1] != (m.layer,)),
    "chained_views_dependencies": lambda p: (m.name for m in p.models if _views_above(p, m.name) > VIEWS_IN_A_ROW_MAX),
    "nothing_is_exposed_or_public": lambda p: iter([*p.exposures, *(m.name for m in p.models if m.access == "public")]),
}
"""By name; the package's `documentation_coverage` is the two rules of models and columns."""
