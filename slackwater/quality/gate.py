"""The gate: verifies the contracts, joins dbt's test results, decides, stores and reports.

The only door to MARTS: a refresh is published when `run_gate` says so. It changes no data but OPS.CHECK_RESULTS,
OPS.CHECK_FAILURES and the report files. The decision itself is pure (`verdict.py`). Freshness is not looked at here: it
alerts and never gates, because a gate on freshness would block its own cure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from slackwater.clients.snowflake import Warehouse
from slackwater.errors import TerminalError
from slackwater.naming import ENTITIES
from slackwater.quality.acceptances import read_acceptances
from slackwater.quality.contracts import CONTRACTS_DIR, Contract, Rule, load_contracts
from slackwater.quality.dbt_results import DbtResult, read_dbt_results
from slackwater.quality.failing_rows import Sampler, keys_of_marts, layer_of_schema
from slackwater.quality.history import HISTORY_SCANS
from slackwater.quality.report import write_reports
from slackwater.quality.results import CheckResult, FailingRow, GateVerdict, Layer, Outcome, Severity
from slackwater.quality.scanner import ContractScanner, ScannedCheck
from slackwater.quality.stored import read_scans, store_verdict
from slackwater.quality.verdict import decide_verdict, with_acceptances
from slackwater.settings import WarehouseSettings
from slackwater.warehouse.marts import load_marts

LAYERS = tuple(Layer)

NO_RULE = Rule(Severity.ERROR, "")


def run_gate(
    refresh_id: str,
    *,
    warehouse_settings: WarehouseSettings,
    dbt_run_results: Path,
    reports_dir: Path,
    contracts_dir: Path = CONTRACTS_DIR,
    scanner: ContractScanner | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> GateVerdict:
    """Judge a refresh whose candidate models are built and whose dbt tests have run.

    A second call judges again and replaces stored results and reports of the same refresh.

    Args:
        refresh_id: The refresh; its bounds are read from OPS.REFRESH_BOUND.
        warehouse_settings: The warehouse.
        dbt_run_results: `run_results.json` of `dbt test`, `manifest.json` beside it.
        reports_dir: Reports are written below `scans/` in it.
        contracts_dir: Folder with `raw/`, `staging/` and `marts/`.
        scanner: Verifies a contract; Soda when not given.
        clock: Returns the present moment in UTC.

    Returns:
        The verdict with every check, by layer, dataset and name. Rejection is a result here, not an exception.

    Raises:
        WarehouseUnavailable: The warehouse did not answer.
        ConfigurationError: Contracts or dbt's results are missing, or the refresh has no bounds.
    """
    with Warehouse(warehouse_settings, query_tag=refresh_id) as warehouse:
        bounds = _read_bounds(warehouse, refresh_id)
        sampler = Sampler(warehouse, bounds, keys_of_marts(load_marts()))
        now = clock()
        variables = {"DATABASE": warehouse_settings.database.upper()} | {
            f"{entity.upper()}_BOUND": str(bounds.get(entity, 0)) for entity in ENTITIES
        }
        contracts = load_contracts(contracts_dir)
        checks = [
            *_verify(contracts, warehouse_settings, refresh_id, scanner, sampler, variables),
            *(_from_dbt(test, sampler) for test in read_dbt_results(dbt_run_results)),
        ]
        checks.sort(key=lambda check: (LAYERS.index(check.layer), check.dataset, check.name))
        ordered = with_acceptances(checks, read_acceptances(warehouse), today=now.astimezone(UTC).date())
        decision = decide_verdict(ordered)
        scans = reports_dir / "scans"
        verdict = GateVerdict(
            refresh_id=refresh_id,
            is_passed=decision.is_passed,
            reasons=decision.reasons,
            checks=ordered,
            checked_at=now,
            report_html=scans / f"{refresh_id}.html",
            report_json=scans / f"{refresh_id}.json",
        )
        store_verdict(warehouse, verdict)
        history = read_scans(warehouse, limit=HISTORY_SCANS)
    write_reports(verdict, history)
    return verdict


def _verify(
    contracts: Sequence[Contract],
    settings: WarehouseSettings,
    refresh_id: str,
    scanner: ContractScanner | None,
    sampler: Sampler,
    variables: Mapping[str, str],
) -> list[CheckResult]:
    if scanner is None:
        from slackwater.clients.soda import SodaScanner  # takes a second to import; not needed with another scanner

        with SodaScanner(settings, query_tag=refresh_id) as soda:
            return [check for each in contracts for check in _from_contract(each, soda, sampler, variables)]
    return [check for each in contracts for check in _from_contract(each, scanner, sampler, variables)]


def _from_contract(
    contract: Contract, scanner: ContractScanner, sampler: Sampler, variables: Mapping[str, str]
) -> Iterator[CheckResult]:
    """Yield every check of a contract; one that the verifier does not mention was not evaluated."""
    scan = scanner.verify(contract.path, variables={name: variables[name] for name in contract.variables})
    blank = CheckResult(
        name="",
        layer=contract.layer,
        dataset=contract.dataset,
        column="",
        outcome=Outcome.NOT_EVALUATED,
        severity=Severity.ERROR,
        measured="",
        threshold="",
        message="; ".join(scan.errors)[:1_000] or "the verifier gave no answer",
    )
    answered = {check.path for check in scan.checks}
    for path in contract.rules.keys() - answered:
        rule = contract.rules[path]
        yield replace(blank, name=path, severity=rule.severity, owner=rule.owner, remedy=rule.remedy)
    for check in scan.checks:
        yield _from_scan(check, contract, blank, sampler, variables)


def _from_scan(
    check: ScannedCheck, contract: Contract, blank: CheckResult, sampler: Sampler, variables: Mapping[str, str]
) -> CheckResult:
    rule = contract.rules.get(check.path, NO_RULE)
    result = replace(
        blank,
        name=check.name,
        column=check.column,
        outcome=check.outcome,
        severity=rule.severity,
        measured=check.measured,
        threshold=check.threshold,
        owner=rule.owner,
        remedy=rule.remedy,
    )
    if check.outcome is Outcome.PASSED:
        return replace(result, message="")
    if check.outcome is Outcome.NOT_EVALUATED:
        return result
    rows, note = _sampled(lambda: sampler.of_contract(contract, rule, variables=variables))
    message = f"measured {check.measured}, wanted {check.threshold}; {check.detail}{note}"
    return replace(result, message=message, failing_rows=rows)


def _from_dbt(test: DbtResult, sampler: Sampler) -> CheckResult:
    result = CheckResult(
        name=test.name,
        layer=layer_of_schema(test.schema),
        dataset=f"{test.schema}.{test.table}".strip("."),
        column=test.column,
        outcome=test.outcome,
        severity=test.severity,
        measured="" if test.failures is None else str(test.failures),
        threshold="= 0 failing rows",
        message=test.message,
        owner=test.owner,
        remedy=test.remedy,
    )
    if test.outcome not in (Outcome.FAILED, Outcome.WARNED):
        return result
    rows, note = _sampled(lambda: sampler.of_dbt_test(test))
    return replace(result, failing_rows=rows, message=result.message + note)


def _sampled(sample: Callable[[], tuple[FailingRow, ...]]) -> tuple[tuple[FailingRow, ...], str]:
    """Return the rows, or none and why: a failed look-up must not hide the verdict."""
    try:
        return sample(), ""
    except TerminalError as exc:
        return (), f" (failing rows could not be read: {exc})"


def _read_bounds(warehouse: Warehouse, refresh_id: str) -> dict[str, int]:
    rows = warehouse.query("select entity, bound from OPS.REFRESH_BOUND where refresh_id = ?", (refresh_id,))
    if not rows:
        raise TerminalError(f"refresh {refresh_id} has no bounds in OPS.REFRESH_BOUND; was it started?")
    return {str(entity): int(str(bound)) for entity, bound in rows}
