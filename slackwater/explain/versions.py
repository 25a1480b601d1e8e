"""The versions of one key, put together from what the shop, raw, the lake and ClickHouse hold. Pure.

Rows equal in (epoch, LSN, operation) are one change, however many objects brought it; the greatest in the change order
speaks for them. The change order alone says which version is newest, never the time of arrival.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

from slackwater.explain.facts import ChangeRow, ObjectFacts, ShopVersion
from slackwater.explain.work_facts import BatchTrail


class Stage(IntEnum):
    """How far a version came, in the order of the way."""

    UNKNOWN = -1  # the ledger did not answer
    SHOP_ONLY = 0  # no store but the shop knows it
    UNSEEN = 1  # ClickHouse has it, no object of the ledger holds it
    STOPPED = 2  # its object was quarantined, superseded or discarded
    SEEN = 3  # its object waits for a batch
    SEALED = 4
    LANDED = 5
    LOADED = 6
    REJECTED = 7  # loaded, and the last refresh that held it was rejected
    PUBLISHED = 8


@dataclass(frozen=True)
class Version:
    """One version of a key.

    Attributes:
        change: The row that speaks for it; None when only the shop has it.
        raw: The same change in raw, if it is there.
        speed: The same change in ClickHouse, if it is there.
        shop: The row of the shop's history it came from, if there is one.
        also_in: Ids of other objects that brought the same change; it counts once.
    """

    change: ChangeRow | None
    raw: ChangeRow | None = None
    speed: ChangeRow | None = None
    shop: ShopVersion | None = None
    also_in: tuple[str, ...] = ()

    @property
    def event_at(self) -> datetime | None:
        """Return when the source made it."""
        if self.change is not None:
            return self.change.event_at
        return self.shop.event_at if self.shop else None


def versions_of(
    *, raw: Sequence[ChangeRow], lake: Sequence[ChangeRow], speed: Sequence[ChangeRow], shop: Sequence[ShopVersion]
) -> tuple[Version, ...]:
    """Return every version of one key, newest first.

    Args:
        raw: Its rows in raw, in any order; they speak before the lake's and ClickHouse's.
        lake: Its rows of batches that are landed and not loaded.
        speed: Its rows in ClickHouse.
        shop: Its rows of the shop's history; those no change matches become versions of their own.
    """
    groups: dict[tuple[int, int, str], list[Version]] = defaultdict(list)
    for source in (raw, lake, speed):
        for row in source:
            groups[row.identity].append(Version(row, raw=row if source is raw else None))
    fed = {row.identity: row for row in sorted(speed, key=lambda row: row.order)}
    changes = sorted((_spoken(group, fed) for group in groups.values()), key=_order, reverse=True)
    matched, unmatched = _matched(changes, shop)
    return _with_shop_only(matched, unmatched)


def stage_of(
    version: Version,
    *,
    objects: Mapping[str, ObjectFacts],
    trails: Mapping[str, BatchTrail],
    is_ledger_known: bool = True,
) -> Stage:
    """Say how far a version came: what raw holds comes before what the ledger says."""
    if version.change is None:
        return Stage.SHOP_ONLY
    if not is_ledger_known:
        return Stage.UNKNOWN
    trail = trails.get(batch_of(version, objects) or "")
    if trail is not None:
        return max(stage_of_batch(trail), Stage.LOADED) if version.raw else stage_of_batch(trail)
    if version.raw is not None:
        return Stage.LOADED
    found = objects.get(version.change.object_id)
    if found is None:
        return Stage.UNSEEN
    return Stage.SEEN if found.state == "seen" else Stage.STOPPED


def stage_of_batch(trail: BatchTrail) -> Stage:
    """Say how far a batch came."""
    if trail.published_by is not None:
        return Stage.PUBLISHED
    if trail.batch.state != "loaded":
        return Stage.LANDED if trail.batch.state == "landed" else Stage.SEALED
    is_rejected = bool(trail.refreshes) and trail.refreshes[-1].refresh.state == "rejected"
    return Stage.REJECTED if is_rejected else Stage.LOADED


def batch_of(version: Version, objects: Mapping[str, ObjectFacts]) -> str | None:
    """Return the batch that carries a version: the one its row names, else the one its object is in."""
    if version.change is None:
        return None
    if version.change.batch_id is not None:
        return version.change.batch_id
    found = objects.get(version.change.object_id)
    return carrying_batch(found) if found else None


def carrying_batch(found: ObjectFacts) -> str | None:
    """Return the newest batch that did not go on without an object, None when there is none."""
    carried = [batch_id for batch_id in found.batch_ids if batch_id not in found.skipped_in]
    return carried[-1] if carried else None


def changed_columns(version: Version, before: Version | None) -> tuple[str, ...]:
    """Return the names of the columns in which a version differs from the one before; none without values on a side."""
    if (
        version.change is None
        or before is None
        or before.change is None
        or "d" in (version.change.op, before.change.op)
    ):
        return ()
    old = before.change.values
    return tuple(name for name, value in version.change.values.items() if name in old and old[name] != value)


def _spoken(group: Sequence[Version], fed: Mapping[tuple[int, int, str], ChangeRow]) -> Version:
    """Return one version for the rows of one change: raw's greatest, else the lake's, else ClickHouse's."""
    loaded = [item for item in group if item.raw is not None]
    stored = loaded or [item for item in group if item.change is not None and item.change.batch_id] or list(group)
    spoken = max(stored, key=_order)
    if spoken.change is None:
        raise AssertionError("a version of a store has its row")
    others = {item.change.object_id for item in group if item.change is not None} - {spoken.change.object_id}
    return replace(spoken, speed=fed.get(spoken.change.identity), also_in=tuple(sorted(others)))


def _order(version: Version) -> tuple[int, int, bool, int, str]:
    if version.change is None:
        raise AssertionError("only versions with a change have a place in the change order")
    place = version.change.order
    return (place.epoch, place.lsn, place.is_streamed, place.position, place.object_id)


def _matched(changes: Sequence[Version], shop: Sequence[ShopVersion]) -> tuple[list[Version], tuple[ShopVersion, ...]]:
    """Give each change the shop's row of the same operation and millisecond; files may keep no more than that."""
    waiting: dict[tuple[str, datetime], deque[ShopVersion]] = defaultdict(deque)
    for row in sorted(shop, key=lambda row: row.history_id, reverse=True):
        waiting[row.operation, _to_millisecond(row.event_at)].append(row)
    matched: list[Version] = []
    for version in changes:
        if version.change is None:
            continue
        operation = "c" if version.change.op == "r" else version.change.op
        rows = waiting.get((operation, _to_millisecond(version.change.event_at)))
        matched.append(replace(version, shop=rows.popleft()) if rows else version)
    return matched, tuple(row for rows in waiting.values() for row in rows)


def _with_shop_only(changes: Iterable[Version], unmatched: Sequence[ShopVersion]) -> tuple[Version, ...]:
    """Put versions only the shop has before the first change that is not newer than they are."""
    left = deque(sorted(unmatched, key=lambda row: row.history_id, reverse=True))
    merged: list[Version] = []
    for version in changes:
        while left and version.event_at is not None and left[0].event_at > version.event_at:
            merged.append(Version(None, shop=left.popleft()))
        merged.append(version)
    return (*merged, *(Version(None, shop=row) for row in left))


def _to_millisecond(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)
