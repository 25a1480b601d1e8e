"""The frontier: how far each source partition is published without a gap. Pure walk over ranges plus the one query."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from slackwater.clients.postgres import Connection


@dataclass(frozen=True)
class PositionRange:
    """Positions one object holds, both ends included.

    Attributes:
        is_published: A published refresh holds its batch and the batch did not skip it.
        is_pending: It waits for a batch, a load or a refresh (neither published nor set aside).
    """

    first: int
    last: int
    is_published: bool
    is_pending: bool


def contiguous_frontier(ranges: Iterable[PositionRange]) -> int | None:
    """Return the greatest position up to which everything is published.

    The walk starts at the lowest known position, accepts overlaps (at-least-once delivery), and stops before the first
    gap and before any pending object. An object set aside blocks only positions no published object covers.

    Args:
        ranges: One partition's objects in any order; files without rows (`last < first`) are ignored.

    Returns:
        The position (one below the lowest when nothing is published yet); None without any range.
    """
    known = sorted((r for r in ranges if r.last >= r.first), key=lambda r: (r.first, r.last))
    if not known:
        return None
    reached = known[0].first - 1
    for item in known:
        if item.is_published:
            if item.first > reached + 1:
                break
            reached = max(reached, item.last)
    pending = [item.first for item in known if item.is_pending]
    return min([reached, *(first - 1 for first in pending)])


def published_frontier(connection: Connection) -> dict[tuple[str, str], int]:
    """Return per (entity, source partition) the contiguously published position."""
    rows = connection.execute(
        "select o.entity, o.source_partition, o.first_position, o.last_position, o.state in ('seen', 'batched'),"
        " o.state = 'batched' and exists (select 1 from ledger.refresh_batch m join ledger.refresh r using (refresh_id)"
        "  where m.batch_id = o.batch_id and r.state = 'published')"
        " from ledger.object o where o.first_position is not null and o.entity is not null"
    ).fetchall()
    ranges: dict[tuple[str, str], list[PositionRange]] = defaultdict(list)
    for entity, partition, first, last, is_live, is_published in rows:
        ranges[(entity, partition)].append(
            PositionRange(first, last, is_published=is_published, is_pending=is_live and not is_published)
        )
    found = {key: contiguous_frontier(items) for key, items in ranges.items()}
    return {key: position for key, position in found.items() if position is not None}
