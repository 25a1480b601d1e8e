"""What a gate run found: one frozen record per check, and the verdict over all of them.

Pure data. How a check is run is in `gate.py` (Soda) and `dbt_results.py` (dbt); what a verdict means in `verdict.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class Outcome(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    WARNED = "warned"  # bad rows, fewer than the check allows: flagged, published
    FAILED = "failed"
    NOT_EVALUATED = "not_evaluated"  # nobody knows; counts as a failure


class Severity(StrEnum):
    """What a failure of the check does to the refresh."""

    ERROR = "error"  # rejects it
    WARN = "warn"  # is shown


class Layer(StrEnum):
    """Where in the warehouse the checked rows lie, in the order data passes through."""

    RAW = "raw"
    STAGING = "staging"
    MARTS = "marts"


@dataclass(frozen=True, order=True)
class FailingRow:
    """One row that breaks a rule, and where it came from. Ids only, never a personal value.

    Attributes:
        key: The row's key as text; a date for marts that have one row per day.
        batch_id: Batch of the key's newest change, empty where a row has no single origin (marts).
        file_name: Landing key of the file that brought it, empty like `batch_id`.
    """

    key: str
    batch_id: str = ""
    file_name: str = ""


@dataclass(frozen=True)
class CheckResult:
    """One check of one gate run.

    Attributes:
        name: Unique within the layer and dataset.
        layer: Where the rows lie.
        dataset: `SCHEMA.TABLE`, upper case.
        column: Upper case, empty for a check of the whole dataset.
        outcome: What became of it.
        severity: What a failure does.
        measured: The number that was compared, as text; empty when nothing was measured.
        threshold: What the number has to satisfy, in words.
        message: One sentence for people.
        failing_rows: A limited sample of the rows that break the rule.
    """

    name: str
    layer: Layer
    dataset: str
    column: str
    outcome: Outcome
    severity: Severity
    measured: str
    threshold: str
    message: str
    failing_rows: tuple[FailingRow, ...] = ()

    @property
    def failing_keys(self) -> tuple[str, ...]:
        """Return the keys of the sampled failing rows."""
        return tuple(row.key for row in self.failing_rows)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the distinct files of the sampled failing rows, sorted."""
        return tuple(sorted({row.file_name for row in self.failing_rows if row.file_name}))

    @property
    def is_rejecting(self) -> bool:
        """Return whether this check alone rejects the refresh."""
        if self.outcome is Outcome.NOT_EVALUATED:
            return True
        return self.outcome is Outcome.FAILED and self.severity is Severity.ERROR


@dataclass(frozen=True)
class GateVerdict:
    """The gate's answer for one refresh and where its report lies."""

    refresh_id: str
    is_passed: bool
    reasons: tuple[str, ...]
    checks: tuple[CheckResult, ...]
    checked_at: datetime
    report_html: Path
    report_json: Path

    @property
    def rejecting_checks(self) -> tuple[CheckResult, ...]:
        """Return the checks that reject the refresh."""
        return tuple(check for check in self.checks if check.is_rejecting)
