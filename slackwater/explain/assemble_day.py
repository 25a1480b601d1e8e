"""The story of one published row of the daily mart, put together from facts. Pure.

First chapter: the orders and lines of the day with their files, and the refresh that wrote the row. Second: the
customers and products the row reads, which may come from anywhere in the shop's history.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from slackwater.explain.assemble import silent_notes
from slackwater.explain.facts import DAILY_MART, DayInSpeed, DayPart, DayRow, Silent, Store
from slackwater.explain.model import Chapter, Mark, Step, StepKind, Story
from slackwater.explain.work_facts import BatchTrail, RefreshTrail
from slackwater.explain.work_steps import load_steps, one_refresh_steps
from slackwater.naming import SCHEMA_MARTS, clickhouse_changes_table

OWN_ENTITIES = ("orders", "order_items")
"""What a day is made of; users and products only qualify it."""

SHOWN_OBJECTS = 3


@dataclass(frozen=True)
class DayFacts:
    """Everything the stores say of one day.

    Attributes:
        row: The published row; None when there is none.
        parts: The newest versions that make it up, as the last refresh built them.
        trails: By batch id, of the parts' batches.
        refreshes: The refresh that wrote the row and those after it, oldest first.
        waiting: Loaded batches that reach the day and are not published.
        first_seen: When objects of the parts were first seen, by id.
        unloaded: Per entity how many batches are not loaded yet.
        quarantined: Per entity how many objects are in quarantine.
    """

    day: date
    row: DayRow | None
    parts: Sequence[DayPart]
    trails: Mapping[str, BatchTrail]
    refreshes: Sequence[RefreshTrail] = ()
    waiting: Sequence[BatchTrail] = ()
    first_seen: Mapping[str, datetime] = field(default_factory=dict)
    unloaded: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    speed: DayInSpeed | None = None
    silent: Silent = field(default_factory=dict)


def day_story(facts: DayFacts) -> Story:
    """Return the story of a day."""
    own = [part for part in facts.parts if part.entity in OWN_ENTITIES]
    read = [part for part in facts.parts if part.entity not in OWN_ENTITIES]
    steps = [*_part_steps(own, facts), *_refresh_part(facts), _row_step(facts), _speed_step(facts)]
    chapters = [Chapter(f"The row of {facts.day}", tuple(steps))]
    if read:
        chapters.append(Chapter("Customers and products the row reads", tuple(_part_steps(read, facts))))
    return Story(
        subject=f"{DAILY_MART} {facts.day}",
        answer=_answer(facts),
        chapters=tuple(chapters),
        missing=tuple(_missing(facts)),
        notes=silent_notes(facts.silent),
    )


def _part_steps(parts: Sequence[DayPart], facts: DayFacts) -> Iterator[Step]:
    by_batch: dict[str, list[DayPart]] = defaultdict(list)
    for part in parts:
        by_batch[part.batch_id].append(part)
    for batch_id in sorted(by_batch, key=lambda found: _sealed_order(facts, found)):
        members = by_batch[batch_id]
        yield _files_step(members, facts)
        if batch_id in facts.trails:
            yield from load_steps(facts.trails[batch_id], silent=facts.silent)


def _files_step(members: Sequence[DayPart], facts: DayFacts) -> Step:
    rows = sum(part.rows for part in members)
    largest = sorted(members, key=lambda part: (-part.rows, part.file_name))
    entity = members[0].entity
    if len(members) == 1:
        what = f"{rows:,} {entity} in one file"
    else:
        what = f"{rows:,} {entity} in {len(members)} files, the largest share first"
    detail = tuple(("object", f"{part.object_id} {part.file_name} ({part.rows} rows)") for part in largest[1:])
    hidden = len(members) - SHOWN_OBJECTS
    if hidden > 0:
        detail = (*detail[: SHOWN_OBJECTS - 1], ("object", f"{hidden} more"))
    first = largest[0]
    seen_at = facts.first_seen.get(first.object_id)
    return Step(StepKind.OBJECT, Mark.DONE, what, first.file_name, first.object_id, seen_at, detail)


def _refresh_part(facts: DayFacts) -> Iterator[Step]:
    """Tell the refresh that wrote the row; of the later ones those that matter."""
    for index, trail in enumerate(facts.refreshes):
        refresh = trail.refresh
        is_last_word = trail is facts.refreshes[-1] and refresh.state == "rejected"
        if index == 0 or is_last_word or refresh.state in {"building", "tested"}:
            yield from one_refresh_steps(trail, silent=facts.silent, named=[str(facts.day)])
    later = [trail for trail in facts.refreshes[1:] if trail.refresh.state == "published"]
    if later:
        refresh, count = later[-1].refresh, len(later)
        said = "1 later publication" if count == 1 else f"{count} later publications"
        what, where = f"{said} left this row as it is", Store.LEDGER.value
        yield Step(StepKind.PUBLICATION, Mark.DONE, what, where, refresh.publication_id, refresh.ended_at)


def _row_step(facts: DayFacts) -> Step:
    where = f"{Store.WAREHOUSE}, {SCHEMA_MARTS}.{DAILY_MART.upper()}"
    if facts.row is None:
        if Store.WAREHOUSE in facts.silent:
            return Step(StepKind.MART, Mark.UNKNOWN, "the warehouse did not answer", where)
        return Step(StepKind.MART, Mark.WAITING, f"no row of {facts.day} is published", where)
    published_at = next(
        (trail.publication.published_at for trail in facts.refreshes[:1] if trail.publication is not None), None
    )
    what = f"row of {facts.day}, written by this publication"
    return Step(StepKind.MART, Mark.DONE, what, where, facts.row.publication_id, published_at, facts.row.values)


def _speed_step(facts: DayFacts) -> Step:
    where = f"{Store.CLICKHOUSE}, {clickhouse_changes_table('orders')}"
    if facts.speed is None:
        return Step(StepKind.SPEED, Mark.UNKNOWN, "ClickHouse did not answer", where)
    what = f"{facts.speed.orders:,} orders of that day in ClickHouse, deleted ones counted"
    mark = Mark.DONE if facts.speed.orders else Mark.FAILED
    return Step(StepKind.SPEED, mark, what, where, str(facts.day), facts.speed.last_ingested_at)


def _answer(facts: DayFacts) -> str:
    if facts.row is None:
        return f"No row of {facts.day} is published."
    values = dict(facts.row.values)
    said = f"{values.get('total_orders')} orders, revenue {values.get('total_revenue')}"
    return f"Published: {said}; last written by {facts.row.publication_id}."


def _missing(facts: DayFacts) -> Iterator[str]:
    for trail in facts.waiting:
        is_rejected = bool(trail.refreshes) and trail.refreshes[-1].refresh.state == "rejected"
        because = "its last refresh was rejected" if is_rejected else "it waits for a refresh"
        yield f"Batch {trail.batch.batch_id} of {trail.batch.entity} changes this day and is not published: {because}."
    for entity, count in facts.unloaded.items():
        batches = "1 batch" if count == 1 else f"{count} batches"
        yield f"{batches} of {entity} not loaded yet; whether they change this day shows then."
    for entity, count in facts.quarantined.items():
        files = "1 file" if count == 1 else f"{count} files"
        yield f"{files} of {entity} in quarantine: changes in them are not seen here (slackwater quarantine list)."


def _sealed_order(facts: DayFacts, batch_id: str) -> tuple[str, str]:
    trail = facts.trails.get(batch_id)
    return (trail.batch.sealed_at.isoformat() if trail else "", batch_id)
