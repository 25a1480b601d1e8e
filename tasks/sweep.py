"""Steps of the sweep: account for every landing object, drive what stands still, free what dead runs hold."""

from prefect import get_run_logger, task

from slackwater.landing.sweep import SweepReport, sweep
from slackwater.settings import LandingSettings
from tasks.batch_claims import current_actor
from tasks.connections import open_event_bus, open_ledger, open_object_store
from tasks.retrying import RETRY_DELAYS_SECONDS, RETRY_JITTER_FACTOR, is_transient


@task(
    retries=len(RETRY_DELAYS_SECONDS),
    retry_delay_seconds=RETRY_DELAYS_SECONDS,
    retry_jitter_factor=RETRY_JITTER_FACTOR,
    retry_condition_fn=is_transient,
)
def sweep_landing_prefix() -> SweepReport:
    """List the landing prefix, record what no event told of, and send due events again."""
    with open_ledger() as ledger, open_event_bus() as bus:
        report = sweep(
            ledger=ledger, store=open_object_store(), bus=bus, settings=LandingSettings(), actor=current_actor()
        )
    get_run_logger().info("%s", report)
    return report
