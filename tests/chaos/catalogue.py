"""What can go wrong, and which of it a seeded schedule tries. Pure: nothing is broken here.

A schedule is two kills at step boundaries, or one trouble with a kill beside it. Kills and troubles are drawn from a
shuffled deck, so that 50 schedules hold every cell of boundary x victim and every trouble at least once.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TypeVar

from killing import Victim
from stopping import IN_BRIDGE, Boundary

T = TypeVar("T")


@dataclass(frozen=True)
class Kill:
    """A process stands still at a boundary, the victim is killed, what still lives goes on."""

    boundary: Boundary
    victim: Victim

    def __str__(self) -> str:
        return f"{self.boundary} x {self.victim} killed"


class Trouble(StrEnum):
    """What goes wrong beside kills; the value is its name in reports."""

    EVENTS_DROPPED = "every event dropped"
    EVENTS_DOUBLED = "every event doubled"
    EVENTS_LATE = "every event an hour late"
    EVENTS_REORDERED = "events in another order"
    EVENTS_TENTH_LOST = "10 % of the events lost"
    SHORT_VISIBILITY = "visibility timeout shorter than the work"
    TWO_BRIDGES = "two bridges at once"
    TWO_WORKERS = "two workers at once"
    SKEWED_CLOCKS = "clocks a minute apart"
    DISK_FULL_POSTGRES = "disk full: postgres"
    DISK_FULL_SNOWFLAKE = "disk full: snowflake"
    DISK_FULL_FLOWS = "disk full: flow processes"
    NO_CONNECTIONS = "postgres out of connections"
    POSTGRES_DOWN = "postgres down for longer than the visibility timeout"
    SNAPSHOT_ROLLED_BACK = "a snapshot rolled back"
    SNAPSHOTS_EXPIRED = "a batch older than snapshot retention driven again"
    LEDGER_LOST = "the ledger lost and rebuilt"


ALONE = frozenset({Trouble.SNAPSHOT_ROLLED_BACK, Trouble.SNAPSHOTS_EXPIRED, Trouble.LEDGER_LOST})
"""An operator's repair is part of them; nothing else breaks meanwhile."""

BRIDGE_STOPS = frozenset({Trouble.SHORT_VISIBILITY, Trouble.POSTGRES_DOWN, Trouble.EVENTS_DROPPED, Trouble.EVENTS_LATE})
"""They stop the bridge themselves, or give it nothing to receive: the kill beside them is in a flow."""

MANY_FILES = frozenset({Trouble.EVENTS_REORDERED, Trouble.EVENTS_TENTH_LOST, Trouble.EVENTS_DOUBLED})
"""They need more than one file per entity and day."""

KILLS: tuple[Kill, ...] = tuple(Kill(boundary, victim) for boundary, victim in product(Boundary, Victim))
TROUBLE_EVERY = 3
"""Every third schedule has a trouble."""

Fault = Kill | Trouble


@dataclass(frozen=True)
class Schedule:
    """Faults that strike while one or two days of sales go through."""

    number: int
    faults: tuple[Fault, ...]

    @property
    def kills(self) -> tuple[Kill, ...]:
        """Return the kills in the order in which they are armed."""
        return tuple(fault for fault in self.faults if isinstance(fault, Kill))

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Return the troubles."""
        return tuple(fault for fault in self.faults if isinstance(fault, Trouble))

    def __str__(self) -> str:
        return " + ".join(str(fault) for fault in self.faults)


def plan_schedules(count: int, *, seed: int) -> tuple[Schedule, ...]:
    """Draw schedules; the same seed gives the same ones, and a longer plan begins like a shorter one."""
    kills = _deck(KILLS, random.Random(f"{seed} kills"))  # noqa: S311 - a plan, no secret
    troubles = _deck(tuple(Trouble), random.Random(f"{seed} troubles"))  # noqa: S311
    held: list[Kill] = []
    schedules = []
    for number in range(count):
        if number % TROUBLE_EVERY:
            pair = (held.pop() if held else next(kills), next(kills))
            schedules.append(Schedule(number, pair))
            continue
        trouble = next(troubles)
        if trouble in ALONE:
            schedules.append(Schedule(number, (trouble,)))
            continue
        while (kill := next(kills)).boundary in IN_BRIDGE and trouble in BRIDGE_STOPS:
            held.append(kill)
        schedules.append(Schedule(number, (trouble, kill)))
    return tuple(schedules)


def _deck(cards: Sequence[T], source: random.Random) -> Iterator[T]:
    while True:
        yield from source.sample(cards, len(cards))
