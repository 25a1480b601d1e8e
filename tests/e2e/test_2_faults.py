"""Kill any part between any two steps: the system comes back by itself and ends in the same numbers, every row once.

Twelve cells of the fault suite in four schedules; every boundary and every victim is among them, and `make chaos` plays
all the others. The cells of a schedule strike the same days of sales one after the other, so that they share a refresh.
"""

import random
from collections.abc import Callable
from datetime import date
from functools import cache

import pytest
from catalogue import Fault, Kill, Schedule, Trouble
from killing import Victim
from player import Played, Player
from stopping import Boundary
from world import World

pytestmark = pytest.mark.e2e

SCHEDULES: tuple[tuple[Fault, ...], ...] = (
    (
        Kill(Boundary.AFTER_RECEIVE, Victim.BRIDGE),
        Kill(Boundary.AFTER_LAKE_COMMIT, Victim.FLOW),
        Kill(Boundary.BEFORE_PUBLISH, Victim.CLICKHOUSE),
    ),
    (
        Kill(Boundary.AFTER_LEDGER_COMMIT, Victim.S3),
        Kill(Boundary.INSIDE_LOAD_TRANSACTION, Victim.FLOW),
        Kill(Boundary.DURING_DBT, Victim.FLOW),
    ),
    (
        Kill(Boundary.AFTER_SEAL, Victim.BRIDGE),
        Kill(Boundary.AFTER_COPY, Victim.SNOWFLAKE),
        Kill(Boundary.AFTER_PUBLISH, Victim.FLOW),
    ),
    (
        Trouble.EVENTS_TENTH_LOST,
        Kill(Boundary.AFTER_FOLD, Victim.PREFECT),
        Kill(Boundary.AFTER_LOAD, Victim.POSTGRES),
    ),
)
CELLS = [(number, fault) for number, faults in enumerate(SCHEDULES) for fault in faults]
DAY_BEFORE_NEW_SALES = date(2011, 1, 3)

Play = Callable[[int], Played]


@pytest.fixture(scope="module")
def play(december: World) -> Play:
    """Plays a schedule when its first cell asks for it; sales go on where the last one ended."""
    player = Player(december, DAY_BEFORE_NEW_SALES, say=print)

    @cache
    def play_once(number: int) -> Played:
        before = len(december.published_metrics())
        source = random.Random(number)  # noqa: S311 - a plan, no secret
        played = player.play(Schedule(number, SCHEDULES[number]), source=source)
        print(played.seconds)
        assert len(december.published_metrics()) > before
        return played

    return play_once


@pytest.mark.parametrize(("number", "fault"), CELLS, ids=[f"{number}: {fault}" for number, fault in CELLS])
def test_a_fault_loses_nothing_and_doubles_nothing(play: Play, number: int, fault: Fault) -> None:
    played = play(number)
    assert fault in played.struck, played.missed
    assert played.account.problems == ()
    assert (played.account.rows_lost, played.account.rows_doubled) == (0, 0)


def test_every_boundary_and_every_victim_is_among_the_cells() -> None:
    kills = [fault for _, fault in CELLS if isinstance(fault, Kill)]
    assert len(CELLS) == 12
    assert {kill.boundary for kill in kills} == set(Boundary)
    assert {kill.victim for kill in kills} == set(Victim)
