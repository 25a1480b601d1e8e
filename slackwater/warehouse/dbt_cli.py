"""The commands of the dbt project and what its results say. Pure: running dbt is the caller's.

`dbt run` builds `STAGING` and `CANDIDATE`, `dbt test` judges them; each leaves a `run_results.json` in the target
folder. A failed test's compiled SQL is kept, so that the failing keys can be selected without storing every failure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slackwater.errors import ConfigurationError, TerminalError
from slackwater.settings import ProjectSettings
from slackwater.yaml_text import load_yaml

RUN_RESULTS = "run_results.json"

REFRESH_VARIABLE = "SLACKWATER_DBT_REFRESH"
"""Environment variable with what a refresh is frozen with; as `--vars` dbt would parse the project for each refresh."""

FrozenValue = str | int | list[str]

DBT_ENVIRONMENT: Mapping[str, str] = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
"""Of every command's environment: without them dbt stalls where there is no internet."""


@dataclass(frozen=True)
class DbtCommand:
    """One command of dbt: its arguments, and what its environment has besides the warehouse's settings."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def selecting(self, *nodes: str) -> "DbtCommand":
        """Return the command for some nodes only."""
        return replace(self, arguments=(*self.arguments, "--select", *nodes))


class NodeOutcome(StrEnum):
    """What became of one model or test."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


_OUTCOMES = {
    "success": NodeOutcome.PASSED,
    "pass": NodeOutcome.PASSED,
    "no-op": NodeOutcome.PASSED,
    "warn": NodeOutcome.WARNED,
    "fail": NodeOutcome.FAILED,
    "error": NodeOutcome.ERROR,
    "runtime error": NodeOutcome.ERROR,
    "partial success": NodeOutcome.ERROR,
    "skipped": NodeOutcome.SKIPPED,
}


@dataclass(frozen=True)
class NodeResult:
    """One model or test of one dbt invocation.

    Attributes:
        unique_id: dbt's id, such as `test.slackwater.unique_stg_orders_id.0a1b`.
        kind: `model`, `test` or `unit_test`.
        name: Name without project and hash.
        outcome: What became of it; one that dbt did not evaluate is `skipped`, never missing.
        failures: Failing rows of a test, None for models and for what did not run.
        seconds: How long it took.
        message: dbt's message, empty when it has none.
        compiled_sql: The SQL that ran; of a test, a select of its failing rows. None for what did not run.
        table: `SCHEMA.TABLE` of a model, upper case; empty for what is none.
        rows_affected: Rows the model's last statement wrote, as the warehouse told dbt; None when it did not.
    """

    unique_id: str
    kind: str
    name: str
    outcome: NodeOutcome
    failures: int | None
    seconds: float
    message: str
    compiled_sql: str | None
    table: str = ""
    rows_affected: int | None = None


@dataclass(frozen=True)
class Invocation:
    """One run of dbt; its id is in dbt's logs and on the queries dbt sends."""

    invocation_id: str
    ended_at: datetime


def project_number(name: str, *, project_dir: Path | None = None) -> int:
    """Return a whole number that `dbt_project.yml` declares among its variables.

    Raises:
        ConfigurationError: It declares none of that name.
    """
    path = (project_dir or ProjectSettings().dbt_dir) / "dbt_project.yml"
    value = load_yaml(path.read_text(encoding="utf-8"))["vars"].get(name)
    if not isinstance(value, int):
        raise ConfigurationError(f"{path}: the variable {name} is {value!r}, expected a whole number")
    return value


def run_command(
    frozen: Mapping[str, FrozenValue], *, target_dir: Path, project_dir: Path | None = None, is_full: bool = False
) -> DbtCommand:
    """Return `dbt run` for one refresh.

    Args:
        frozen: From `slackwater.warehouse.refresh.frozen_values`.
        target_dir: Where results, compiled SQL and logs go; outside the project.
        project_dir: Folder of `dbt_project.yml` and `profiles.yml`; the checkout's or image's by default.
        is_full: Rebuild every table instead of the touched rows.
    """
    extra = ("--full-refresh",) if is_full else ()
    return _command("run", *extra, frozen=frozen, target_dir=target_dir, project_dir=project_dir)


def data_test_command(
    frozen: Mapping[str, FrozenValue], *, target_dir: Path, project_dir: Path | None = None
) -> DbtCommand:
    """Return `dbt test` over the built tables; the models' unit tests are the project's own tests."""
    chosen = ("--exclude-resource-type", "unit_test")
    return _command("test", *chosen, frozen=frozen, target_dir=target_dir, project_dir=project_dir)


