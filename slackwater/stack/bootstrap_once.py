"""One bootstrap of the running stores, then one full sweep: the keeper's short-lived worker process.

Writes the keeper's mark when the stores are in shape, which is what `stack up` waits for; the sweep comes after it,
because it needs the Prefect API, which starts much later than the stores.
"""

import json
import os
import time
import traceback

from slackwater.errors import SlackwaterError, TransientError
from slackwater.settings import StackSettings
from slackwater.stack import bootstrap, health
from slackwater.stack.environment import slackwater_environment
from slackwater.stack.profile import Profile, load_profile
from slackwater.stack.systems import Systems

_SWEEP_ATTEMPTS = 5
_PREFECT_WAIT_SECONDS = 180.0


def main() -> None:
    """Apply the bootstrap, write the mark, sweep."""
    home = StackSettings().home.absolute()
    profile = load_profile(home)
    if profile is None:
        raise SystemExit(f"there is no stack in {home}")
    processes = {str(name): int(pid) for name, pid in json.loads(os.environ["SLACKWATER_KEEPER_PROCESSES"]).items()}
    begin = time.monotonic()
    try:
        bootstrap.apply_stores(profile)
    except TransientError as exc:
        traceback.print_exc()
        raise SystemExit(1) from exc
    except SlackwaterError as exc:
        traceback.print_exc()
        health.write_keeper_mark(home, health.KeeperMark({}, f"{type(exc).__name__}: {exc}"))
        raise SystemExit(1) from exc
    except Exception as exc:  # outermost border of the process: whatever it is, `stack up` must hear of it
        health.write_keeper_mark(home, health.KeeperMark({}, f"{type(exc).__name__}: {exc}"))
        raise
    health.write_keeper_mark(home, health.KeeperMark(processes, None))
    print(f"stores are in shape after {time.monotonic() - begin:.1f} s", flush=True)
    _sweep(profile)


def _sweep(profile: Profile) -> None:
    deadline = time.monotonic() + _PREFECT_WAIT_SECONDS
    while not health.is_answering(profile, "prefect"):
        if time.monotonic() > deadline:
            raise SystemExit("no sweep: Prefect does not answer; the scheduled sweep will do it")
        time.sleep(1.0)
    systems = Systems.from_environment(slackwater_environment(profile) | bootstrap.tuning_overrides())
    for attempt in range(1, _SWEEP_ATTEMPTS + 1):
        try:
            print(f"swept: {bootstrap.sweep_landing(systems)}", flush=True)
        except SlackwaterError as exc:
            print(f"sweep {attempt} of {_SWEEP_ATTEMPTS}: {exc}", flush=True)
            time.sleep(2.0 * attempt)
        else:
            return
    raise SystemExit("no sweep; the scheduled one will do it")


if __name__ == "__main__":
    main()
