"""Step: one turn of the completeness clock. It decides nothing for anybody else: a failure is seen and logged, no more.

Callers pass `return_state=True`: a count that failed shows as a failed task of the run and does not fail the flow; the
next one, at the latest the hourly one, makes it good.
"""

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.completeness.report import markdown_summary, summarize
from slackwater.completeness.run import refresh_completeness
from slackwater.errors import SlackwaterError
from tasks.connections import open_lake, open_ledger, open_source_dsn, open_speed_store, open_warehouse
from tasks.retrying import retried_task

TIMEOUT_SECONDS = 120
"""Far above what a count takes; a store that hangs must not hold the run that publishes."""


@retried_task(timeout_seconds=TIMEOUT_SECONDS)
def assess_completeness() -> str:
    """Count every store per entity and event day, and bring OPS.COMPLETENESS in line; repeating changes nothing.

    Returns:
        One sentence.
    """
    try:
        with open_ledger() as ledger, open_speed_store() as speed, open_warehouse("completeness") as warehouse:
            found = refresh_completeness(
                ledger=ledger, lake=open_lake(), warehouse=warehouse, speed=speed, source_dsn=open_source_dsn()
            )
    except SlackwaterError as exc:
        get_run_logger().warning("The completeness was not counted: %s", exc)
        raise
    create_markdown_artifact(key="completeness", markdown=markdown_summary(summarize(found.days)))
    get_run_logger().info("%s", found.summary)
    return found.summary
