"""A dbt project as its manifest tells it: models and sources, what they read, how they are described and tested."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A described column; `data_type` is empty where there is no contract."""

    name: str
    description: str
    data_type: str
    tests: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Node:
    """A model or a source table."""

    name: str
    layer: str
    parents: tuple[str, ...]
    description: str
    columns: tuple[Column, ...] = ()
    tests: frozenset[str] = frozenset()
    materialized: str = "table"
    path: str = ""
    described_in: str = ""
    relation: str = ""
    source_description: str = ""
    sql: str = ""
    access: str = "protected"


@dataclass(frozen=True)
class Project:
    """All nodes by name, and the names of the exposures."""

    nodes: Mapping[str, Node]
    exposures: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[Node, ...]:
        """Return the nodes that are no sources."""
        return tuple(node for node in self.nodes.values() if node.layer != "source")

    @property
    def sources(self) -> tuple[Node, ...]:
        """Return the source tables."""
        return tuple(node for node in self.nodes.values() if node.layer == "source")

    def children(self, name: str) -> tuple[str, ...]:
        """Return the models that read a node."""
        return tuple(model.name for model in self.models if name in model.parents)


def read_project(manifest: Mapping[str, Any]) -> Project:
    """Read the models, sources, tests and exposures of a dbt manifest."""
    names = {key: _name(key) for key in [*manifest["nodes"], *manifest["sources"]]}
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    nodes = [_model(node, tests, names) for key, node in manifest["nodes"].items() if key.startswith("model.")]
    nodes += [_source(node) for node in manifest["sources"].values()]
    return Project({node.name: node for node in nodes}, tuple(manifest["exposures"]))


def _name(key: str) -> str:
    return key.split(".", 2)[2]


def _model(node: Mapping[str, Any], tests: list[Any], names: Mapping[str, str]) -> Node:
    own = [test for test in tests if test["attached_node"] == node["unique_id"]]
    columns = tuple(
        Column(
            column["name"],
            column["description"],
            column["data_type"] or "",
            frozenset(test["test_metadata"]["name"] for test in own if test["column_name"] == column["name"]),
        )
        for column in node["columns"].values()
    )
    return Node(
        name=node["name"],
        layer=node["fqn"][1],
        parents=tuple(names[key] for key in node["depends_on"]["nodes"]),
        description=node["description"],
        columns=columns,
        tests=frozenset(test["test_metadata"]["name"] for test in own if not test["column_name"]),
        materialized=node["config"]["materialized"],
        path=node["original_file_path"],
        described_in=(node["patch_path"] or "").partition("://")[2],
        relation=node["relation_name"],
        sql=node["raw_code"],
        access=node["access"],
    )


def _source(node: Mapping[str, Any]) -> Node:
    return Node(
        name=f"{node['source_name']}.{node['name']}",
        layer="source",
        parents=(),
        description=node["description"],
        relation=node["relation_name"],
        source_description=node["source_description"],
    )
