"""Puts things of a weight into bins of a target weight; knows nothing of what they are. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from slackwater.errors import InvalidPlanError

T = TypeVar("T")


def pack(items: Sequence[T], *, weight: Callable[[T], int], target: int) -> tuple[tuple[T, ...], ...]:
    """Put items into bins of at most a target weight: first fit, heaviest first.

    Args:
        items: What is packed; one heavier than the target gets a bin of its own.
        weight: Weight of an item, > 0.
        target: Most weight of a bin, > 0.

    Raises:
        InvalidPlanError: A weight or the target is not positive.
    """
    if target <= 0 or any(weight(item) <= 0 for item in items):
        raise InvalidPlanError(f"weights and target must be positive; the target is {target}")
    bins: list[list[T]] = []
    room: list[int] = []
    for item in sorted(items, key=weight, reverse=True):
        place = next((number for number, left in enumerate(room) if weight(item) <= left), None)
        if place is None:
            bins.append([item])
            room.append(target - weight(item))
        else:
            bins[place].append(item)
            room[place] -= weight(item)
    return tuple(tuple(one) for one in bins)
