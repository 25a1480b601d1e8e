"""The plan of the fault suite: repeatable from its seed, and complete in 50 schedules."""

import pytest
from catalogue import ALONE, BRIDGE_STOPS, KILLS, Trouble, plan_schedules
from stopping import IN_BRIDGE, Boundary

from slackwater.checkpoints import Checkpoint

SEEDS = (0, 1, 2, 20261121)


@pytest.mark.parametrize("seed", SEEDS)
def test_fifty_schedules_hold_every_kill_and_every_trouble(seed: int) -> None:
    drawn = {fault for schedule in plan_schedules(50, seed=seed) for fault in schedule.faults}
    assert drawn == {*KILLS, *Trouble}
    assert len(KILLS) == 11 * 7


def test_a_seed_gives_the_same_plan_and_a_longer_plan_begins_like_a_shorter_one() -> None:
    assert plan_schedules(50, seed=7)[:20] == plan_schedules(20, seed=7)
    assert plan_schedules(20, seed=7) != plan_schedules(20, seed=8)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trouble_that_keeps_the_bridge_from_a_boundary_has_its_kill_in_a_flow(seed: int) -> None:
    for schedule in plan_schedules(200, seed=seed):
        if set(schedule.troubles) & BRIDGE_STOPS:
            assert not {kill.boundary for kill in schedule.kills} & IN_BRIDGE
        if set(schedule.troubles) & ALONE:
            assert not schedule.kills


def test_every_checkpoint_of_the_product_is_a_boundary() -> None:
    assert {str(checkpoint) for checkpoint in Checkpoint} == {str(b) for b in Boundary} - {str(Boundary.DURING_DBT)}
