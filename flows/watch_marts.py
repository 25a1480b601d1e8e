"""Flow: look whether the marts are stale or a table changed its shape, and say so on the event bus.

Every quarter of an hour. Freshness alerts and never gates. Nothing here is repaired.
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from slackwater.naming import MART_SET
from tasks.watch import announce_schema_changes, announce_staleness


@flow(name="watch-marts", log_prints=True)
def watch_marts(mart_set: str = MART_SET) -> State[None]:
    """Announce what somebody should hear of, each trouble once.

    Args:
        mart_set: The set of marts whose age is measured.
    """
    changes = announce_schema_changes()
    is_stale = announce_staleness(mart_set)
    return Completed(message=f"The marts are {'STALE' if is_stale else 'fresh'}; {changes} schema changes announced.")
