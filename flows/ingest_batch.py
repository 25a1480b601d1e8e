"""Flow: append one sealed batch to the lake and load it into the warehouse.

Started by the event `slackwater.batch.sealed`, by the sweep when an attempt died, or by hand in the UI with a batch id.
Running it twice for one batch has one effect: the ledger leases the batch to one run, and the lake and the warehouse
refuse a second write themselves. Steps are in `tasks/`.
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.append_to_lake import append_to_lake
from tasks.batch_claims import claim_batch, holding
from tasks.load_warehouse import load_warehouse
from tasks.refresh_steps import announce_refresh


@flow(name="ingest-batch", flow_run_name="ingest-{batch_id}", log_prints=True)
def ingest_batch(batch_id: str) -> State[None]:
    """Bring one batch from `sealed` to `loaded`.

    Args:
        batch_id: Id of a sealed batch, as `slackwater batches list` shows it.

    Returns:
        Completed; the message says when another run holds the batch or it was loaded already.
    """
    lease = claim_batch(batch_id)
    if lease is None:
        return Completed(message=f"Batch {batch_id} is loaded already or another run holds it; nothing to do.")
    with holding(lease):
        landed = append_to_lake(lease)
        loaded = load_warehouse(lease)
    if loaded.is_refresh_due:
        announce_refresh()
    return Completed(message=f"{landed.row_count} rows of {landed.entity} loaded as sequence {loaded.load_seq}.")
