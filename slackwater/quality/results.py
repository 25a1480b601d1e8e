"""What a gate run found: one frozen record per check, and the verdict over all of them.

Pure data. How a check is run is in `gate.py` (Soda) and `dbt_results.py` (dbt); what a verdict means in `verdict.py`.
"""

from dataclasses import dataclass
from datetime import date, datetime
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
class Acceptance:
    """A person's recorded decision that a failing check does not reject for a while.

    Attributes:
        acceptance_id: Its id in OPS.CHECK_ACCEPTANCE.
        dataset: Of the check, `SCHEMA.TABLE`.
        check_name: Name of the check within the dataset.
        refresh_id: The rejected refresh the person looked at.
        measured: What the check had measured there, as text.
        reason: Why it may be published.
        accepted_by: Who decided.
        accepted_at: When (UTC).
        expires_on: Last day (UTC) it counts.
    """

    acceptance_id: str
    dataset: str
    check_name: str
    refresh_id: str
    measured: str
    reason: str
    accepted_by: str
    accepted_at: datetime
    expires_on: date

    def __str__(self) -> str:
        """Return the decision as one line for people."""
        return (
            f"accepted by {self.accepted_by} on {self.accepted_at:%Y-%m-%d} at a measured {self.measured or 'failure'},"
            f" until {self.expires_on}: {self.reason}"
        )


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
        failing_rows: The rows that break the rule, in the order of their keys, the first of them when there are many.
        owner: Who acts on a failure.
        remedy: What they do.
        acceptance: The decision under which a failure does not reject, None without one.
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
    owner: str = ""
    remedy: str = ""
    acceptance: Acceptance | None = None

    @property
    def id(self) -> str:
        """Return the name of the check among all checks of a gate run."""
        return f"{self.dataset}: {self.name}"

    @property
    def failing_keys(self) -> tuple[str, ...]:
        """Return the keys of the failing rows."""
        return tuple(row.key for row in self.failing_rows)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the distinct files of the failing rows, sorted."""
        return tuple(sorted({row.file_name for row in self.failing_rows if row.file_name}))

    @property
    def is_rejecting(self) -> bool:
        """Return whether this check alone rejects the refresh."""
        if self.outcome is Outcome.NOT_EVALUATED:
            return True
        return self.outcome is Outcome.FAILED and self.severity is Severity.ERROR and self.acceptance is None


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

    @property
    def accepted_checks(self) -> tuple[CheckResult, ...]:
        """Return the failed checks that do not reject because a person accepted them."""
        return tuple(check for check in self.checks if check.acceptance is not None)

    @property
    def report_junit(self) -> Path:
        """Return where the report for test viewers lies."""
        return self.report_html.with_suffix(".xml")

    @property
    def report_index(self) -> Path:
        """Return where the page over all scans lies."""
        return self.report_html.with_name("index.html")
