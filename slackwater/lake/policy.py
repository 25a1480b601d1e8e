"""How the tables of the lake are kept: read from `slackwater/entities/lake_policy.yml`, every number bounded.

A rule belongs to a kind of table, and an entity may change single numbers of it. Nothing is decided here.
"""

from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from slackwater.errors import ConfigurationError
from slackwater.naming import ENTITIES, changelog_table, state_table
from slackwater.yaml_text import load_yaml

POLICY_FILE = "lake_policy.yml"
LONGEST_CLOSED_AFTER_HOURS = 72
"""Below the shortest retention of snapshots (three days): the time of a commit is known as long as its snapshot is."""


class TableKind(StrEnum):
    """The two tables of an entity; they differ in who writes them, and so in how they can be rewritten."""

    CHANGELOG = "changelog"
    STATE = "state"

    def table(self, entity: str) -> str:
        """Return the Iceberg identifier of an entity's table of this kind."""
        return changelog_table(entity) if self is TableKind.CHANGELOG else state_table(entity)


class TablePolicy(BaseModel):
    """When a partition is worth a rewrite, and what a rewrite makes of it.

    Attributes:
        target_file_bytes: Wanted size of a data file.
        min_inputs: Fewest small files worth a rewrite; a partition with deleted rows needs none.
        min_score: Least files removed and delete files cleared per GiB rewritten.
        budget_bytes_per_run: Most bytes rewritten by one run, data and delete files together.
        target_bytes_per_commit: About so much is rewritten, compared and committed together.
        closed_after_hours: A partition written to later than so long ago (by the commit) is left alone; 0 = no bound.
        is_sorted_by_key: Sort the rows of a partition by the entity's key; otherwise files are joined as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    target_file_bytes: int = Field(ge=2**20, le=2**30)
    min_inputs: int = Field(ge=2)
    min_score: float = Field(ge=0)
    budget_bytes_per_run: int = Field(ge=2**20)
    target_bytes_per_commit: int = Field(ge=2**20)
    closed_after_hours: float = Field(ge=0, le=LONGEST_CLOSED_AFTER_HOURS)
    is_sorted_by_key: bool


class LakePolicy(BaseModel):
    """The whole file: one rule per kind of table, and by entity and kind the numbers that differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tables: dict[TableKind, TablePolicy]
    entities: dict[str, dict[TableKind, dict[str, float | bool]]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := set(TableKind) - set(self.tables):
            raise ValueError(f"tables: no rule for {', '.join(sorted(missing))}")
        if unknown := set(self.entities) - set(ENTITIES):
            raise ValueError(f"entities: {', '.join(sorted(unknown))} is not one of {', '.join(ENTITIES)}")
        for entity in ENTITIES:
            for kind in TableKind:
                self.of_table(kind, entity)
        return self

    def of_table(self, kind: TableKind, entity: str, *, largest_file_bytes: int | None = None) -> TablePolicy:
        """Return the rule of one table.

        Args:
            kind: Which of the entity's tables.
            entity: The entity.
            largest_file_bytes: Bound of the target, such as `LakeSettings.target_file_bytes`; None: none.
        """
        rule = self.tables[kind].model_dump() | self.entities.get(entity, {}).get(kind, {})
        if largest_file_bytes is not None:
            rule["target_file_bytes"] = min(rule["target_file_bytes"], largest_file_bytes)
        return TablePolicy.model_validate(rule)


@cache
def load_policy() -> LakePolicy:
    """Read the policy file.

    Raises:
        ConfigurationError: It is not as this module says.
    """
    text = files("slackwater.entities").joinpath(POLICY_FILE).read_text(encoding="utf-8")
    return parse_policy(load_yaml(text))


def parse_policy(document: Any) -> LakePolicy:
    """Check a policy document; pure.

    Raises:
        ConfigurationError: A number is missing, out of range or contradicts another; the message names it.
    """
    try:
        return LakePolicy.model_validate(document)
    except ValidationError as exc:
        raise ConfigurationError(f"{POLICY_FILE}: {exc}") from exc
