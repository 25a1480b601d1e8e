"""What dbt's tests found, joined with what dbt's manifest knows of each test. No SQL is run.

`warehouse.dbt_cli` reads the results; this module adds the tested table and column, the kind, the severity, the owner
and the remedy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from slackwater.errors import TerminalError
from slackwater.quality.results import Outcome, Severity
from slackwater.warehouse.dbt_cli import NodeOutcome, NodeResult, read_run_results

OUTCOMES: Mapping[NodeOutcome, Outcome] = {
    NodeOutcome.PASSED: Outcome.PASSED,
    NodeOutcome.WARNED: Outcome.WARNED,
    NodeOutcome.FAILED: Outcome.FAILED,
    NodeOutcome.ERROR: Outcome.NOT_EVALUATED,
    NodeOutcome.SKIPPED: Outcome.NOT_EVALUATED,
}

NODES_THAT_ARE_CHECKS = frozenset({"test", "unit_test"})


@dataclass(frozen=True)
class DbtResult:
    """One test, or one model that could not be built.

    Attributes:
        name: Of the test, as dbt shows it.
        kind: Generic test (`unique`, `relationships` ...), `unit_test`, or empty for a singular test.
        schema: Of the tested model or source, upper case; empty when dbt does not say.
        table: Likewise.
        column: Tested column, upper case, empty for a test of the whole table.
        outcome: What became of it.
        severity: What a failure does.
        failures: Failing rows dbt counted, None when it counted none.
        message: dbt's message, empty when it passed.
        compiled_sql: The query whose rows are the failing ones, empty when dbt did not keep it.
        owner: Who acts on a failure, from the test's `config.meta`; empty when it does not say.
        remedy: What they do; likewise.
    """

    name: str
    kind: str
    schema: str
    table: str
    column: str
    outcome: Outcome
    severity: Severity
    failures: int | None
    message: str
    compiled_sql: str
    owner: str = ""
    remedy: str = ""


class _TestMetadata(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str


class _Meta(BaseModel):
    model_config = ConfigDict(extra="ignore")
    owner: str = ""
    remedy: str = ""


class _Config(BaseModel):
    model_config = ConfigDict(extra="ignore")
    severity: str | None = None
    meta: _Meta = _Meta()


class _DependsOn(BaseModel):
    model_config = ConfigDict(extra="ignore")
    nodes: list[str] = []


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore")
    resource_type: str
    name: str
    schema_: str = ""
    alias: str = ""
    identifier: str = ""
    column_name: str | None = None
    attached_node: str | None = None
    test_metadata: _TestMetadata | None = None
    config: _Config = _Config()
    depends_on: _DependsOn = _DependsOn()


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore")
    nodes: dict[str, dict[str, object]] = {}
    sources: dict[str, dict[str, object]] = {}
    unit_tests: dict[str, dict[str, object]] = {}

    def find(self, unique_id: str) -> _Node | None:
        found = self.nodes.get(unique_id) or self.sources.get(unique_id) or self.unit_tests.get(unique_id)
        return _Node.model_validate({**found, "schema_": found.get("schema") or ""}) if found else None


def read_dbt_results(run_results: Path) -> tuple[DbtResult, ...]:
    """Read a dbt invocation's results.

    Args:
        run_results: `run_results.json`; `manifest.json` of the same invocation lies beside it.

    Returns:
        Every test, and every other node that was not built, in dbt's order.

    Raises:
        TerminalError: One of the two files is missing or is not dbt's.
    """
    nodes = read_run_results(run_results)
    manifest = _Manifest.model_validate_json(_text(run_results.with_name("manifest.json")))
    read = (_result(node, manifest) for node in nodes)
    return tuple(result for result in read if result is not None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise TerminalError(f"{path} is missing; the gate needs what `dbt test` leaves behind") from exc


def _result(result: NodeResult, manifest: _Manifest) -> DbtResult | None:
    outcome = OUTCOMES[result.outcome]
    if result.kind not in NODES_THAT_ARE_CHECKS and outcome is Outcome.PASSED:
        return None
    node = manifest.find(result.unique_id)
    tested = _tested(node, manifest)
    is_warning = node is not None and (node.config.severity or "").lower() == "warn"
    return DbtResult(
        name=node.name if node else result.name,
        kind=node.test_metadata.name if node and node.test_metadata else ("" if result.kind == "test" else result.kind),
        schema=tested.schema_.upper() if tested else "",
        table=(tested.alias or tested.identifier or tested.name).upper() if tested else "",
        column=(node.column_name or "").upper() if node else "",
        outcome=outcome,
        severity=Severity.WARN if is_warning else Severity.ERROR,
        failures=result.failures,
        message="" if outcome is Outcome.PASSED else (result.message or result.outcome.value),
        compiled_sql=(result.compiled_sql or "").strip().rstrip(";"),
        owner=node.config.meta.owner if node else "",
        remedy=node.config.meta.remedy if node else "",
    )


def _tested(node: _Node | None, manifest: _Manifest) -> _Node | None:
    """Return the model or source a test is attached to, or the first it reads; a model is tested itself."""
    if node is None or node.resource_type not in NODES_THAT_ARE_CHECKS:
        return node
    candidates = [node.attached_node] if node.attached_node else node.depends_on.nodes
    found = (manifest.find(candidate) for candidate in candidates if candidate)
    return next((each for each in found if each is not None), None)
