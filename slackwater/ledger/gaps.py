"""Missing files: source positions between two known objects of a partition that no object holds.

Positions of a source partition are contiguous, so a file that was never written, or was deleted before anyone saw it,
shows as a hole between its neighbours. What lies before the first or after the last known position is not known here.
"""

from dataclasses import dataclass

from psycopg.rows import class_row

from slackwater.clients.postgres import Connection
from slackwater.ledger.frontier import floors

_MISSING = """
with walked as (
    select entity, source_partition, first_position, key,
        greatest(%(floor)s::bigint, max(last_position) over (
            order by first_position, last_position, object_id
            rows between unbounded preceding and 1 preceding)) as reached
    from ledger.object
    where entity = %(entity)s and source_partition = %(source_partition)s and first_position is not null
        and last_position > %(above)s and state <> 'superseded' and last_position >= first_position)
select entity, source_partition, reached + 1 as first, first_position - 1 as last,
    (select min(o.key) from ledger.object o
     where o.entity = w.entity and o.source_partition = w.source_partition and o.last_position = w.reached
        and o.first_position <= w.reached and o.state <> 'superseded') as after_key,
    key as before_key
from walked w where first_position > reached + 1
order by first
"""
"""Of one partition. Below its floor everything is settled, so nothing is missing there."""


@dataclass(frozen=True)
class MissingRange:
    """Positions nobody has seen, both ends included, and the files around them.

    Attributes:
        after_key: Landing key of the file that ends right before the hole.
        before_key: Landing key of the file that begins right after it.
    """

    entity: str
    source_partition: str
    first: int
    last: int
    after_key: str
    before_key: str

    @property
    def position_count(self) -> int:
        """Return how many positions are missing."""
        return self.last - self.first + 1

    @property
    def file_stem(self) -> str:
        """Return the name, without its ending, of the one file that would fill the hole."""
        return f"{self.source_partition}+{self.first}-{self.last}"

    def __str__(self) -> str:
        return (
            f"{self.entity}: {self.position_count} positions are missing, {self.file_stem},"
            f" between {self.after_key} and {self.before_key}"
        )


def missing_ranges(connection: Connection) -> tuple[MissingRange, ...]:
    """Return every hole between known objects, by entity, partition and position.

    An object that is quarantined or discarded is known: it is no hole. A superseded one holds nothing any more; where
    its successor was not seen yet, its positions are missing. Overlapping files (at-least-once capture) are no fault.
    """
    found: list[MissingRange] = []
    with connection.cursor(row_factory=class_row(MissingRange)) as cursor:
        for floor in floors(connection):
            place = {"entity": floor.entity, "source_partition": floor.source_partition}
            cursor.execute(_MISSING, {**place, "floor": floor.position, "above": floor.above})
            found += cursor.fetchall()
    return tuple(found)
