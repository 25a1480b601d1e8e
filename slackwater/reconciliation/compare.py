"""Compares the sides of a reconciliation, pure: values per day and metric in, named differences out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

DayValues = Mapping[date, Mapping[str, Decimal]]
"""Per UTC date every metric's value; a day without orders is absent."""


class Cause(StrEnum):
    """Why two sides differ, as far as it is known."""

    IN_FLIGHT = "in_flight"  # the feed of ClickHouse ends below the frontier: the rest has not arrived
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PartitionCoverage:
    """How many positions of one source partition each store holds.

    Attributes:
        entity: The entity.
        source_partition: Such as `shop.orders+0`.
        frontier: Last published position.
        snowflake_rows: Distinct positions at or below the frontier.
        clickhouse_rows: Likewise.
        clickhouse_last: Greatest position at or below the frontier, None without any.
        snowflake_beyond: Distinct positions above the frontier: in flight.
        clickhouse_beyond: Likewise.
    """

    entity: str
    source_partition: str
    frontier: int
    snowflake_rows: int
    clickhouse_rows: int
    clickhouse_last: int | None
    snowflake_beyond: int
    clickhouse_beyond: int

    @property
    def is_equal(self) -> bool:
        """Return whether both stores hold as many positions below the frontier."""
        return self.snowflake_rows == self.clickhouse_rows

    @property
    def is_cut_off(self) -> bool:
        """Return whether everything ClickHouse lacks lies above its last position: its feed stopped or is late."""
        missing = self.snowflake_rows - self.clickhouse_rows
        return missing > 0 and missing == self.frontier - (-1 if self.clickhouse_last is None else self.clickhouse_last)

    def __str__(self) -> str:
        """Name the partition and how many rows each store holds, for messages and logs."""
        note = ", its feed ends early" if self.is_cut_off else ""
        return (
            f"{self.source_partition}: up to position {self.frontier} ClickHouse holds"
            f" {self.clickhouse_rows} rows{note}, Snowflake {self.snowflake_rows}"
        )


@dataclass(frozen=True)
class Difference:
    """One metric of one day on which the sides do not agree.

    Attributes:
        day: UTC date.
        metric: Name from `metrics.yml`.
        clickhouse: Value of the speed layer, None when it has no such day.
        snowflake: Value of the warehouse's raw tables, None when it has no such day.
        marts: Published value, None when it has no such day or was not compared.
        cause: Why, as far as it is known.
    """

    day: date
    metric: str
    clickhouse: Decimal | None
    snowflake: Decimal | None
    marts: Decimal | None
    cause: Cause

    def __str__(self) -> str:
        """Name day, metric and the values, for messages and logs."""
        shown = f"{self.day} {self.metric}: ClickHouse {_text(self.clickhouse)}, Snowflake {_text(self.snowflake)}"
        return shown + (f", marts {_text(self.marts)}" if self.marts is not None else "")


def compare_days(
    metrics: Sequence[str],
    *,
    clickhouse: DayValues,
    snowflake: DayValues,
    marts: DayValues | None,
    coverage: Sequence[PartitionCoverage] = (),
) -> tuple[Difference, ...]:
    """Return every day and metric on which the sides differ; equality is exact.

    Args:
        metrics: Names to compare, in the order of the report.
        clickhouse: Values of the speed layer.
        snowflake: Values of the warehouse's raw tables at the same frontier.
        marts: Published values, None when they stand for other rows and cannot be compared.
        coverage: Of both stores; tells whether ClickHouse's feed was cut off.

    Returns:
        The differences by day, then in the order of `metrics`.
    """
    cause = Cause.IN_FLIGHT if any(partition.is_cut_off for partition in coverage) else Cause.UNKNOWN
    days = sorted(clickhouse.keys() | snowflake.keys() | (marts.keys() if marts else set()))
    differences: list[Difference] = []
    for day in days:
        for metric in metrics:
            fast, exact = _value(clickhouse, day, metric), _value(snowflake, day, metric)
            published = _value(marts, day, metric) if marts is not None else exact
            if fast == exact == published:
                continue
            differences.append(
                Difference(
                    day=day,
                    metric=metric,
                    clickhouse=fast,
                    snowflake=exact,
                    marts=published if marts is not None else None,
                    cause=cause if fast != exact else Cause.UNKNOWN,
                )
            )
    return tuple(differences)


def _value(side: DayValues | None, day: date, metric: str) -> Decimal | None:
    return (side or {}).get(day, {}).get(metric)


def _text(value: Decimal | None) -> str:
    return "no such day" if value is None else f"{value:f}"
