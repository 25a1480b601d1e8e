"""The last scans side by side: one line per scan, one trend per check. Pure; `stored.read_scans` reads them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from slackwater.quality.results import CheckResult, Layer, Outcome, Severity
from slackwater.quality.stored import StoredScan
from slackwater.quality.verdict import decide_verdict

HISTORY_SCANS = 30

ACCEPTED = "accepted"
"""Tone of a failure that a person accepted; every other tone is the outcome's own word."""

ABSENT = ""
"""Tone of a scan that did not have the check."""

TONE_ORDER = (
    Outcome.FAILED.value,
    Outcome.NOT_EVALUATED.value,
    ACCEPTED,
    Outcome.WARNED.value,
    Outcome.PASSED.value,
)
"""Worst first."""


@dataclass(frozen=True)
class ScanLine:
    """One scan; `counts` is the number of checks per tone, worst first."""

    refresh_id: str
    checked_at: datetime
    is_passed: bool
    check_count: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Point:
    """One check in one scan.

    Attributes:
        tone: Outcome or `accepted`; empty when the scan did not have the check.
        measured: The compared number as text, empty when nothing was measured.
        value: The same as a number, None when it is none.
    """

    tone: str
    measured: str
    value: Decimal | None


@dataclass(frozen=True)
class Trend:
    """One check over the scans; `points` has one per scan, oldest first."""

    dataset: str
    name: str
    layer: Layer
    severity: Severity
    owner: str
    points: tuple[Point, ...]

    @property
    def trouble_count(self) -> int:
        """Return in how many scans the check did not pass."""
        return sum(point.tone not in {ABSENT, Outcome.PASSED.value} for point in self.points)

    @property
    def seen_count(self) -> int:
        """Return how many scans had the check."""
        return sum(point.tone != ABSENT for point in self.points)


@dataclass(frozen=True)
class History:
    """The last scans, newest first, and the checks of the newest ones, worst first."""

    scans: tuple[ScanLine, ...]
    trends: tuple[Trend, ...]


def build_history(scans: Sequence[StoredScan]) -> History:
    """Put scans side by side.

    Args:
        scans: Newest first; at least one.

    Returns:
        A trend for every check of any of the scans: those that fail now first, then by how often they did not pass.
    """
    by_check = [{(check.dataset, check.name): check for check in scan.checks} for scan in reversed(scans)]
    newest: dict[tuple[str, str], CheckResult] = {}
    for checks in by_check:
        newest.update(checks)
    trends = [
        Trend(
            dataset=check.dataset,
            name=check.name,
            layer=check.layer,
            severity=check.severity,
            owner=check.owner,
            points=tuple(_point(checks.get(key)) for checks in by_check),
        )
        for key, check in newest.items()
    ]
    trends.sort(key=lambda one: (_rank(one.points[-1].tone), -one.trouble_count, one.dataset, one.name))
    return History(tuple(_line(scan) for scan in scans), tuple(trends))


def tone_of(check: CheckResult) -> str:
    """Return what a check is shown as: its outcome, or that its failure was accepted."""
    return ACCEPTED if check.acceptance is not None else check.outcome.value


def tone_counts(checks: Sequence[CheckResult]) -> dict[str, int]:
    """Return how many checks are shown as what, worst first, tones without a check left out."""
    counted = Counter(tone_of(check) for check in checks)
    return {tone: counted[tone] for tone in TONE_ORDER if counted[tone]}


def _line(scan: StoredScan) -> ScanLine:
    return ScanLine(
        refresh_id=scan.refresh_id,
        checked_at=scan.checked_at,
        is_passed=decide_verdict(scan.checks).is_passed,
        check_count=len(scan.checks),
        counts=tone_counts(scan.checks),
    )


def _point(check: CheckResult | None) -> Point:
    if check is None:
        return Point(ABSENT, "", None)
    try:
        value = Decimal(check.measured)
    except InvalidOperation:
        return Point(tone_of(check), check.measured, None)
    return Point(tone_of(check), check.measured, value if value.is_finite() else None)


def _rank(tone: str) -> int:
    return TONE_ORDER.index(tone) if tone in TONE_ORDER else len(TONE_ORDER)
