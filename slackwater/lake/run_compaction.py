"""Plans and does the compaction of every table of the lake: asks metadata and ledger, decides, has Spark rewrite.

Spark is given as a function, so that this module needs none. Every partition has a decision with its reason, whatever
became of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_partition_files import name_unreadable, table_files
from slackwater.errors import StoreRejected
from slackwater.lake.compaction import CompactionPlan, plan_compaction
from slackwater.lake.policy import TableKind, load_policy
from slackwater.lake.rewrite import (
    RewriteAnswer,
    RewriteJob,
    RewriteJobResult,
    RewriteRequest,
    RewriteResult,
    rewrite_request,
)
from slackwater.ledger import folds
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES
from slackwater.settings import LakeSettings
from slackwater.spark_runtime.failures import error_of_document

Ended = Mapping[date, RewriteResult | str]
"""Per day how the rewrite it was in ended, or what it failed with."""


@dataclass(frozen=True)
class TablePlan:
    """The plan of one table and the snapshot it was made at."""

    kind: TableKind
    entity: str
    snapshot_id: int | None
    plan: CompactionPlan


@dataclass(frozen=True)
class CompactionReport:
    """What a run decided and did.

    Attributes:
        run_id: Names its rows in OPS.COMPACTION_LOG and the tags it may have left.
        plans: One per table.
        ended: By table identifier; tables without a chosen partition are left out.
    """

    run_id: str
    plans: tuple[TablePlan, ...]
    ended: Mapping[str, Ended] = field(default_factory=dict)

    @property
    def results(self) -> tuple[RewriteResult, ...]:
        """Return every rewrite that ended, each once."""
        found = (one for days in self.ended.values() for one in days.values() if isinstance(one, RewriteResult))
        return tuple({(one.table, one.rewrite_id): one for one in found}.values())

    @property
    def bad(self) -> tuple[RewriteResult, ...]:
        """Return the rewrites that changed rows; main does not have them."""
        return tuple(one for one in self.results if one.is_bad)


def plan_all(
    ledger: Ledger, lake: Lake, settings: LakeSettings, *, now: datetime, entities: Sequence[str] = ENTITIES
) -> tuple[TablePlan, ...]:
    """Decide on every partition of both tables of some entities.

    Args:
        ledger: Knows which days a batch is still found in by its files.
        lake: Its metadata tells sizes and ages.
        settings: Bound the size of a file.
        now: Timezone-aware.
        entities: Whose tables.
    """
    plans = []
    for kind in TableKind:
        for entity in entities:
            found = table_files(lake, kind.table(entity))
            with ledger.transaction() as connection:
                claimed = folds.claimed_days(connection, entity)
            rule = load_policy().of_table(kind, entity, largest_file_bytes=settings.target_file_bytes)
            plan = plan_compaction(kind, entity, found.partitions, policy=rule, now=now, claimed=claimed)
            plans.append(TablePlan(kind, entity, found.snapshot_id, plan))
    return tuple(plans)


def compact(
    plans: Sequence[TablePlan], lake: Lake, *, run_id: str, run_spark: Callable[[RewriteJob], RewriteJobResult]
) -> CompactionReport:
    """Have Spark rewrite what the plans chose; nothing is started when they chose nothing.

    Args:
        plans: Of the present state of the tables.
        lake: Asked which file it is when one cannot be read.
        run_id: Letters, digits, hyphens.
        run_spark: Does the rewrites, one after the other.
    """
    requests = tuple(request for one in plans for request in _requests(one, run_id))
    if not requests:
        return CompactionReport(run_id, tuple(plans))
    answered = run_spark(RewriteJob(rewrites=requests))
    ended: dict[str, dict[date, RewriteResult | str]] = {}
    for request, answer in zip(requests, answered.answers, strict=True):
        ended.setdefault(request.table, {}).update(dict.fromkeys(request.days, _told(lake, request, answer)))
    return CompactionReport(run_id, tuple(plans), ended)


def _requests(one: TablePlan, run_id: str) -> tuple[RewriteRequest, ...]:
    return tuple(
        rewrite_request(
            one.kind,
            one.entity,
            days=days,
            policy=one.plan.policy,
            rewrite_id=f"{run_id}-{number}",
            planned_snapshot_id=one.snapshot_id,
        )
        for number, days in enumerate(one.plan.groups)
    )


def _told(lake: Lake, request: RewriteRequest, answer: RewriteAnswer) -> RewriteResult | str:
    """Return the result, or what went wrong; a file that cannot be read is named, which Spark does not do."""
    if answer.result is not None:
        return answer.result
    error = error_of_document({"error": answer.error})
    if isinstance(error, StoreRejected):
        error = name_unreadable(error, lake, request.table, days=request.days)
    return f"{type(error).__name__}: {error}"
