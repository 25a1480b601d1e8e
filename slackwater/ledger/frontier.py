"""The frontier: how far each source partition is published without a gap. Pure walk over ranges plus the queries.

So that it does not read the whole ledger, every publication notes per partition how far it is settled for good
(`ledger.partition_floor`); the next walk begins there. Whatever sets an object below a floor aside forgets it; one
that only waits again (a discarded file retried) is asked for anyway.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slackwater.clients.postgres import Connection

Place = tuple[str, str]
"""An entity and a source partition."""

_LOWEST = -(2**63)

_FLOORS = """
with recursive place as (
    (select entity, source_partition from ledger.object
     where first_position is not null order by entity, source_partition limit 1)
    union all
    select n.entity, n.source_partition from place p cross join lateral (
        select entity, source_partition from ledger.object
        where first_position is not null and (entity, source_partition) > (p.entity, p.source_partition)
        order by entity, source_partition limit 1) n)
select p.entity, p.source_partition, f.first_position, f.position
from place p left join ledger.partition_floor f
    on f.entity = p.entity and f.source_partition = p.source_partition and f.first_position = (
        select o.first_position from ledger.object o
        where o.entity = p.entity and o.source_partition = p.source_partition and o.first_position is not null
            and o.last_position >= o.first_position
        order by o.first_position limit 1)
where p.entity is not null and p.source_partition is not null
"""
"""Each partition with its floor; a file from before the floor's beginning makes the floor void."""

_ABOVE = """
select o.first_position, o.last_position, o.state, b.published_in is not null
from ledger.object o left join ledger.batch b using (batch_id)
where o.entity = %s and o.source_partition = %s and o.first_position is not null and o.last_position > %s
"""

_PENDING = """
select entity, source_partition, min(first_position) from (
    select o.entity, o.source_partition, o.first_position, o.last_position from ledger.object o where o.state = 'seen'
    union all
    select o.entity, o.source_partition, o.first_position, o.last_position
    from ledger.batch b join ledger.object o using (batch_id)
    where b.published_in is null and o.state = 'batched') waiting
where last_position >= first_position
group by entity, source_partition
"""


@dataclass(frozen=True)
class Floor:
    """A source partition, and how far it is settled for good.

    Attributes:
        first: The lowest known position; None without a floor.
        position: Up to here, without a gap, everything is settled; None without a floor.
    """

    entity: str
    source_partition: str
    first: int | None
    position: int | None

    @property
    def above(self) -> int:
        """Return the position above which there may be anything unsettled."""
        return _LOWEST if self.position is None else self.position


@dataclass(frozen=True)
class PositionRange:
    """Positions one object holds, both ends included.

    Attributes:
        is_settled: A published refresh holds its batch and the batch did not skip it, or somebody discarded it.
        is_pending: It waits for a batch, a load or a refresh (neither settled nor set aside).
    """

    first: int
    last: int
    is_settled: bool
    is_pending: bool


def settled_run(ranges: Iterable[PositionRange]) -> tuple[int, int] | None:
    """Return the lowest known position and the greatest one up to which everything is settled.

    The walk accepts overlaps (at-least-once delivery) and stops before the first gap. An object set aside blocks only
    positions no settled object covers.

    Args:
        ranges: One partition's objects in any order; files without rows (`last < first`) are ignored.

    Returns:
        Both ends (the second one below the first when nothing is settled yet); None without any range.
    """
    known = sorted((r for r in ranges if r.last >= r.first), key=lambda r: (r.first, r.last))
    if not known:
        return None
    reached = known[0].first - 1
    for item in known:
        if item.is_settled:
            if item.first > reached + 1:
                break
            reached = max(reached, item.last)
    return known[0].first, reached


def contiguous_frontier(ranges: Sequence[PositionRange]) -> int | None:
    """Return the greatest position up to which everything is settled and nothing is pending; see `settled_run`."""
    run = settled_run(ranges)
    if run is None:
        return None
    pending = [item.first for item in ranges if item.is_pending and item.last >= item.first]
    return min([run[1], *(first - 1 for first in pending)])


def published_frontier(connection: Connection) -> dict[Place, int]:
    """Return per (entity, source partition) the contiguously published position."""
    ranges = _ranges(connection)
    for entity, partition, first in connection.execute(_PENDING).fetchall():
        if (entity, partition) in ranges:
            ranges[(entity, partition)].append(PositionRange(first, first, is_settled=False, is_pending=True))
    found = {place: contiguous_frontier(items) for place, items in ranges.items()}
    return {place: position for place, position in found.items() if position is not None}


def floors(connection: Connection) -> list[Floor]:
    """Return every source partition with its floor, in order."""
    return [Floor(*row) for row in connection.execute(_FLOORS).fetchall()]


def advance_floors(connection: Connection) -> None:
    """Note how far each partition is settled; in the transaction that publishes."""
    _lock(connection)
    for (entity, partition), items in _ranges(connection).items():
        run = settled_run(items)
        if run is not None and run[1] >= run[0]:
            connection.execute(
                "insert into ledger.partition_floor (entity, source_partition, first_position, position)"
                " values (%s, %s, %s, %s) on conflict (entity, source_partition) do update"
                " set first_position = excluded.first_position, position = excluded.position"
                " where (partition_floor.first_position, partition_floor.position)"
                "  <> (excluded.first_position, excluded.position)",
                (entity, partition, *run),
            )


def forget_floor(connection: Connection, object_id: str) -> None:
    """Walk an object's partition from its beginning again; after an object below the floor was set aside."""
    _lock(connection)
    connection.execute(
        "delete from ledger.partition_floor f using ledger.object o where o.object_id = %s and f.entity = o.entity"
        " and f.source_partition = o.source_partition and o.first_position <= f.position",
        (object_id,),
    )


def _lock(connection: Connection) -> None:
    # A publication must not note as settled what another transaction is unsettling; readers are not held up.
    connection.execute("lock table ledger.partition_floor in exclusive mode")


def _ranges(connection: Connection) -> dict[Place, list[PositionRange]]:
    """Return per partition its floor as one settled range, and every object that reaches above it."""
    ranges: dict[Place, list[PositionRange]] = defaultdict(list)
    for floor in floors(connection):
        place = ranges[(floor.entity, floor.source_partition)]
        if floor.first is not None and floor.position is not None:
            place.append(PositionRange(floor.first, floor.position, is_settled=True, is_pending=False))
        # One query per partition: with the floor as a constant the planner sees how little lies above it.
        above = connection.execute(_ABOVE, (floor.entity, floor.source_partition, floor.above)).fetchall()
        for first, last, state, is_published in above:
            is_settled = state == "discarded" or (state == "batched" and is_published)
            is_pending = state in {"seen", "batched"} and not is_settled
            place.append(PositionRange(first, last, is_settled=is_settled, is_pending=is_pending))
    return ranges
