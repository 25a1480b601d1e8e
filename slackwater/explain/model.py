"""The answer of `slackwater explain`: a story of ordered steps, each with what, where, id and time. Pure.

Made by `assemble`, shown by `render` or as JSON. Nothing here knows a store.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

Value = str | int | bool | Decimal | date | datetime | None


class StepKind(StrEnum):
    """The stations of the way, in the order a change passes them."""

    SHOP = "shop"
    CHANGE = "change"
    OBJECT = "object"
    BATCH = "batch"
    SNAPSHOT = "snapshot"
    LOAD = "load"
    REFRESH = "refresh"
    BUILD = "dbt run"
    CHECKS = "checks"
    PUBLICATION = "publication"
    MART = "mart row"
    SPEED = "clickhouse"


class Mark(StrEnum):
    """What became of a step."""

    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"
    UNKNOWN = "unknown"  # nobody could be asked, or nobody keeps it


@dataclass(frozen=True)
class Step:
    """One step of the way.

    Attributes:
        kind: The station.
        mark: What became of it.
        what: One line for a person.
        where: The store and the place in it.
        id: The step's id in that store; None when it has none (yet).
        at: When, UTC; None when it did not happen or nobody recorded it.
        detail: Further facts by name, in order.
    """

    kind: StepKind
    mark: Mark
    what: str
    where: str
    id: str | None = None
    at: datetime | None = None
    detail: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Chapter:
    """The way of one version, object or batch: its steps in order."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Story:
    """The whole answer.

    Attributes:
        subject: What was asked for.
        answer: One sentence: where it is now.
        chapters: Newest first, at least one.
        missing: What has not happened yet or stands in the way, one sentence each.
        notes: What could not be asked, one sentence each.
    """

    subject: str
    answer: str
    chapters: tuple[Chapter, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def as_json(story: Story) -> dict[str, Json]:
    """Return a story as plain JSON values: every chapter, times in ISO form, money as text."""
    return {
        "subject": story.subject,
        "answer": story.answer,
        "missing": list(story.missing),
        "notes": list(story.notes),
        "chapters": [
            {"title": chapter.title, "steps": [_step_json(step) for step in chapter.steps]}
            for chapter in story.chapters
        ],
    }


def _step_json(step: Step) -> Json:
    return {
        "kind": step.kind.value,
        "mark": step.mark.value,
        "what": step.what,
        "where": step.where,
        "id": step.id,
        "at": _plain(step.at),
        "detail": {name: _plain(value) for name, value in step.detail},
    }


def _plain(value: Value) -> Json:
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
