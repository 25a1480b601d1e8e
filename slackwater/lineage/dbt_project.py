"""The models of a dbt manifest whose SQL is compiled: their tables, SQL, keys and declared origins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slackwater.errors import ConfigurationError


class Origin(StrEnum):
    """What `origins` in the meta of a model may say of a column."""

    CONSTANT = "constant"  # of the model
    CLOCK = "clock"  # the `as_of` of the refresh


@dataclass(frozen=True)
class CompiledModel:
    """One model.

    Attributes:
        name: Its name, which is its table's.
        place: Its folder: base, staging, marts ...
        schema: Schema of its table, lower case.
        sql: The select that makes the whole table, without Jinja.
        key: Columns that identify a row.
        columns: Described columns.
        origins: Columns that are made of no other, and what makes them, as the meta declares.
    """

    name: str
    place: str
    schema: str
    sql: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    origins: Mapping[str, Origin]


class _Meta(BaseModel):
    model_config = ConfigDict(extra="ignore")
    key: list[str] = []
    origins: dict[str, Origin] = {}


class _Config(BaseModel):
    model_config = ConfigDict(extra="ignore")
    meta: _Meta = _Meta()


class _DependsOn(BaseModel):
    model_config = ConfigDict(extra="ignore")
    nodes: list[str] = []


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    resource_type: str
    name: str
    fqn: list[str]
    schema_: str
    compiled_code: str | None = None
    config: _Config
    columns: dict[str, object] = {}
    depends_on: _DependsOn = _DependsOn()


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore")
    nodes: dict[str, dict[str, object]]


def read_models(manifest: Path) -> tuple[CompiledModel, ...]:
    """Read the models of a manifest; what a model reads comes before it.

    Raises:
        ConfigurationError: The file is no manifest, or its models were not compiled.
    """
    try:
        parsed = _Manifest.model_validate_json(manifest.read_bytes())
        nodes = {
            key: _Node.model_validate(node | {"schema_": node["schema"]})
            for key, node in parsed.nodes.items()
            if node["resource_type"] == "model"
        }
    except (FileNotFoundError, KeyError, ValidationError) as exc:
        raise ConfigurationError(f"{manifest} is not a manifest of dbt: {exc}") from exc
    return tuple(_model(nodes[key], manifest) for key in _in_order(nodes))


def _in_order(nodes: Mapping[str, _Node]) -> Iterator[str]:
    seen: set[str] = set()

    def visit(key: str) -> Iterator[str]:
        if key in nodes and key not in seen:
            seen.add(key)
            for parent in nodes[key].depends_on.nodes:
                yield from visit(parent)
            yield key

    for key in nodes:
        yield from visit(key)


def _model(node: _Node, manifest: Path) -> CompiledModel:
    if not node.compiled_code:
        raise ConfigurationError(f"{manifest}: {node.name} is not compiled; `dbt parse` is not enough")
    unknown = sorted(set(node.config.meta.origins) - set(node.columns))
    if unknown:
        raise ConfigurationError(f"{node.name}: its meta declares origins of columns it does not have: {unknown}")
    return CompiledModel(
        name=node.name,
        place=node.fqn[1],
        schema=node.schema_.lower(),
        sql=node.compiled_code,
        key=tuple(node.config.meta.key),
        columns=tuple(node.columns),
        origins=node.config.meta.origins,
    )
