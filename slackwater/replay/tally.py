"""Counts what became of the input, by day: every line in one class, and the value that is not in the shop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from slackwater.replay.rules import LineClass, Residual


@dataclass(frozen=True)
class ClassTotal:
    """Lines of one class.

    Attributes:
        lines: Number of input lines.
        value: Sum of quantity x unit price.
        value_with_effect: The part of `value` that changed an order; the rest of a partly matched return did not.
    """

    lines: int
    value: Decimal
    value_with_effect: Decimal


@dataclass
class DayTally:
    """Counters per day (microseconds at midnight), in thousandths."""

    classes: dict[tuple[int, LineClass], list[int]] = field(default_factory=dict)
    residuals: dict[tuple[int, Residual], int] = field(default_factory=dict)

    def count(self, day_us: int, line_class: LineClass, *, value_milli: int, effect_milli: int) -> None:
        """Count one line in its class."""
        total = self.classes.setdefault((day_us, line_class), [0, 0, 0])
        total[0] += 1
        total[1] += value_milli
        total[2] += effect_milli

    def leave(self, day_us: int, residual: Residual, value_milli: int) -> None:
        """Add to a residual."""
        if value_milli:
            self.residuals[day_us, residual] = self.residuals.get((day_us, residual), 0) + value_milli

    def class_totals(self, start_us: int, end_us: int) -> Mapping[LineClass, ClassTotal]:
        """Return every class's total over the days in [start, end), zeros included."""
        sums = {line_class: [0, 0, 0] for line_class in LineClass}
        for (day_us, line_class), values in self.classes.items():
            if start_us <= day_us < end_us:
                sums[line_class] = [a + b for a, b in zip(sums[line_class], values, strict=True)]
        return {name: ClassTotal(lines, milli(value), milli(effect)) for name, (lines, value, effect) in sums.items()}

    def residual_totals(self, start_us: int, end_us: int) -> Mapping[Residual, Decimal]:
        """Return every residual over the days in [start, end), zeros included."""
        sums = dict.fromkeys(Residual, 0)
        for (day_us, residual), value in self.residuals.items():
            if start_us <= day_us < end_us:
                sums[residual] += value
        return {name: milli(value) for name, value in sums.items()}


def milli(value: int) -> Decimal:
    """Return thousandths as an exact decimal with three places."""
    return Decimal(value).scaleb(-3)
