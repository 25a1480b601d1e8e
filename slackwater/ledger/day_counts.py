"""The ledger's side of the completeness: SQL and the shapes of its rows, over an open transaction. Decides nothing.

One pass over all files in the order of their positions, and one over `ledger.object_day`; what waits is found by its
state. With 1,000,000 files about 3 CPU-seconds (2026-11-21).
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from psycopg.rows import class_row

from slackwater.clients.postgres import Connection

_SEQUENCES = """
select distinct entity, source_partition, epoch from ledger.object
where entity is not null and first_position is not null order by 1, 2, 3
"""

# One sequence of positions at a time: the index then gives the order. Of files that begin at the same position the
# longest live one comes first.
_SPECIAL = """
select object_id, entity, source_partition, state, first_position, last_position, repeated from (
    select object_id, entity, source_partition, state, first_position, last_position,
        greatest(0, 1 - first_position + least(last_position, coalesce(
            max(last_position) filter (where state in ('seen', 'batched')) over (
                order by first_position, state in ('seen', 'batched') desc, last_position desc
                rows between unbounded preceding and 1 preceding), first_position - 1))) as repeated
    from ledger.object
    where entity = %s and source_partition = %s and epoch = %s and first_position is not null
        and last_position >= first_position and state <> 'superseded') walked
where repeated > 0 or state in ('quarantined', 'discarded')
order by first_position
"""

_READ = """
select o.entity, o.source_partition, d.day, sum(d.row_count)::bigint as row_count,
    coalesce(sum(d.row_count) filter (where b.state in ('landed', 'loaded')), 0)::bigint as committed
from ledger.object_day d join ledger.object o using (object_id) left join ledger.batch b using (batch_id)
where o.state in ('seen', 'batched')
group by 1, 2, 3
"""

_LANDED_ROWS = "select coalesce(sum(row_count), 0)::bigint from ledger.batch where state in ('landed', 'loaded')"

_UNPUBLISHED = """
with unpublished as (
    select o.object_id, o.entity, o.source_partition, o.first_position, o.last_position, o.key
    from ledger.object o where o.state = 'seen' and o.last_position >= o.first_position
    union all
    select o.object_id, o.entity, o.source_partition, o.first_position, o.last_position, o.key
    from ledger.batch b join ledger.object o using (batch_id)
    where (b.published_in is null or b.state <> 'loaded') and o.state = 'batched'
        and o.last_position >= o.first_position),
dated as (
    select u.*, substring(u.key from '/date=[0-9-]{10}/') as named,
        (select min(d.day) from ledger.object_day d where d.object_id = u.object_id) as read_from
    from unpublished u)
"""

_WAITING = (
    _UNPUBLISHED
    + """
select entity, source_partition, count(*) as files, min(first_position) as first_position,
    max(last_position) as last_position, min(key) as key, min(read_from) as read_from,
    min(first_position) filter (where read_from is null) as unread_first,
    min(named) filter (where read_from is null) as unread_named
from dated group by 1, 2 order by 1, 2
"""
)

_PROMISED = (
    _UNPUBLISHED
    + """
select entity, named, sum(last_position - first_position + 1)::bigint from dated
where read_from is null group by 1, 2
"""
)

_FILES = """
select o.object_id, o.key, d.day, d.row_count from ledger.object o left join ledger.object_day d using (object_id)
where o.object_id = any(%s) order by o.object_id, d.day
"""

_DAYS_OF_KEYS = """
select o.key, min(d.day), max(d.day) from ledger.object o join ledger.object_day d using (object_id)
where o.key = any(%s) and o.state in ('seen', 'batched') group by 1
"""

_READ_BEFORE = """
select max(d.day) from ledger.object_day d where d.object_id = (
    select o.object_id from ledger.object o
    where o.entity = %s and o.source_partition = %s and o.first_position < %s and o.state in ('seen', 'batched')
        and exists (select 1 from ledger.object_day n where n.object_id = o.object_id)
    order by o.first_position desc limit 1)
"""


@dataclass(frozen=True)
class SpecialFile:
    """A file that repeats positions, or was set aside.

    Attributes:
        repeated: How many positions at its beginning earlier live files hold.
    """

    object_id: str
    entity: str
    source_partition: str
    state: str
    first_position: int
    last_position: int
    repeated: int

    @property
    def fresh(self) -> int:
        """Return how many of its positions nobody else delivers."""
        return self.last_position - self.first_position + 1 - self.repeated


@dataclass(frozen=True)
class ReadRows:
    """Rows of the files of a source partition that were read, on one event day; `committed` are in landed batches."""

    entity: str
    source_partition: str
    day: date
    row_count: int
    committed: int


@dataclass(frozen=True)
class Waiting:
    """The files of a source partition that are not published; read ones say their days, unread ones their key's."""

    entity: str
    source_partition: str
    files: int
    first_position: int
    last_position: int
    key: str
    read_from: date | None
    unread_first: int | None
    unread_named: str | None


@dataclass(frozen=True)
class FileRows:
    """A file's key and its rows per event day, ascending; none when it was not read."""

    key: str
    days: tuple[tuple[date, int], ...]


def special_files(connection: Connection) -> list[SpecialFile]:
    """Return the files that repeat positions, are in quarantine or discarded, by partition and position."""
    found: list[SpecialFile] = []
    with connection.cursor(row_factory=class_row(SpecialFile)) as cursor:
        for sequence in connection.execute(_SEQUENCES).fetchall():
            found += cursor.execute(_SPECIAL, sequence).fetchall()
    return found


def read_rows(connection: Connection) -> list[ReadRows]:
    """Return what read files hold, repeated deliveries included."""
    with connection.cursor(row_factory=class_row(ReadRows)) as cursor:
        return cursor.execute(_READ).fetchall()


def landed_rows(connection: Connection) -> int:
    """Return how many rows the landed batches have by their own word."""
    row = connection.execute(_LANDED_ROWS).fetchone()
    return int(row[0]) if row else 0


def waiting_files(connection: Connection) -> list[Waiting]:
    """Return what is not published, per source partition."""
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(_WAITING).fetchall()


def promised_rows(connection: Connection) -> list[tuple[str, str | None, int]]:
    """Return entity, the part of the key that names the date, and the rows promised by files not read yet."""
    return connection.execute(_PROMISED).fetchall()


def file_rows(connection: Connection, object_ids: Collection[str]) -> dict[str, FileRows]:
    """Return key and rows per day of files."""
    keys: dict[str, str] = {}
    days: dict[str, list[tuple[date, int]]] = defaultdict(list)
    for object_id, key, day, count in connection.execute(_FILES, (list(object_ids),)).fetchall() if object_ids else ():
        keys[object_id] = key
        if day is not None:
            days[object_id].append((day, count))
    return {object_id: FileRows(key, tuple(days[object_id])) for object_id, key in keys.items()}


def days_of_keys(connection: Connection, keys: Collection[str]) -> dict[str, tuple[date, date]]:
    """Return the first and last event day of the files under keys, those that were read."""
    rows = connection.execute(_DAYS_OF_KEYS, (list(keys),)).fetchall() if keys else []
    return {key: (first, last) for key, first, last in rows}


def read_before(connection: Connection, entity: str, source_partition: str, *, position: int) -> date | None:
    """Return the last event day of the nearest read file that begins before a position; None without one."""
    row = connection.execute(_READ_BEFORE, (entity, source_partition, position)).fetchone()
    return row[0] if row else None
