"""Soda 4: verifies data contracts on the warehouse. The only module that imports `soda_core`.

Soda 4 is licensed under the Elastic License 2.0: it may be used and passed on, but not offered to others as a managed
service. `slackwater.quality.scanner.ContractScanner` is all the project asks of it. Nothing is sent anywhere: no Soda
Cloud, and telemetry (on by default, and a stall of seconds without internet) is off.
"""

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import yaml

os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"  # read when soda_core is imported, so it has to be set above it

with warnings.catch_warnings():
    # Soda 4.28 warns of an unused class of its own (UNION_ALL) when it is imported.
    warnings.filterwarnings("ignore", message="Not fully supported for all datasources", category=DeprecationWarning)
    from soda_core.common.data_source_impl import DataSourceImpl
    from soda_core.common.exceptions import DataSourceConnectionException, SodaCoreException
    from soda_core.common.yaml import DataSourceYamlSource
    from soda_core.contracts import verify_contract_locally

from slackwater.clients.snowflake import connection_arguments
from slackwater.errors import ConfigurationError, WarehouseUnavailable
from slackwater.quality.results import Outcome
from slackwater.quality.scanner import ContractScan, ScannedCheck
from slackwater.settings import WarehouseSettings

DATA_SOURCE_NAME = "warehouse"
"""First part of every contract's `dataset`."""

OUTCOMES: Mapping[str, Outcome] = {
    "PASSED": Outcome.PASSED,
    "WARN": Outcome.WARNED,
    "FAILED": Outcome.FAILED,
    "NOT_EVALUATED": Outcome.NOT_EVALUATED,
    "EXCLUDED": Outcome.NOT_EVALUATED,
}

_COMPARISONS = {
    "must_be": "= {}",
    "must_not_be": "<> {}",
    "must_be_greater_than": "> {}",
    "must_be_greater_than_or_equal": ">= {}",
    "must_be_less_than": "< {}",
    "must_be_less_than_or_equal": "<= {}",
}


class _Threshold(Protocol):
    level: str


class _Check(Protocol):
    relative_path: str
    name: str | None
    column_name: str | None
    threshold: _Threshold | None
    warn_threshold: _Threshold | None


class _CheckResult(Protocol):
    check: _Check
    outcome: object
    threshold_value: float | int | None
    diagnostic_metric_values: Mapping[str, object] | None


class SodaScanner:
    """Verifies contracts over one warehouse session; a context manager that closes it.

    Args:
        settings: The warehouse.
        query_tag: Put on every statement, such as the refresh id.
    """

    def __init__(self, settings: WarehouseSettings, *, query_tag: str) -> None:
        logging.getLogger("soda").setLevel(logging.ERROR)
        self._source = DataSourceImpl.from_yaml_source(
            DataSourceYamlSource.from_str(_data_source_yaml(settings, query_tag))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._source.has_open_connection():
            self._source.close_connection()

    def verify(self, contract: Path, *, variables: Mapping[str, str]) -> ContractScan:
        """Run every check of the contract; see `ContractScanner.verify`."""
        try:
            if not self._source.has_open_connection():
                self._source.open_connection()
            session = verify_contract_locally(
                data_sources=[self._source], contract_file_path=str(contract), variables=dict(variables)
            )
        except DataSourceConnectionException as exc:
            raise WarehouseUnavailable(f"Soda cannot connect to the warehouse: {exc}") from exc
        except SodaCoreException as exc:
            raise ConfigurationError(f"Soda cannot read the contract {contract}: {exc}") from exc
        checks = tuple(
            _scanned(result)
            for verification in session.contract_verification_results
            for result in verification.check_results
        )
        return ContractScan(checks, tuple(str(error) for error in session.get_errors()))


def _scanned(result: _CheckResult) -> ScannedCheck:
    check = result.check
    thresholds = [_in_words(threshold) for threshold in (check.threshold, check.warn_threshold) if threshold]
    detail = ", ".join(f"{name} {value}" for name, value in (result.diagnostic_metric_values or {}).items())
    return ScannedCheck(
        path=check.relative_path,
        name=check.name or check.relative_path,
        column=check.column_name or "",
        outcome=OUTCOMES[str(getattr(result.outcome, "name", result.outcome))],
        measured="" if result.threshold_value is None else str(result.threshold_value),
        threshold="; ".join(thresholds),
        detail=detail,
    )


def _in_words(threshold: _Threshold) -> str:
    parts = [
        words.format(getattr(threshold, name))
        for name, words in _COMPARISONS.items()
        if getattr(threshold, name, None) is not None
    ]
    return f"{' and '.join(parts)} ({threshold.level})"


DRIVER_ONLY = ("autocommit", "paramstyle", "authenticator")
"""Arguments of the driver that Soda sets itself."""


def _data_source_yaml(settings: WarehouseSettings, query_tag: str) -> str:
    connection = connection_arguments(settings, query_tag)
    for name in DRIVER_ONLY:
        connection.pop(name, None)
    if settings.private_key_file:
        connection["private_key_path"] = connection.pop("private_key_file")
    return yaml.safe_dump({"type": "snowflake", "name": DATA_SOURCE_NAME, "connection": connection})
