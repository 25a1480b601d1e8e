"""The committed sample as the replay plans it; nobody changes a plan, so a test process makes one."""

from functools import cache

from slackwater.replay.run import PlannedYear, plan_sample


@cache
def planned_year() -> PlannedYear:
    """Plan the committed sample once per test process: 7 CPU-seconds."""
    return plan_sample()
