"""Step of the sweep: account for every landing object and drive what stands still."""

from prefect import get_run_logger

from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.lake.upkeep import announce_upkeep
from slackwater.landing.sweep import SweepReport, sweep
from slackwater.landing.wiring import Wiring
from slackwater.runs.awaited import awaited_batches
from slackwater.settings import EventSettings, LakeSettings, LandingSettings, S3Settings
from tasks.batch_claims import current_actor
from tasks.connections import open_event_bus, open_ledger
from tasks.retrying import retried_task


@retried_task()
def sweep_landing_prefix(*, is_full: bool = False) -> SweepReport:
    """List the recent part of the landing prefix, record what no event told of, and send due events again.

    Once a day, when queue or notification had to be made again, and when asked to, the whole prefix is listed.
    A batch whose run waits for a free slot is left alone: on a busy worker every sweep would add another run.
    """
    with open_ledger() as ledger, open_event_bus() as bus, PrefectRuns(EventSettings()) as runs:
        report = sweep(
            ledger=ledger,
            wiring=Wiring.of(S3Settings(), LandingSettings()),
            bus=bus,
            actor=current_actor(),
            awaited=awaited_batches(runs),
            is_full=is_full,
        )
        announce_upkeep(ledger, bus, LakeSettings())
    get_run_logger().info("%s", report)
    for trouble in report.troubles:
        get_run_logger().warning("%s", trouble)
    return report
