"""Fixtures of the end-to-end tests: the whole system, filled with December by its own replay and its own events."""

from datetime import date

import pytest
from world import World

from slackwater.stack.environment import full_environment
from slackwater.stack.profile import Profile
from slackwater.stack.systems import Systems


@pytest.fixture(scope="session")
def world(live_stack: Profile) -> World:
    """The whole system, empty at first."""
    return World(live_stack, Systems.from_environment(full_environment(live_stack)))


@pytest.fixture(scope="session")
def december(world: World) -> World:
    """The whole system after December 2010 went through it, driven by S3 events alone."""
    world.replay(to_date=date(2010, 12, 31))
    world.settle()
    return world
