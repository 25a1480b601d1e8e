"""The outcome of one reconciliation, as one frozen record."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from slackwater.reconciliation.compare import Difference, PartitionCoverage

DIFFERENCES_IN_SUMMARY = 10


@dataclass(frozen=True)
class ReconciliationReport:
    """What was compared, at which frontier, and what differed.

    Attributes:
        report_id: Sorts by time.
        compared_at: When it started, UTC.
        frontier: Per (entity, source partition) the last published position.
        days: UTC dates compared, sorted.
        metrics: Names compared.
        differences: By day and metric.
        coverage: Positions each store holds below and beyond the frontier.
        marts_note: Why the published mart was left out, empty when it was compared.
        html: Report for people.
        json: The same for programs.
    """

    report_id: str
    compared_at: datetime
    frontier: Mapping[tuple[str, str], int]
    days: tuple[date, ...]
    metrics: tuple[str, ...]
    differences: tuple[Difference, ...]
    coverage: tuple[PartitionCoverage, ...]
    marts_note: str
    html: Path
    json: Path

    @property
    def missing(self) -> tuple[PartitionCoverage, ...]:
        """Return the partitions of which one store holds fewer positions below the frontier than the other."""
        return tuple(partition for partition in self.coverage if not partition.is_equal)

    @property
    def is_equal(self) -> bool:
        """Return whether every value and every count of positions below the frontier agrees."""
        return not self.differences and not self.missing

    @property
    def in_flight(self) -> int:
        """Return how many positions lie beyond the frontier in at least one store: not compared, on their way."""
        return sum(max(p.snowflake_beyond, p.clickhouse_beyond) for p in self.coverage)

    @property
    def compared_values(self) -> int:
        """Return how many values were compared."""
        return len(self.days) * len(self.metrics)

    @property
    def headline(self) -> str:
        """Return the verdict in one line."""
        if not self.frontier:
            return "Nothing to compare: nothing is published yet"
        scope = f"{self.compared_values} values of {len(self.days)} days"
        flight = f"; {self.in_flight} changes are in flight beyond the frontier" if self.in_flight else ""
        if self.is_equal:
            return f"Equal: {scope} agree at the frontier{flight}"
        missing = f", {len(self.missing)} source partitions hold different rows" if self.missing else ""
        return f"Different: {len(self.differences)} of {scope} differ{missing}{flight}"

    @property
    def summary(self) -> str:
        """Return the headline and, when the sides differ, the first differences: day, metric and both values."""
        lines = [str(difference) for difference in self.differences[:DIFFERENCES_IN_SUMMARY]]
        lines += [str(partition) for partition in self.missing]
        more = len(self.differences) - DIFFERENCES_IN_SUMMARY
        if more > 0:
            lines.append(f"{more} more differences in {self.html}")
        return "\n".join([self.headline, *lines])
