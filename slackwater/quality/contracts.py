"""The contract files in `soda/contracts`: which there are, what severity each check has, which rows would break it.

The verifier reads the same files for itself; this module reads only what the gate adds: severity, owner, remedy and
what finds the failing rows. No SQL is run here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from slackwater.errors import ConfigurationError
from slackwater.naming import ENTITIES
from slackwater.quality.results import Layer, Severity
from slackwater.yaml_text import load_yaml

CONTRACTS_DIR = Path(__file__).resolve().parents[2] / "soda" / "contracts"
"""The contracts of this checkout; they are data, not a package, and lie beside `slackwater/`."""

STAGING_PREFIX = "STG_"


@dataclass(frozen=True)
class Rule:
    """What the gate knows of one check.

    Attributes:
        severity: What a failure does to the refresh.
        failing_condition: SQL condition that is true for the rows that break the rule; empty when the check is about
            the dataset as a whole and no single row breaks it, or when `failing_query` finds them.
        failing_query: Query of the rows that break the rule, with the dataset's key; empty when a condition does.
        owner: Who acts on a failure; empty when the file does not say.
        remedy: What they do; likewise.
    """

    severity: Severity
    failing_condition: str
    failing_query: str = ""
    owner: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Contract:
    """One contract file.

    Attributes:
        path: The file.
        layer: From the folder it lies in.
        schema: Upper case.
        table: Upper case.
        row_filter: Filter of the rows that are checked, with its variables unresolved; empty for all rows.
        variables: Names of the variables the file declares.
        rules: Per place of a check in the file, as the verifier names it.
    """

    path: Path
    layer: Layer
    schema: str
    table: str
    row_filter: str
    variables: tuple[str, ...]
    rules: Mapping[str, Rule]

    @property
    def dataset(self) -> str:
        """Return `SCHEMA.TABLE`."""
        return f"{self.schema}.{self.table}"


class _Threshold(BaseModel):
    model_config = ConfigDict(extra="ignore")
    level: str = "fail"


class _Attributes(BaseModel):
    model_config = ConfigDict(extra="forbid")
    owner: str = ""
    remedy: str = ""


class _Check(BaseModel):
    model_config = ConfigDict(extra="ignore")
    qualifier: str | None = None
    expression: str = ""
    query: str = ""
    attributes: _Attributes = _Attributes()
    threshold: _Threshold = _Threshold()


class _Column(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    checks: list[dict[str, _Check]] = []


class _ContractFile(BaseModel):
    model_config = ConfigDict(extra="ignore")
    dataset: str = Field(pattern=r"^[^/]+/[^/]+/[^/]+/[^/]+$")
    filter: str = ""
    variables: dict[str, object] = {}
    check_attributes: _Attributes = _Attributes()
    columns: list[_Column]
    checks: list[dict[str, _Check]]


def load_contracts(folder: Path = CONTRACTS_DIR) -> tuple[Contract, ...]:
    """Read every contract below `raw/`, `staging/` and `marts/`.

    Returns:
        The contracts by layer in the order data passes through, then by file name.

    Raises:
        ConfigurationError: A layer has no contract.
    """
    contracts: list[Contract] = []
    for layer in Layer:
        found = [_read(path, layer) for path in sorted((folder / layer.value).glob("*.yml"))]
        if not found:
            raise ConfigurationError(f"no contract below {folder / layer.value}")
        contracts += found
    return tuple(contracts)


def entity_of_dataset(table: str) -> str:
    """Return the entity whose keys a raw, base or staging table holds, empty for any other table."""
    name = table.upper().removeprefix(STAGING_PREFIX).removeprefix("BASE_").removesuffix("_ENHANCED").lower()
    return name if name in ENTITIES else ""


def _read(path: Path, layer: Layer) -> Contract:
    file = _ContractFile.model_validate(load_yaml(path.read_text(encoding="utf-8")))
    _, _, schema, table = file.dataset.split("/")
    return Contract(
        path=path,
        layer=layer,
        schema=schema,
        table=table,
        row_filter=file.filter,
        variables=tuple(file.variables),
        rules=dict(_rules(file)),
    )


def _rules(file: _ContractFile) -> Iterator[tuple[str, Rule]]:
    for column in file.columns:
        for kind, check in _each(column.checks):
            condition = f"{column.name} is null" if kind == "missing" else ""
            yield _place(f"columns.{column.name}.checks.{kind}", check), _rule(file, check, condition)
    for kind, check in _each(file.checks):
        names_rows = kind == "failed_rows"
        rule = _rule(file, check, check.expression if names_rows else "")
        yield _place(f"checks.{kind}", check), replace(rule, failing_query=check.query.strip() if names_rows else "")


def _rule(file: _ContractFile, check: _Check, condition: str) -> Rule:
    return Rule(
        severity=Severity.WARN if check.threshold.level == "warn" else Severity.ERROR,
        failing_condition=condition,
        owner=check.attributes.owner or file.check_attributes.owner,
        remedy=check.attributes.remedy or file.check_attributes.remedy,
    )


def _each(checks: list[dict[str, _Check]]) -> Iterator[tuple[str, _Check]]:
    for entry in checks:
        yield from entry.items()


def _place(path: str, check: _Check) -> str:
    return f"{path}.{check.qualifier}" if check.qualifier else path
