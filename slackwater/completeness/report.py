"""What people see of the completeness: one line per day over all entities, as text, Markdown and JSON. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby, takewhile

from slackwater.completeness.model import StoredClock, StoredDay, percent_of
from slackwater.naming import ENTITIES
from slackwater.quality.report import markdown_cell

DAYS_IN_MARKDOWN = 14

JsonValue = str | int | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True)
class DaySummary:
    """One day over all entities.

    Attributes:
        is_final: Every entity's day is.
        percent: Published of expected rows of all entities, rounded down.
        entities: The rows it stands for, in the order of `ENTITIES`.
    """

    day: date
    is_final: bool
    percent: Decimal
    entities: tuple[StoredDay, ...]

    @property
    def reasons(self) -> str:
        """Return why the day is not final, entities with the same reasons together; empty when it is."""
        by_reason: dict[str, list[str]] = {}
        for one in self.entities:
            if not one.is_final:
                by_reason.setdefault(one.reasons, []).append(one.entity)
        return "; ".join(f"{', '.join(entities)}: {reason}" for reason, entities in by_reason.items())


def summarize(rows: Sequence[StoredDay]) -> tuple[DaySummary, ...]:
    """Return one summary per day, ascending."""
    ordered = sorted(rows, key=lambda row: (row.day, ENTITIES.index(row.entity)))
    found = []
    for day, group in groupby(ordered, key=lambda row: row.day):
        entities = tuple(group)
        published = sum(one.published_rows for one in entities)
        expected = sum(one.expected_rows for one in entities)
        is_final = all(one.is_final for one in entities)
        found.append(DaySummary(day, is_final, percent_of(published, expected), entities))
    return tuple(found)


def complete_up_to(days: Sequence[DaySummary]) -> date | None:
    """Return the last day of which it holds that it and every day before it are final; None when the first is not."""
    return max((one.day for one in takewhile(lambda one: one.is_final, days)), default=None)


def headline(days: Sequence[DaySummary]) -> str:
    """Return one sentence: up to which day everything is complete.

    Args:
        days: Every day there is, ascending.
    """
    if not days:
        return "Nothing has been counted yet."
    last = complete_up_to(days)
    if last is None:
        return f"No day is complete yet; the first, {days[0].day}, waits: {days[0].reasons}."
    unfinished = next((one for one in days if not one.is_final), None)
    if unfinished is None:
        return f"Complete up to {last}, the last day there is."
    return f"Complete up to {last}. The next day, {unfinished.day}, waits: {unfinished.reasons}."


def as_document(days: Sequence[DaySummary], *, clock: StoredClock | None, up_to: date | None) -> JsonValue:
    """Return the answer as JSON values; percentages are text, so that no reader makes floats of them."""
    return {
        "computed_at": clock.computed_at.isoformat() if clock else None,
        "refresh_id": clock.refresh_id if clock else None,
        "complete_up_to": up_to.isoformat() if up_to else None,
        "days": [
            {
                "day": one.day.isoformat(),
                "is_final": one.is_final,
                "percent": str(one.percent),
                "entities": [{name: _plain(value) for name, value in asdict(row).items()} for row in one.entities],
            }
            for one in days
        ],
    }


def markdown_summary(days: Sequence[DaySummary]) -> str:
    """Return the headline and the last days as Markdown, for an artifact."""
    lines = [
        "## Is yesterday complete?",
        "",
        markdown_cell(headline(days)),
        "",
        "| day | final | published | why not |",
        "|---|---|---:|---|",
    ]
    lines += [
        f"| {one.day} | {'yes' if one.is_final else 'no'} | {one.percent} % | {markdown_cell(one.reasons)} |"
        for one in reversed(days[-DAYS_IN_MARKDOWN:])
    ]
    if len(days) > DAYS_IN_MARKDOWN:
        lines += ["", f"The last {DAYS_IN_MARKDOWN} of {len(days)} days; the others: `slackwater completeness`."]
    return "\n".join(lines)


def _plain(value: object) -> JsonValue:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    raise TypeError(f"{value!r} has no JSON form")
