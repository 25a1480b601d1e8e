"""Plays one schedule on a running stack: sends sales, strikes, waits until all is at rest, and takes the account."""

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from accounts import Account, take_account
from catalogue import MANY_FILES, Fault, Kill, Schedule
from extras import NotHere
from killing import wait_until_healed
from messages import landing_keys
from prompting import Prompter
from strikes import Say, Strikes
from trouble import BaseTrouble
from troubles import TROUBLES
from upkeep import fold_to_the_end
from world import World

from slackwater.errors import StoreUnavailable
from slackwater.replay.files import SliceBy

MOST_DAYS = 3
"""So many days of sales are sent until every armed boundary was reached."""

REPLAY_SECONDS = 120.0

FOLD_SHARE = 0.25
LATEST_FOLD_SECONDS = 20.0


@dataclass(frozen=True)
class Played:
    """What one schedule did.

    Attributes:
        schedule: The schedule.
        struck: Faults that were injected.
        missed: Faults that were not, each with the reason.
        account: What the stores held afterwards.
        seconds: Wall time of each part, by name.
    """

    schedule: Schedule
    struck: tuple[Fault, ...]
    missed: tuple[str, ...]
    account: Account
    seconds: dict[str, float]

    @property
    def is_good(self) -> bool:
        """Tell whether every fault was injected and none did harm."""
        return not (self.missed or self.account.problems or self.account.rows_lost or self.account.rows_doubled)


@dataclass
class Player:
    """Plays schedules one after another; sales go on from the day the last one ended.

    Attributes:
        world: The running system.
        day: Last day that was sent.
        say: Told what happens.
        fold_share: In so many schedules, of 1, the lake is folded and rewritten beside everything else.
    """

    world: World
    day: date
    say: Say = lambda _: None
    fold_share: float = FOLD_SHARE
    seconds: dict[str, float] = field(default_factory=dict)

    def play(self, schedule: Schedule, *, source: random.Random) -> Played:
        """Play one schedule; returns when the system is at rest and repaired."""
        self.seconds = {}
        struck: list[Fault] = []
        missed: list[str] = []
        troubles: list[BaseTrouble] = []
        try:
            for name in schedule.troubles:
                troubles.append(TROUBLES[name](self.world, source))
                try:
                    troubles[-1].before()
                except NotHere as exc:
                    missed.append(f"{name}: {exc}")
                else:
                    struck.append(name)
            by_hour = bool(set(schedule.troubles) & MANY_FILES)
            folds_after = source.uniform(0.0, LATEST_FOLD_SECONDS) if source.random() < self.fold_share else None
            strikes = Strikes(self.world, schedule.kills, self.say, folds_after_seconds=folds_after)
            hit = self._send_and_strike(strikes, troubles, slice_by=SliceBy.HOUR if by_hour else SliceBy.DAY)
            struck += hit
            missed += [f"{kill}: the boundary was not reached" for kill in schedule.kills if kill not in hit]
            with self._timed("settle"):
                self._settle()
            with self._timed("at rest"):
                for trouble in troubles:
                    if trouble.at_rest():
                        self._settle()
        finally:
            for trouble in troubles:
                trouble.end()
        with self._timed("heal"):
            wait_until_healed(self.world.profile)
            self._settle()
        if strikes.fold is not None:
            with self._timed("fold"):
                fold_to_the_end(self.world)
        with self._timed("account"):
            account = take_account(self.world)
        return Played(schedule, tuple(struck), tuple(missed), account, self.seconds)

    def _send_and_strike(self, strikes: Strikes, troubles: list[BaseTrouble], *, slice_by: SliceBy) -> list[Kill]:
        known = set(landing_keys(self.world))
        try:
            strikes.arm()
            for number in range(MOST_DAYS):
                with self._timed("send"):
                    self.send_a_day(slice_by=slice_by)
                if number == 0:
                    keys = [key for key in landing_keys(self.world) if key not in known]
                    with self._timed("trouble"):
                        for trouble in troubles:
                            trouble.after(keys)
                with self._timed("strike"):
                    strikes.wait()
                if not strikes.left:
                    break
        finally:
            strikes.end()
        return strikes.done

    def send_a_day(self, *, slice_by: SliceBy = SliceBy.DAY) -> None:
        """Send the next day that has sales; a store that is just coming back is waited for."""
        deadline = time.monotonic() + REPLAY_SECONDS
        while True:
            try:
                report = self.world.replay(to_date=self.day + timedelta(days=1), slice_by=slice_by)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
                continue
            self.day += timedelta(days=1)
            if sum(rows for (entity, _), rows in report.sent_rows.items() if entity == "orders"):
                return

    def _settle(self) -> None:
        self.world.settle(Prompter(self.world))

    @contextlib.contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - begin
