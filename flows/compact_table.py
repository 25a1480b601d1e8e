"""Flow: look after the lake's tables: fold what landed into the state tables, then rewrite small files.

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
from tasks.compact_lake import compact_tables
from tasks.lake_upkeep import decide_what_to_fold, fold_landed_batches
from tasks.work_claims import claim_work, holding_work, lower_flag


@flow(name="compact-table", log_prints=True)
def compact_table(entity: str = "", force: bool = False) -> State[None]:
    """Fold landed batches into the state tables until nothing worth it waits, then compact what is worth it.

    Args:
        entity: Only this entity; empty for all.
        force: Fold whatever waits, however little it is.

    Returns:
        Completed; the message says what was folded and compacted, or why nothing was.
    """
    lease = claim_work(LAKE)
    if lease is None:
        return Completed(message="Skipped: another run looks after the lake.")
    folded: dict[str, int] = {}
    with holding_work(lease):
        try:
            while True:
                lower_flag(LAKE)
                decisions = decide_what_to_fold(entity, is_forced=force)
                create_markdown_artifact(key="lake-decisions", markdown=decisions_markdown(decisions))
                due = tuple(one.entity for one in decisions if one.is_due)
                if not due:
                    break
                for one in fold_landed_batches(due, lease).done:
                    folded[one.entity] = folded.get(one.entity, 0) + len(one.batch_ids)
            compacted = compact_tables(lease, entity)
        except SparkMissing as exc:
            return Completed(name="Skipped", message=f"Skipped: {exc}")
    told = [f"Folded {count} batches of {name}" for name, count in folded.items()]
    told += [f"{one.table}: {one.removed_files} files less" for one in compacted.results if one.removed_files]
    if not told:
        return Completed(
            message=f"Skipped: {'; '.join(one.reason for one in decisions) or 'nothing waits for a fold'}."
        )
    return Completed(message=f"{'; '.join(told)}.")
