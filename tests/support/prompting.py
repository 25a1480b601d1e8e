"""Sweeps as the cron does, but as soon as it could help: a test need not wait for the next full minute."""

import time
from dataclasses import dataclass, field

from killing import is_any_run_alive
from world import World

from slackwater.clients.events import EventBus
from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.errors import SlackwaterError
from slackwater.landing.sealing import emit_due
from slackwater.landing.sweep import sweep
from slackwater.landing.wiring import Wiring
from slackwater.runs.awaited import awaited_batches

STILL_SECONDS = 6.0
"""An event becomes a process within about four seconds."""


@dataclass
class Prompter:
    """Call it again and again; every few seconds it drives batches that nobody holds, and sweeps when nothing runs.

    While something runs it leaves listing and sealing to the system itself: a test must not do the bridge's work.
    """

    world: World
    alive_at: float = field(default_factory=time.monotonic)
    prompted_at: float = field(default_factory=time.monotonic)

    def __call__(self, *_: object) -> None:
        """Prompt if it is time; a store that does not answer is left to the next call."""
        now = time.monotonic()
        if is_any_run_alive(self.world.profile):
            self.alive_at = now
        if now - self.prompted_at >= STILL_SECONDS:
            self._prompt(is_still=now - self.alive_at >= STILL_SECONDS)
            self.prompted_at = time.monotonic()

    def _prompt(self, *, is_still: bool) -> None:
        systems = self.world.systems
        try:
            with self.world.ledger() as ledger, EventBus(systems.events) as bus, PrefectRuns(systems.events) as runs:
                awaited = awaited_batches(runs)
                if not is_still:
                    emit_due(ledger, bus, grace_seconds=STILL_SECONDS, is_first_only=False, awaited=awaited)
                    return
                sweep(
                    ledger=ledger,
                    wiring=Wiring.of(systems.s3, systems.landing),
                    bus=bus,
                    actor="test.prompter",
                    grace_seconds=STILL_SECONDS,
                    awaited=awaited,
                )
        except SlackwaterError:
            return
