"""Steps of the lake's upkeep: fold what waits, in one Spark job, and say on the event bus that something waits."""

import os
from contextlib import suppress

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.checkpoints import Checkpoint, reached
from slackwater.clients.spark import SparkJobs
from slackwater.errors import StoreUnavailable
from slackwater.lake.fold import FoldDecision, FoldJob, FoldJobResult, FoldRequest, plan_fold
from slackwater.lake.report import fold_markdown
from slackwater.lake.upkeep import announce_upkeep, fold_decisions
from slackwater.ledger import folds
from slackwater.ledger.model import WorkLease
from slackwater.settings import LakeSettings, ProjectSettings, SparkSettings
from slackwater.spark_runtime.failures import error_of_document
from tasks.connections import open_event_bus, open_ledger
from tasks.retrying import retried_task

MOST_UNFOLDED = 2_000
"""So many batches of an entity are looked at for one fold."""


def announce_lake_upkeep() -> None:
    """Say on the event bus that the lake is to be looked after, if it is; what fails here the sweep does again."""
    with suppress(StoreUnavailable), open_ledger() as ledger, open_event_bus() as bus:
        announce_upkeep(ledger, bus, LakeSettings())


def decide_what_to_fold(entity: str, *, is_forced: bool) -> tuple[FoldDecision, ...]:
    """Say for every entity with unfolded batches whether it is folded now; only of one entity where one is named."""
    with open_ledger() as ledger:
        decisions = fold_decisions(ledger, LakeSettings(), is_forced=is_forced)
    return tuple(one for one in decisions if not entity or one.entity == entity)


@retried_task()
def fold_landed_batches(entities: tuple[str, ...], lease: WorkLease) -> FoldJobResult:
    """Fold one load of batches of each entity in one Spark session, and tell the ledger.

    Args:
        entities: Entities with unfolded batches.
        lease: Of the lake; every write to the ledger asks for it.

    Raises:
        SlackwaterError: A fold failed; those that were done are noted all the same.
    """
    requests = _plan(entities)
    if not requests:
        return FoldJobResult(done=())
    with open_ledger() as ledger:
        jobs = SparkJobs(SparkSettings(), ProjectSettings(), os.environ)
        with ledger.renewing(lease) as check:
            result = jobs.run("fold_changes", FoldJob(folds=requests), FoldJobResult, check=check)
        reached(Checkpoint.AFTER_FOLD)
        with ledger.transaction() as connection:
            for one in result.done:
                folds.mark_folded(connection, lease, one.batch_ids, snapshot_id=one.snapshot_id)
    for one in result.done:
        get_run_logger().info(
            "%s: %d changes of %d batches folded: %d new keys, %d newer, %d of which only told columns",
            one.entity, one.change_count, len(one.batch_ids), one.new_count, one.newer_count, one.told_count,
        )  # fmt: skip
    create_markdown_artifact(key="lake-fold", markdown=fold_markdown(result))
    if result.failed:
        raise error_of_document({"error": result.failed[0].error})
    return result


def _plan(entities: tuple[str, ...]) -> tuple[FoldRequest, ...]:
    with open_ledger() as ledger, ledger.transaction() as connection:
        found = [plan_fold(folds.unfolded_batches(connection, name, limit=MOST_UNFOLDED)) for name in entities]
    return tuple(request for request in found if request is not None)
