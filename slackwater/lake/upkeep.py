"""Says on the event bus that the lake's tables are to be looked after, when there is something worth it.

Not every landed batch starts a run: a run costs a process and a fold a JVM. Whoever publishes, and the sweep, asks
here; the flag of `ledger.work` keeps a burst of reasons to one event.
"""

from slackwater.clients.events import Payload
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.lake.fold import FoldDecision, decide_folds
from slackwater.landing.sealing import Bus
from slackwater.ledger import folds, work
from slackwater.ledger.store import Ledger
from slackwater.naming import EVENT_LAKE_DUE, LAKE_RESOURCE, lake_due_event_id
from slackwater.settings import LakeSettings

GRACE_SECONDS = 300.0
"""So long a raised flag is trusted to have started a run; the sweep raises it again afterwards."""


def announce_upkeep(ledger: Ledger, bus: Bus, settings: LakeSettings, *, grace_seconds: float = GRACE_SECONDS) -> bool:
    """Send the event if a fold is due and nobody keeps the lake; what could not be sent stays due.

    Args:
        ledger: Knows what waits.
        bus: The event bus.
        settings: What is worth a fold.
        grace_seconds: How long an earlier event is trusted.

    Returns:
        Whether the event was sent.
    """
    decisions = fold_decisions(ledger, settings)
    if not any(one.is_due for one in decisions):
        return False
    with ledger.transaction() as connection:
        number = work.reraise_flag(connection, work.LAKE, grace_seconds=grace_seconds)
    if number is None:
        return False
    payload: Payload = {"entities": ", ".join(one.entity for one in decisions if one.is_due)}
    try:
        bus.emit(EVENT_LAKE_DUE, LAKE_RESOURCE, payload, event_id=lake_due_event_id(number))
    except (StoreUnavailable, ConfigurationError):
        ledger.lower_flag(work.LAKE)
        return False
    return True


def fold_decisions(ledger: Ledger, settings: LakeSettings, *, is_forced: bool = False) -> tuple[FoldDecision, ...]:
    """Say for every entity with unfolded batches whether it is folded now, and why."""
    with ledger.transaction() as connection:
        waiting = folds.backlogs(connection)
    return decide_folds(
        waiting,
        min_rows=settings.fold_min_rows,
        max_wait_seconds=settings.fold_max_wait_seconds,
        is_forced=is_forced,
    )
