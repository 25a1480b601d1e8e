"""Sweeps as the cron does, but as soon as nothing moves: a test need not wait for the next full minute."""

import time
from dataclasses import dataclass, field

from killing import is_any_run_alive
from world import World

from slackwater.clients.events import EventBus
from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.errors import SlackwaterError
from slackwater.landing.sweep import sweep
from slackwater.landing.wiring import Wiring
from slackwater.runs.awaited import awaited_batches

STILL_SECONDS = 6.0
"""An event becomes a process within about four seconds."""


@dataclass
class Prompter:
    """Call it again and again; it sweeps when no run was there for a while."""

    world: World
    still_since: float = field(default_factory=time.monotonic)
    sweeps: int = 0

    def __call__(self, *_: object) -> None:
        """Sweep if nothing moves; a store that does not answer is left to the next call."""
        now = time.monotonic()
        if is_any_run_alive(self.world.profile):
            self.still_since = now
        elif now - self.still_since >= STILL_SECONDS:
            self._sweep()
            self.still_since = time.monotonic()

    def _sweep(self) -> None:
        systems = self.world.systems
        try:
            with self.world.ledger() as ledger, EventBus(systems.events) as bus, PrefectRuns(systems.events) as runs:
                sweep(
                    ledger=ledger,
                    wiring=Wiring.of(systems.s3, systems.landing),
                    bus=bus,
                    actor="test.prompter",
                    grace_seconds=STILL_SECONDS,
                    awaited=awaited_batches(runs),
                )
                self.sweeps += 1
        except SlackwaterError:
            return
