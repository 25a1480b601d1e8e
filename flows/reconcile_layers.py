"""Flow: compare ClickHouse and Snowflake at the published frontier. Hourly, or by hand for a range of days.

It also counts the completeness of every day again, which a publication may have failed to do.
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.completeness import assess_completeness
from tasks.reconcile import reconcile_daily_metrics


@flow(name="reconcile-layers", log_prints=True)
def reconcile_layers(from_date: str | None = None, to_date: str | None = None) -> State[None]:
    """Compare every daily metric of both layers, exactly.

    Args:
        from_date: First day (YYYY-MM-DD, UTC); all days by default.
        to_date: Last day, inclusive.

    Returns:
        Completed when both sides agree; the message says what is in flight.

    Raises:
        ReconciliationFailed: They differ; the message names day, metric and both values.
    """
    assess_completeness(return_state=True)  # whether it succeeds or not: see `tasks/completeness.py`
    return Completed(message=reconcile_daily_metrics(from_date, to_date))
