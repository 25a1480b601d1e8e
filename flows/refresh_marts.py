"""Flow: rebuild the marts over every loaded batch, ask the gate, and publish or reject.

Started by the event `slackwater.refresh.due` or by hand. One run at a time holds the mart set's lease; it goes on
until nothing is unpublished, so that a burst of batches costs a few refreshes. A run that finds the lease taken has
nothing to do: the holder looks again before it ends.
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.build_models import build_models
from flows.scan_quality import scan_quality
from slackwater.errors import GateFailed
from slackwater.naming import MART_SET
from tasks.completeness import assess_completeness
from tasks.lake_upkeep import announce_lake_upkeep
from tasks.refresh_costs import record_refresh_costs
from tasks.refresh_steps import (
    is_refresh_due,
    publish_refresh,
    reject_refresh,
    start_refresh,
)
from tasks.work_claims import claim_work, holding_work


@flow(name="refresh-marts", flow_run_name="refresh-{mart_set}", log_prints=True)
def refresh_marts(mart_set: str = MART_SET, force: bool = False) -> State[None]:
    """Publish everything that is loaded, or say what the gate rejected.

    Args:
        mart_set: The set of marts that is published together.
        force: Try a rejected set again although nothing new was loaded: a model or a rule was repaired.

    Returns:
        Completed with the number of publications.

    Raises:
        GateFailed: A refresh was rejected; marts are untouched and its batches wait for the next refresh.
    """
    published: list[str] = []
    while (lease := claim_work(mart_set)) is not None:
        with holding_work(lease):
            while (refresh := start_refresh(lease, is_forced=force)) is not None:
                build_models(refresh.refresh_id)
                verdict = scan_quality(refresh.refresh_id)
                if not verdict.is_passed:
                    reject_refresh(refresh, verdict, lease)
                    record_refresh_costs(refresh.refresh_id, return_state=True)
                    raise GateFailed(f"Refresh {refresh.refresh_id} rejected: {'; '.join(verdict.reasons)}")
                published.append(publish_refresh(refresh, lease).publication_id)
                record_refresh_costs(refresh.refresh_id, return_state=True)
        if published:
            # Without retries and without the lease: it must neither fail nor delay a publication.
            assess_completeness.with_options(retries=0)(return_state=True)
        if not is_refresh_due(mart_set):
            announce_lake_upkeep()
            break
    if not published:
        return Completed(message="Nothing was unpublished, or another run is refreshing and will see it.")
    return Completed(message=f"Published {', '.join(published)}.")
