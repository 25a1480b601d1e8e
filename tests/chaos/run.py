"""Break a running system on purpose, again and again, and count what was lost or doubled. Both must be 0.

A stack of its own is started on free ports and removed afterwards. Each schedule sends the next day or more of real
sales, breaks what its seed says, waits until the system has repaired itself, and compares every store with what was
sent. The same seed gives the same schedules; `--only` plays one of them again.
"""

import argparse
import random
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import psutil
import psycopg
from accounts import Account
from catalogue import Schedule, plan_schedules
from fault_stack import fault_stack
from player import FOLD_SHARE, Played, Player
from report import as_json, line_of, matrix, summary
from world import World

from slackwater.errors import SlackwaterError

FIRST_DAYS_END = date(2010, 12, 3)
SCHEDULES = 50

Say = Callable[[str], None]


def main() -> int:
    """Play the schedules; 0 when nothing was lost, doubled or missed."""
    options = _arguments()

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    schedules: Sequence[Schedule] = plan_schedules(options.schedules, seed=options.seed)[options.begin :]
    if options.only is not None:
        schedules = plan_schedules(options.only + 1, seed=options.seed)[-1:]
    say(f"{len(schedules)} schedules, seed {options.seed}")
    results: list[Played] = []
    try:
        for played in play(schedules, seed=options.seed, fold_share=options.folds, say=say):
            results.append(played)
    except KeyboardInterrupt:
        say("interrupted; the stack is removed")
    print(as_json(results, seed=options.seed) if options.json else f"\n{summary(results, seed=options.seed)}")
    if options.matrix:
        say(f"\n{matrix(results)}")
    return 0 if len(results) == len(schedules) and all(played.is_good for played in results) else 1


def play(schedules: Sequence[Schedule], *, seed: int, fold_share: float, say: Say) -> Iterator[Played]:
    """Play the schedules one after another on one stack; the first loss does not end it."""
    with fault_stack() as world:
        player = start(world, fold_share=fold_share, say=say)
        for schedule in schedules:
            say(f"schedule {schedule.number}: {schedule}")
            source = random.Random(f"{seed} {schedule.number}")  # noqa: S311 - a plan, no secret
            played = play_one(player, schedule, source=source)
            say(line_of(played))
            yield played


def play_one(player: Player, schedule: Schedule, *, source: random.Random) -> Played:
    """Play a schedule; one that cannot be played to its end is bad, and the others go on."""
    try:
        return player.play(schedule, source=source)
    except (AssertionError, SlackwaterError, OSError, psutil.Error, psycopg.Error) as exc:
        account = Account(rows_sent=0, rows_lost=0, rows_doubled=0, problems=(f"{type(exc).__name__}: {exc}",))
        return Played(schedule, (), (), account, dict(player.seconds))


def start(world: World, *, fold_share: float, say: Say) -> Player:
    """Send the first days, so that every changelog and every mart has something."""
    begin = time.monotonic()
    player = Player(world, FIRST_DAYS_END, say=lambda text: say(f"  {text}"), fold_share=fold_share)
    world.replay(to_date=FIRST_DAYS_END)
    world.settle()
    say(f"the first days are published after {time.monotonic() - begin:.0f} s")
    return player


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help=f"how many; {SCHEDULES} hold every fault")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the plan; a random one, which is printed, by default"
    )
    parser.add_argument("--only", type=int, default=None, metavar="K", help="play schedule K of the seed alone")
    parser.add_argument(
        "--from", type=int, default=0, dest="begin", metavar="K", help="begin at schedule K: goes on with a former run"
    )
    parser.add_argument(
        "--folds",
        type=float,
        default=FOLD_SHARE,
        metavar="SHARE",
        help="in so many schedules the lake is folded and rewritten at a random moment, 0 to 1 (%(default)s)",
    )
    parser.add_argument("--matrix", action="store_true", help="also print how often each cell was struck")
    parser.add_argument("--json", action="store_true", help="print one JSON document; the progress goes to stderr")
    options = parser.parse_args()
    if not 0.0 <= options.folds <= 1.0:
        parser.error(f"--folds is a share from 0 to 1, not {options.folds}")
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    return options


if __name__ == "__main__":
    sys.exit(main())
