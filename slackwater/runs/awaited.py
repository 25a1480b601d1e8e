"""Which batches need no further event, because a run for them stands in Prefect's queue already."""

from slackwater.clients.prefect_runs import PrefectRuns

INGEST_FLOW = "ingest-batch"
"""The flow that takes a batch; its parameter `batch_id` names which."""


def awaited_batches(api: PrefectRuns) -> frozenset[str]:
    """Return the ids of the batches for which an ingest run is scheduled or pending.

    Raises:
        StoreUnavailable: Prefect does not answer.
    """
    return frozenset(
        run.parameters["batch_id"] for run in api.waiting_runs(INGEST_FLOW) if "batch_id" in run.parameters
    )
