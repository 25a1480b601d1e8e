"""What a replay did, for people and programs: counts per class, residuals, rows and files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from slackwater.replay.changes import YearPlan
from slackwater.replay.rules import LineClass, Residual
from slackwater.replay.tally import ClassTotal


@dataclass(frozen=True)
class RangeTally:
    """What became of the input lines of a range of days.

    Attributes:
        start: First moment.
        end: First moment after it.
        classes: Lines and values per class; the lines add up to `input_lines`.
        residuals: Input value that is not in the shop's order lines, by reason.
        input_lines: Number of input lines.
        input_value: Their value.
    """

    start: datetime
    end: datetime
    classes: Mapping[LineClass, ClassTotal]
    residuals: Mapping[Residual, Decimal]
    input_lines: int
    input_value: Decimal

    @property
    def residual_sum(self) -> Decimal:
        """Return the sum of all residuals."""
        return sum(self.residuals.values(), Decimal(0))


def tally_range(plan: YearPlan, start_us: int, end_us: int) -> RangeTally:
    """Return what became of the lines of the days in [start, end)."""
    classes = plan.tally.class_totals(start_us, end_us)
    return RangeTally(
        start=_time(start_us),
        end=_time(end_us),
        classes=classes,
        residuals=plan.tally.residual_totals(start_us, end_us),
        input_lines=sum(total.lines for total in classes.values()),
        input_value=sum((total.value for total in classes.values()), Decimal(0)),
    )


@dataclass(frozen=True)
class ReplayReport:
    """What one call of `replay` did.

    Attributes:
        chosen: The tally of the chosen range.
        so_far: The tally from the year's first day to the end of what the shop holds.
        shop_rows: Rows written to the shop by (entity, op); zero where they were there already.
        sent_rows: Rows in the files of the range by (entity, op).
        file_count: Files sent.
        file_bytes: Their size.
        fed_rows: Rows new to the speed layer.
        slice_count: Slices with changes.
        seconds: Wall time, planning included.
        plan_seconds: Wall time of planning.
    """

    chosen: RangeTally
    so_far: RangeTally
    shop_rows: Mapping[tuple[str, str], int]
    sent_rows: Mapping[tuple[str, str], int]
    file_count: int
    file_bytes: int
    fed_rows: int
    slice_count: int
    seconds: float
    plan_seconds: float

    def to_json(self) -> str:
        """Return the report as JSON; decimals are strings, times ISO."""
        document = {
            "chosen": _tally_document(self.chosen),
            "so_far": _tally_document(self.so_far),
            "shop_rows": _rows_document(self.shop_rows),
            "sent_rows": _rows_document(self.sent_rows),
            "file_count": self.file_count,
            "file_bytes": self.file_bytes,
            "fed_rows": self.fed_rows,
            "slice_count": self.slice_count,
            "seconds": round(self.seconds, 3),
            "plan_seconds": round(self.plan_seconds, 3),
        }
        return json.dumps(document, indent=2)

    def write(self, path: Path) -> None:
        """Write the JSON form to a file, its folder made if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json() + "\n", encoding="utf-8")


def _time(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _tally_document(tally: RangeTally) -> dict[str, object]:
    return {
        "from": tally.start.isoformat(),
        "until": tally.end.isoformat(),
        "input_lines": tally.input_lines,
        "input_value": str(tally.input_value),
        "classes": {
            name.value: {
                "lines": total.lines,
                "value": str(total.value),
                "value_with_effect": str(total.value_with_effect),
            }
            for name, total in tally.classes.items()
        },
        "residuals": {name.value: str(value) for name, value in tally.residuals.items()},
        "residual_sum": str(tally.residual_sum),
    }


def _rows_document(rows: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    entities = dict.fromkeys(entity for entity, _ in rows)
    return {entity: {op: count for (name, op), count in rows.items() if name == entity} for entity in entities}
