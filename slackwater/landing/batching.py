"""Decides which waiting objects become batches now. Pure: ages come from the database's clock, nothing is read here.

A burst should become few batches: objects of an entity gather while two of its batches are still on their way, so a
slow consumer gets larger batches instead of more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from slackwater.ledger.model import OpenObject

BATCHES_IN_FLIGHT = 2
"""So many unloaded batches of an entity make its next objects gather."""

HOLD_FACTOR = 30
"""Gathering ends after so many times the greatest age: two batches that never load must not hold up the entity.

2026-11-21: with 6 (a minute) a year replayed on a busy machine became 52 batches while each waited over five minutes.
"""


@dataclass(frozen=True)
class SealRules:
    """When a batch is sealed; see `LandingSettings` for the meaning of each field."""

    max_objects: int
    max_bytes: int
    max_age_seconds: float
    idle_seconds: float


@dataclass(frozen=True)
class SealPlan:
    """One batch to make; `cause` is `size`, `age` or `idle`."""

    entity: str
    object_ids: tuple[str, ...]
    cause: str


def plan_seals(
    waiting: Sequence[OpenObject],
    *,
    unloaded: Mapping[str, int],
    rules: SealRules,
    cut_off: Collection[str] = frozenset(),
) -> tuple[SealPlan, ...]:
    """Group waiting objects into the batches that are due.

    Args:
        waiting: The waiting objects, per entity the oldest first.
        unloaded: Per entity how many batches are not loaded yet; an absent one has none.
        rules: Bounds of a batch.
        cut_off: Entities of which only the oldest objects are given. What is left of them after the full batches waits
            for the next look: younger ones that were not shown may belong to it.

    Returns:
        Plans of disjoint objects, in the order of `waiting`. What is in no plan goes on waiting.
    """
    plans: list[SealPlan] = []
    by_entity = sorted(waiting, key=lambda item: item.entity)
    for entity, items in groupby(by_entity, key=lambda item: item.entity):
        is_gathering = unloaded.get(entity, 0) >= BATCHES_IN_FLIGHT
        *full, rest = _chunks(list(items), rules=rules)
        plans += [SealPlan(entity, tuple(item.object_id for item in chunk), "size") for chunk in full]
        cause = _cause(rest, rules=rules, is_gathering=is_gathering)
        if cause == "size" or (cause is not None and entity not in cut_off):
            plans.append(SealPlan(entity, tuple(item.object_id for item in rest), cause))
    return tuple(plans)


def _chunks(items: list[OpenObject], *, rules: SealRules) -> list[list[OpenObject]]:
    """Split at the size bounds; every chunk but the last is full, the last holds at least one object."""
    chunks: list[list[OpenObject]] = [[]]
    size_bytes = 0
    for item in items:
        is_full = len(chunks[-1]) >= rules.max_objects or size_bytes + item.size_bytes > rules.max_bytes
        if chunks[-1] and is_full:
            chunks.append([])
            size_bytes = 0
        chunks[-1].append(item)
        size_bytes += item.size_bytes
    return chunks


def _cause(chunk: Sequence[OpenObject], *, rules: SealRules, is_gathering: bool) -> str | None:
    oldest = max(item.age_seconds for item in chunk)
    newest = min(item.age_seconds for item in chunk)
    if len(chunk) >= rules.max_objects or sum(item.size_bytes for item in chunk) >= rules.max_bytes:
        return "size"
    if is_gathering:
        return "age" if oldest >= HOLD_FACTOR * rules.max_age_seconds else None
    if oldest >= rules.max_age_seconds:
        return "age"
    return "idle" if newest >= rules.idle_seconds else None
