"""A measured figure beside its budget."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One budget and what was measured.

    Attributes:
        name: What is measured.
        unit: Unit of both numbers.
        measured: None when it could not be measured; `note` says why.
        budget: Greatest allowed value; None for a figure that is only shown.
        load: Load average over one minute when the measurement ended.
        note: Whatever helps to read the figure.
    """

    name: str
    unit: str
    measured: float | None
    budget: float | None
    load: float
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Tell whether the budget holds; None where there is no budget."""
        if self.budget is None:
            return None
        return self.measured is not None and self.measured <= self.budget

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self) | {"is_met": self.is_met}


def figure(name: str, unit: str, measured: float | None, budget: float | None, note: str = "") -> Figure:
    """Return a figure with the load of now."""
    return Figure(name, unit, measured, budget, load=os.getloadavg()[0], note=note)


def render(figures: Sequence[Figure]) -> str:
    """Return figures as an aligned table."""
    rows = [("what", "measured", "budget", "", "load", "")]
    rows += [
        (
            figure.name,
            "not measured" if figure.measured is None else f"{_number(figure.measured)} {figure.unit}",
            "" if figure.budget is None else f"<= {_number(figure.budget)} {figure.unit}",
            {True: "met", False: "NOT MET", None: ""}[figure.is_met],
            f"{figure.load:.1f}",
            figure.note,
        )
        for figure in figures
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
