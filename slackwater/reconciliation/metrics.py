"""Reads `metrics.yml`, the one definition of each metric, and computes what follows from aggregates alone. Pure."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slackwater.yaml_text import load_yaml


class Fact(StrEnum):
    """What one row of a fact is."""

    ORDERS = "orders"
    LINES = "lines"


CONDITIONS: Mapping[Fact, frozenset[str]] = {
    Fact.ORDERS: frozenset(
        {"is_counted", "is_completed", "is_cancelled", "is_guest", "is_new_customer", "is_returning_customer"}
    ),
    Fact.LINES: frozenset({"is_counted", "is_goods"}),
}
VALUES: Mapping[Fact, frozenset[str]] = {
    Fact.ORDERS: frozenset({"user_id", "amount"}),
    Fact.LINES: frozenset({"product_id", "quantity"}),
}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Statuses(_Strict):
    """The sets of order statuses."""

    counted: tuple[str, ...] = Field(min_length=1)
    completed: tuple[str, ...] = Field(min_length=1)
    cancelled: tuple[str, ...] = Field(min_length=1)


class Aggregate(_Strict):
    """A count of rows, a count of distinct values or a sum over the rows of a fact that meet every condition."""

    of: Fact
    count: str | None = Field(None, pattern="^rows$")
    distinct: str | None = None
    sum: str | None = None
    where: tuple[str, ...] = ()
    internal: bool = False

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if sum(kind is not None for kind in (self.count, self.distinct, self.sum)) != 1:
            raise ValueError("an aggregate has exactly one of count, distinct, sum")
        unknown = set(self.where) - CONDITIONS[self.of] | {
            value for value in (self.distinct, self.sum) if value and value not in VALUES[self.of]
        }
        if unknown:
            raise ValueError(f"{self.of.value} has no {', '.join(sorted(unknown))}")
        return self


class Ratio(_Strict):
    """One aggregate per another, rounded."""

    of: str
    per: str
    decimals: int = Field(ge=0, le=8)


class Metrics(_Strict):
    """The content of `metrics.yml`."""

    statuses: Statuses
    service_category: str
    aggregates: dict[str, Aggregate]
    ratios: dict[str, Ratio]

    @model_validator(mode="after")
    def _ratios_are_of_aggregates(self) -> Self:
        for name, ratio in self.ratios.items():
            unknown = {ratio.of, ratio.per} - self.aggregates.keys()
            if unknown or name in self.aggregates:
                raise ValueError(f"ratio {name}: {', '.join(sorted(unknown)) or 'the name'} is not usable")
        return self

    @property
    def published_names(self) -> tuple[str, ...]:
        """Return the metrics people see, in declared order: all but the internal aggregates."""
        shown = [name for name, aggregate in self.aggregates.items() if not aggregate.internal]
        return (*shown, *self.ratios)

    def complete(self, aggregates: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Return every published metric of one day.

        Args:
            aggregates: The day's value of every aggregate, internal ones included.
        """
        values = {name: aggregates[name] for name, spec in self.aggregates.items() if not spec.internal}
        return values | {
            name: divide(aggregates[ratio.of], aggregates[ratio.per], decimals=ratio.decimals)
            for name, ratio in self.ratios.items()
        }


def divide(numerator: Decimal, denominator: Decimal, *, decimals: int) -> Decimal:
    """Return the quotient rounded half away from zero to so many decimals; 0 when the denominator is 0."""
    if denominator == 0:
        return Decimal(0)
    # Scaled whole numbers, so that nothing is rounded twice: 28 digits of a repeating quotient could end in a false 5.
    scaled = abs(numerator).scaleb(decimals)
    quotient = (2 * scaled + abs(denominator)) // (2 * abs(denominator))
    sign = -1 if (numerator < 0) != (denominator < 0) else 1
    return (sign * quotient).scaleb(-decimals).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)


@cache
def load_metrics() -> Metrics:
    """Read `metrics.yml`."""
    text = files("slackwater.reconciliation").joinpath("metrics.yml").read_text(encoding="utf-8")
    return Metrics.model_validate(load_yaml(text))