def unit_test_command(
    frozen: Mapping[str, FrozenValue], *, target_dir: Path, project_dir: Path | None = None
) -> DbtCommand:
    """Return `dbt test` for the models' unit tests alone; the tables must have been built once."""
    chosen = ("--resource-type", "unit_test")
    return _command("test", *chosen, frozen=frozen, target_dir=target_dir, project_dir=project_dir)


def docs_command(*, target_dir: Path, project_dir: Path | None = None) -> DbtCommand:
    """Return `dbt docs generate`, with the SQL of whole tables."""
    return _command("docs", "generate", *_WHOLE_TABLES, target_dir=target_dir, project_dir=project_dir)


def compile_command(*, target_dir: Path, project_dir: Path | None = None) -> DbtCommand:
    """Return `dbt compile` of whole tables, for which no warehouse is asked."""
    offline = ("--no-populate-cache", "--no-introspect")
    return _command("compile", *offline, *_WHOLE_TABLES, target_dir=target_dir, project_dir=project_dir)


_WHOLE_TABLES = ("--vars", json.dumps({"whole_tables": True}))


def _command(
    *words: str,
    frozen: Mapping[str, FrozenValue] | None = None,
    target_dir: Path,
    project_dir: Path | None,
) -> DbtCommand:
    target, project = target_dir.resolve(), project_dir or ProjectSettings().dbt_dir
    arguments = (
        *words,
        "--project-dir",
        str(project),
        "--profiles-dir",
        str(project),
        "--target-path",
        str(target),
        "--log-path",
        str(target / "logs"),
        "--log-level-file",  # with every step of a statement a day's build took 10.3 instead of 9.2 s (2026-11-29)
        "info",
    )
    told = {} if frozen is None else {REFRESH_VARIABLE: json.dumps(dict(frozen), sort_keys=True)}
    return DbtCommand(arguments, {**DBT_ENVIRONMENT, **told})


class _Adapter(BaseModel):
    model_config = ConfigDict(extra="ignore")
    rows_affected: int | None = None


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore")
    unique_id: str
    status: str
    failures: int | None = None
    execution_time: float = 0.0
    message: str | None = None
    compiled_code: str | None = None
    relation_name: str | None = None
    adapter_response: _Adapter = _Adapter()


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore")
    invocation_id: str
    generated_at: datetime


class _RunResults(BaseModel):
    model_config = ConfigDict(extra="ignore")
    results: list[_Node]


class _RunHead(BaseModel):
    model_config = ConfigDict(extra="ignore")
    metadata: _Metadata


def read_run_results(path: Path) -> tuple[NodeResult, ...]:
    """Read what a dbt invocation did.

    Args:
        path: A `run_results.json`.

    Returns:
        One result per node, in dbt's order.

    Raises:
        TerminalError: The file is missing or is not a result of dbt: the invocation did not get as far as its nodes.
    """
    try:
        parsed = _RunResults.model_validate_json(path.read_bytes())
    except FileNotFoundError as exc:
        raise TerminalError(f"{path} is missing: dbt stopped before it ran a node; see logs/dbt.log beside it") from exc
    except ValidationError as exc:
        raise TerminalError(f"{path} is not a result file of dbt: {exc.error_count()} problems") from exc
    return tuple(_result(node) for node in parsed.results)


def read_invocation(path: Path) -> Invocation:
    """Read which invocation of dbt wrote a `run_results.json`.

    Raises:
        TerminalError: The file is missing or is not a result of dbt.
    """
    try:
        found = _RunHead.model_validate_json(path.read_bytes()).metadata
    except (FileNotFoundError, ValidationError) as exc:
        raise TerminalError(f"{path} does not say which invocation of dbt wrote it") from exc
    return Invocation(found.invocation_id, found.generated_at)


def _result(node: _Node) -> NodeResult:
    kind, _, name = node.unique_id.partition(".")
    parts = name.split(".")
    return NodeResult(
        unique_id=node.unique_id,
        kind=kind,
        name=".".join(parts[1:2]) if kind != "unit_test" else ".".join(parts[1:]),
        outcome=_OUTCOMES.get(node.status, NodeOutcome.ERROR),
        failures=node.failures,
        seconds=node.execution_time,
        message=node.message or "",
        compiled_sql=node.compiled_code,
        table=_table(node.relation_name or "") if kind == "model" else "",
        rows_affected=node.adapter_response.rows_affected,
    )


def _table(relation: str) -> str:
    """Return `SCHEMA.TABLE` of a relation's full name."""
    return ".".join(relation.replace('"', "").upper().split(".")[-2:])
