"""Step: write down what a refresh cost the warehouse.

It decides nothing: callers pass `return_state=True`, so a history that does not answer shows as a failed task of the
run and does not fail the refresh.
"""

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from slackwater.errors import SlackwaterError
from slackwater.warehouse.costs import costs_markdown, record_costs
from tasks.connections import open_warehouse

TIMEOUT_SECONDS = 120
"""Far above what the questions take; a history that hangs must not hold a publication."""


@task(timeout_seconds=TIMEOUT_SECONDS)
def record_refresh_costs(refresh_id: str) -> None:
    """Bring OPS.REFRESH_COSTS in line with what the warehouse knows of a refresh, and show it."""
    try:
        with open_warehouse(f"costs={refresh_id}") as warehouse:
            costs = record_costs(warehouse, refresh_id)
    except SlackwaterError as exc:
        get_run_logger().warning("The costs of refresh %s were not recorded: %s", refresh_id, exc)
        raise
    create_markdown_artifact(key="refresh-costs", markdown=costs_markdown(refresh_id, costs))
