"""Flow: look after the lake's tables: fold what landed into the state tables.

Started by the event `slackwater.lake.due`, which is sent when enough has landed or something has waited long enough, or
by hand. One run at a time holds the lake's lease, because a state table has one writer; another run ends at once.
"""

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from slackwater.errors import SparkMissing
from slackwater.lake.report import decisions_markdown
from slackwater.ledger.work import LAKE
from tasks.lake_upkeep import decide_what_to_fold, fold_landed_batches
from tasks.work_claims import claim_work, holding_work, lower_flag


@flow(name="compact-table", log_prints=True)
def compact_table(entity: str = "", force: bool = False) -> State[None]:
    """Fold landed batches into the state tables until nothing worth it waits.

    Args:
        entity: Only this entity; empty for all.
        force: Fold whatever waits, however little it is.

    Returns:
        Completed; the message says what was folded, or why nothing was.
    """
    lease = claim_work(LAKE)
    if lease is None:
        return Completed(message="Skipped: another run looks after the lake.")
    folded: dict[str, int] = {}
    with holding_work(lease):
        while True:
            lower_flag(LAKE)
            decisions = decide_what_to_fold(entity, is_forced=force)
            due = tuple(one.entity for one in decisions if one.is_due)
            create_markdown_artifact(key="lake-decisions", markdown=decisions_markdown(decisions))
            if not due:
                break
            try:
                done = fold_landed_batches(due, lease)
            except SparkMissing as exc:
                return Completed(name="Skipped", message=f"Skipped: {exc}")
            for one in done.done:
                folded[one.entity] = folded.get(one.entity, 0) + len(one.batch_ids)
    if not folded:
        return Completed(
            message=f"Skipped: {'; '.join(one.reason for one in decisions) or 'nothing waits for a fold'}."
        )
    return Completed(message=f"Folded {', '.join(f'{count} batches of {name}' for name, count in folded.items())}.")
