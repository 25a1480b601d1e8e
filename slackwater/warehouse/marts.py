"""The marts as their dbt contracts declare them: the one definition of their columns and keys.

Read from the yml beside each model in `dbt/models/marts`; the published tables and the comparison of a candidate with
what is published are derived from it. No SQL is run here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from slackwater.clients.snowflake import quote_identifier
from slackwater.errors import ConfigurationError
from slackwater.naming import SCHEMA_CANDIDATE, SCHEMA_MARTS
from slackwater.settings import ProjectSettings
from slackwater.yaml_text import load_yaml

PUBLICATION_COLUMN = "publication_id"
"""Last column of every published mart: the publication that wrote the row as it is now."""


WHOLE_SCOPE = "all"
"""Impact scope of a model of which every refresh touches every row."""


@dataclass(frozen=True)
class Mart:
    """One mart.

    Attributes:
        name: Table name in `CANDIDATE` and in `MARTS`, lower case.
        columns: Name and Snowflake type of every column, in order, without `publication_id`.
        key: Columns that identify a row; never null.
        impact: What the model declares of the rows a refresh touches, see `dbt/macros/impact.sql`; empty: all of them.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    impact: Mapping[str, str] = field(default_factory=dict)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Return the names of the mart's own columns in order."""
        return tuple(name for name, _ in self.columns)

    @property
    def candidate_table(self) -> str:
        """Return the quoted name of the unpublished table that dbt builds."""
        return quote_identifier(f"{SCHEMA_CANDIDATE}.{self.name}")

    @property
    def published_table(self) -> str:
        """Return the quoted name of the table readers see."""
        return quote_identifier(f"{SCHEMA_MARTS}.{self.name}")


class _Column(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    data_type: str


class _Meta(BaseModel):
    model_config = ConfigDict(extra="ignore")
    key: list[str] = Field(min_length=1)
    impact_scope: str
    impact_column: str | None = None
    impact_order_column: str | None = None
    impact_date_column: str | None = None

    @property
    def impact(self) -> dict[str, str]:
        """Return what is declared of touched rows; nothing for a mart that is built whole."""
        return {} if self.impact_scope == WHOLE_SCOPE else self.model_dump(exclude={"key"}, exclude_none=True)


class _Config(BaseModel):
    model_config = ConfigDict(extra="ignore")
    meta: _Meta


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    config: _Config
    columns: list[_Column] = Field(min_length=1)


class _ModelFile(BaseModel):
    model_config = ConfigDict(extra="ignore")
    models: list[_Model] = []


def load_marts(project_dir: Path | None = None) -> tuple[Mart, ...]:
    """Read every mart's contract.

    Args:
        project_dir: Folder that holds `dbt_project.yml`; the checkout's or image's by default.

    Returns:
        The marts in order of their names.

    Raises:
        ConfigurationError: There is no mart, or a key is not among the columns.
    """
    folder = (project_dir or ProjectSettings().dbt_dir) / "models" / "marts"
    marts = tuple(sorted(_read(folder), key=lambda mart: mart.name))
    if not marts:
        raise ConfigurationError(f"no mart is declared below {folder}")
    return marts


def _read(folder: Path) -> Iterator[Mart]:
    for path in sorted(folder.rglob("*.yml")):
        for model in _ModelFile.model_validate(load_yaml(path.read_text(encoding="utf-8"))).models:
            columns = tuple((column.name, column.data_type) for column in model.columns)
            missing = set(model.config.meta.key) - {name for name, _ in columns}
            if missing:
                raise ConfigurationError(f"{path}: key {sorted(missing)} is not among the columns of {model.name}")
            yield Mart(model.name, columns, tuple(model.config.meta.key), model.config.meta.impact)
