"""Decides, per entity and event day, how complete the marts are and whether the day is final. Pure.

A day is final when nothing speaks against it (`Cause`): it is over, no hole may hold rows of it or of an earlier day,
and the counts of source, ledger, lake and raw say that all of it is published. A hole of an earlier day counts because
a day's numbers are also made of what came before (who is a new customer, what a product cost). Where the source's own
count of every day since the hole began is published, the hole cannot be there: it belongs to a later day.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from slackwater.completeness.model import Cause, Counts, DayCompleteness, DayCount, EntityDay, Hole, HoleKind
from slackwater.naming import ENTITIES

LONGEST_GAP_DAYS = 31
"""Days without any row are shown when a gap of at most this length may cover them; of a longer one its two ends."""

_ONE_DAY = timedelta(days=1)
_CAUSE = {
    HoleKind.MISSING: Cause.MISSING,
    HoleKind.QUARANTINED: Cause.QUARANTINED,
    HoleKind.IN_FLIGHT: Cause.IN_FLIGHT,
}


@dataclass(frozen=True)
class _Block:
    """A hole and the day from which on it keeps days from being final."""

    start: date
    hole: Hole


def assess(counts: Counts) -> tuple[DayCompleteness, ...]:
    """Say how complete each day is.

    Args:
        counts: One count of every store, the ledger read first and the source last: what happens in between makes a
            day look less complete, never more.

    Returns:
        One row per entity that was ever seen and day on which anything was seen or may be missing, by day, then entity.
    """
    days = _days(counts)
    entities = [entity for entity in ENTITIES if _is_seen(entity, counts)]
    found = [row for entity in entities for row in _assess_entity(entity, days, counts)]
    return tuple(sorted(found, key=lambda row: (row.day, ENTITIES.index(row.entity))))


def _assess_entity(entity: str, days: Sequence[date], counts: Counts) -> list[DayCompleteness]:
    unproven = [day for day in days if not _is_proven((entity, day), counts)]
    holes = [hole for hole in counts.ledger.holes if hole.entity == entity]
    blocks = [_Block(start, hole) for hole in holes if (start := _blocked_from(hole, unproven)) is not None]
    missing = _missing_per_day(holes, unproven)
    end, waits_for = _open_since(entity, counts)
    rows = []
    for day in days:
        causes = {
            **({Cause.STILL_OPEN: f"{waits_for} has not moved beyond this day"} if day >= end else {}),
            **_blocking([block for block in blocks if block.start <= day]),
            **_differences((entity, day), counts),
        }
        rows.append(_row((entity, day), counts, missing=missing.get(day, 0), causes=causes))
    return rows


def _row(place: EntityDay, counts: Counts, *, missing: int, causes: dict[Cause, str]) -> DayCompleteness:
    ledger = counts.ledger
    return DayCompleteness(
        entity=place[0],
        day=place[1],
        source_rows=_maybe(counts.source, place),
        landed_rows=ledger.landed.get(place, 0),
        lake_rows=counts.lake.get(place, 0),
        raw_rows=counts.raw.get(place, 0),
        published_rows=counts.published.get(place, 0),
        clickhouse_rows=_maybe(counts.clickhouse, place),
        missing_positions=missing,
        quarantined_rows=ledger.quarantined.get(place, 0),
        discarded_rows=ledger.discarded.get(place, 0),
        causes=tuple(causes),
        reasons=tuple(causes.values()),
    )


def _is_proven(place: EntityDay, counts: Counts) -> bool:
    """Say whether the source's own count of the day is published: then no hole can hold rows of it."""
    return counts.source is not None and counts.source.get(place, 0) == counts.published.get(place, 0)


def _blocked_from(hole: Hole, unproven: Sequence[date]) -> date | None:
    """Return the first day that the hole keeps from being final; None when it keeps none.

    Days from its first possible one on that are all proven by the source are free; after its last possible day no
    proof helps, because then the positions are missing though the counts say that nothing is.
    """
    first = hole.first_day or date.min
    place = bisect_left(unproven, first)
    starts = [unproven[place]] if place < len(unproven) else []
    if hole.last_day is not None and hole.last_day < date.max:
        starts.append(max(first, hole.last_day + _ONE_DAY))
    return min(starts) if starts else None


