"""Counts what arrived by the ledger: rows per entity and event day, holes, and how far each partition has come.

Everything is read in one snapshot of the ledger.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from slackwater.clients.postgres import Connection
from slackwater.completeness.model import EntityDay, Hole, HoleKind, LedgerCounts, PartitionClock
from slackwater.ledger.day_counts import (
    FileRows,
    ReadRows,
    SpecialFile,
    Waiting,
    days_of_keys,
    file_rows,
    landed_rows,
    promised_rows,
    read_before,
    read_rows,
    special_files,
    waiting_files,
)
from slackwater.ledger.gaps import MissingRange, missing_ranges
from slackwater.ledger.model import ObjectState
from slackwater.ledger.purges import purged_rows
from slackwater.ledger.store import Ledger

_KEY_DATE = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")
_LIVE = frozenset({ObjectState.SEEN, ObjectState.BATCHED})


def count_ledger(ledger: Ledger) -> LedgerCounts:
    """Count what the ledger knows, in one snapshot of it."""
    with ledger.transaction() as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        read = read_rows(connection)
        special = special_files(connection)
        files = file_rows(connection, [one.object_id for one in special])
        landed: Counter[EntityDay] = Counter()
        committed: Counter[EntityDay] = Counter()
        for one in read:
            landed[one.entity, one.day] += one.row_count
            committed[one.entity, one.day] += one.committed
        for entity, named, count in promised_rows(connection):
            if day := key_date(named or ""):
                landed[entity, day] += count
        landed.subtract(_repeated(special, files))
        lacks_days = sum(committed.values()) != landed_rows(connection)
        committed.subtract(purged_rows(connection))
        waiting = waiting_files(connection)
        return LedgerCounts(
            landed=+landed,
            committed=+committed,
            quarantined=_set_aside(special, files, state=ObjectState.QUARANTINED),
            discarded=_set_aside(special, files, state=ObjectState.DISCARDED),
            clocks=_clocks(read, waiting),
            holes=(
                *_gaps(connection),
                *(_in_flight(connection, one) for one in waiting),
                *_quarantined(connection, special, files),
            ),
            lacks_days=lacks_days,
        )


def key_date(key: str) -> date | None:
    """Return the date a landing key names, None when it names none that exists."""
    found = _KEY_DATE.search(key)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def repeated_per_day(file: FileRows, repeated: int) -> Counter[date]:
    """Say on which days the positions lie that a file repeats at its beginning.

    Within a file the event time does not run backwards, so they are the rows of its earliest days. Of a file that was
    not read, they lie on the date of its key.
    """
    found: Counter[date] = Counter()
    if not file.days and (day := key_date(file.key)):
        found[day] = repeated
    for day, count in file.days:
        found[day] = min(count, repeated)
        repeated -= found[day]
    return found


def _repeated(special: Sequence[SpecialFile], files: Mapping[str, FileRows]) -> Counter[EntityDay]:
    found: Counter[EntityDay] = Counter()
    for one in special:
        if one.state in _LIVE:
            for day, count in repeated_per_day(files[one.object_id], one.repeated).items():
                found[one.entity, day] += count
    return found


def _set_aside(
    special: Sequence[SpecialFile], files: Mapping[str, FileRows], *, state: ObjectState
) -> Counter[EntityDay]:
    """Return the rows that files of a state promise and no other file delivers, on the date of their keys."""
    found: Counter[EntityDay] = Counter()
    for one in special:
        day = key_date(files[one.object_id].key)
        if one.state == state and day:
            found[one.entity, day] += one.fresh
    return +found


def _clocks(read: Iterable[ReadRows], waiting: Iterable[Waiting]) -> tuple[PartitionClock, ...]:
    newest: dict[tuple[str, str], date | None] = {(one.entity, one.source_partition): None for one in waiting}
    for one in read:
        place = (one.entity, one.source_partition)
        newest[place] = max(newest.get(place) or one.day, one.day)
    return tuple(PartitionClock(*place, day) for place, day in sorted(newest.items()))


def _in_flight(connection: Connection, one: Waiting) -> Hole:
    start = one.read_from
    if one.unread_first is not None:
        before = read_before(connection, one.entity, one.source_partition, position=one.unread_first)
        start = before and _least((before, start, key_date(one.unread_named or "")))
    return Hole(
        kind=HoleKind.IN_FLIGHT,
        entity=one.entity,
        source_partition=one.source_partition,
        first_position=one.first_position,
        last_position=one.last_position,
        objects=one.files,
        name=one.key,
        first_day=start,
        last_day=None,
    )


def _quarantined(
    connection: Connection, special: Iterable[SpecialFile], files: Mapping[str, FileRows]
) -> Iterable[Hole]:
    """Yield per source partition what is in quarantine while no other file delivers it."""
    groups: dict[tuple[str, str], list[SpecialFile]] = defaultdict(list)
    for one in special:
        if one.state == ObjectState.QUARANTINED and one.fresh:
            groups[one.entity, one.source_partition].append(one)
    for (entity, partition), group in groups.items():
        first = min(group, key=lambda one: one.first_position)
        before = read_before(connection, entity, partition, position=first.first_position)
        named = (key_date(files[one.object_id].key) for one in group)
        yield Hole(
            kind=HoleKind.QUARANTINED,
            entity=entity,
            source_partition=partition,
            first_position=first.first_position,
            last_position=max(one.last_position for one in group),
            objects=len(group),
            name=files[first.object_id].key,
            first_day=before and _least((before, *named)),
            last_day=None,
        )


def _gaps(connection: Connection) -> list[Hole]:
    """Return the gaps: their rows are not older than the file before nor newer than the file after."""
    ranges = missing_ranges(connection)
    days = days_of_keys(connection, {key for gap in ranges for key in (gap.after_key, gap.before_key) if key})
    return [_gap(gap, days) for gap in ranges]


def _gap(gap: MissingRange, days: Mapping[str, tuple[date, date]]) -> Hole:
    after, before = days.get(gap.after_key), days.get(gap.before_key)
    start = after[1] if after else key_date(gap.after_key or "")
    end = before[0] if before else key_date(gap.before_key or "")
    if start and end and start > end:  # the event time ran backwards between the two files
        start, end = end, start
    return Hole(
        kind=HoleKind.MISSING,
        entity=gap.entity,
        source_partition=gap.source_partition,
        first_position=gap.first,
        last_position=gap.last,
        objects=0,
        name=gap.file_stem,
        first_day=start,
        last_day=end,
    )


def _least(days: Iterable[date | None]) -> date | None:
    return min((day for day in days if day is not None), default=None)