def _missing_per_day(holes: Iterable[Hole], unproven: Sequence[date]) -> dict[date, int]:
    """Return how many positions nobody has seen may belong to each day; proven days have none."""
    found: dict[date, int] = {}
    for hole in holes:
        if hole.kind is HoleKind.MISSING:
            start, end = hole.first_day or date.min, hole.last_day or date.max
            for day in unproven[bisect_left(unproven, start) :]:
                if day > end:
                    break
                found[day] = found.get(day, 0) + hole.position_count
    return found


def _open_since(entity: str, counts: Counts) -> tuple[date, str]:
    """Return the first day that is not over yet, and whom it waits for.

    A day is over when every source partition of the entity brought an event of a later day; or when the source, whose
    history is known, wrote one of whatever entity.
    """
    clocks = [clock for clock in counts.ledger.clocks if clock.entity == entity]
    slowest = min(clocks, key=lambda clock: clock.last_day or date.min, default=None)
    end = date.min if slowest is None or slowest.last_day is None else slowest.last_day
    waits_for = "the entity, of which nothing was read yet," if slowest is None else slowest.source_partition
    if counts.source:
        newest = max(day for _, day in counts.source)
        if newest >= end:
            return newest, "the source"
    return end, waits_for


def _blocking(blocks: Sequence[_Block]) -> dict[Cause, str]:
    """Return a sentence per kind of hole: the one that blocks longest, and how many more there are."""
    found: dict[Cause, str] = {}
    for kind, cause in _CAUSE.items():
        of_kind = sorted(
            (block for block in blocks if block.hole.kind is kind),
            key=lambda block: (block.start, block.hole.source_partition, block.hole.first_position),
        )
        if of_kind:
            more = f" and {len(of_kind) - 1} more" if len(of_kind) > 1 else ""
            found[cause] = _described(of_kind[0].hole) + more
    return found


def _described(hole: Hole) -> str:
    if hole.kind is HoleKind.MISSING:
        return f"{hole.position_count} positions are missing: {hole.name}"
    files = f"{hole.objects} {'file' if hole.objects == 1 else 'files'}"
    state = "in quarantine" if hole.kind is HoleKind.QUARANTINED else "on the way"
    return f"{files} of {hole.source_partition} {state}, from position {hole.first_position}: {hole.name}"


def _differences(place: EntityDay, counts: Counts) -> dict[Cause, str]:
    """Return what the counts of one day say against each other."""
    ledger = counts.ledger
    landed, published, raw = (count.get(place, 0) for count in (ledger.landed, counts.published, counts.raw))
    committed, lake = ledger.committed.get(place, 0), counts.lake.get(place, 0)
    found: dict[Cause, str] = {}
    if published < max(landed, raw):
        found[Cause.UNPUBLISHED] = f"{max(landed, raw) - published} rows that arrived are not published"
    if lake != committed:
        found[Cause.LAKE_DIFFERS] = f"the lake holds {lake} rows, the ledger landed {committed}"
    if raw > landed:
        found[Cause.WAREHOUSE_DIFFERS] = f"raw holds {raw} rows, only {landed} arrived by the ledger"
    if counts.source is not None:
        source = counts.source.get(place, 0)
        # What was discarded with a reason will not come: the day ends without it, below 100 %.
        if not source - ledger.discarded.get(place, 0) <= published <= source:
            found[Cause.SOURCE_DIFFERS] = f"the source wrote {source} rows, {published} are published"
    return found


def _days(counts: Counts) -> list[date]:
    """Return every day on which anything was seen or may be missing, ascending."""
    days = {day for _, day in _places(counts)}
    for hole in counts.ledger.holes:
        if hole.first_day is None or hole.last_day is None:
            continue
        length = (hole.last_day - hole.first_day).days
        steps = range(length + 1) if length <= LONGEST_GAP_DAYS else (0, length)
        days |= {hole.first_day + step * _ONE_DAY for step in steps}
    return sorted(days)


def _is_seen(entity: str, counts: Counts) -> bool:
    is_known = any(name == entity for name, _ in _places(counts))
    return is_known or any(hole.entity == entity for hole in counts.ledger.holes)


def _places(counts: Counts) -> Iterable[EntityDay]:
    ledger = counts.ledger
    every: tuple[DayCount | None, ...] = (
        counts.source,
        *(ledger.landed, ledger.committed, ledger.quarantined, ledger.discarded),
        *(counts.lake, counts.raw, counts.published, counts.clickhouse),
    )
    for count in every:
        yield from count or {}


def _maybe(count: DayCount | None, place: EntityDay) -> int | None:
    return None if count is None else count.get(place, 0)
