"""The verified rewrite of a table with one writer: on a branch, compared with main, and only then published.

No reader of main sees a rewrite before it was compared. A bad one stays under a tag as evidence.
"""

from contextlib import ExitStack

from pyspark.sql import SparkSession

from slackwater.entities.model import load_entity
from slackwater.errors import CommitConflict
from slackwater.lake.rewrite import (
    BRANCH,
    EVIDENCE_PREFIX,
    Outcome,
    RewriteRequest,
    RewriteResult,
)
from slackwater.naming import SNAPSHOT_REWRITE_ID
from spark import versions
from spark.comparison import Version, compare_days, row_key
from spark.rewriting import Rewrite, Start, reading_once
from spark.spark_errors import spark_errors
from spark.tables import current_snapshot_id, snapshot_property
from spark.timing import timed

EVIDENCE_DAYS = 30
"""How long the snapshot of a bad rewrite is kept."""


def rewrite_on_branch(session: SparkSession, request: RewriteRequest, rewrite: Rewrite) -> RewriteResult:
    """Rewrite on a branch, compare, and move main to it; done anew when another commit moved main meanwhile.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What to rewrite.
        rewrite: Does it.
    """
    seconds: dict[str, float] = {}
    conflict = ""
    for attempt in range(1, request.attempts + 1):
        try:
            return _attempt(session, request, rewrite, seconds).model_copy(
                update={"attempts": attempt, "seconds": seconds}
            )
        except CommitConflict as exc:
            conflict = str(exc)
    return RewriteResult(
        rewrite_id=request.rewrite_id,
        table=request.table,
        outcome=Outcome.SKIPPED,
        reason=f"others committed meanwhile, {request.attempts} times: {conflict}",
        snapshot_id=current_snapshot_id(session, request.table),
        attempts=request.attempts,
        seconds=seconds,
    )


def _attempt(
    session: SparkSession, request: RewriteRequest, rewrite: Rewrite, seconds: dict[str, float]
) -> RewriteResult:
    table = request.table
    with spark_errors():
        head = current_snapshot_id(session, table)
        versions.drop_branch(session, table, BRANCH)  # a run that was killed left it
        if head is None:
            return _result(request, Outcome.UNCHANGED, reason="the table is empty")
        versions.create_branch(session, table, BRANCH, head)
        try:
            judged = _rewrite_and_judge(session, request, rewrite, head, seconds)
            if judged.outcome is Outcome.REWRITTEN:
                with timed(seconds, "publish"):
                    catalog = versions.catalog_of(session)
                    session.sql(f"call {catalog}.system.fast_forward('{table}', 'main', '{BRANCH}')")
            return judged
        finally:
            versions.drop_branch(session, table, BRANCH)


def _rewrite_and_judge(
    session: SparkSession, request: RewriteRequest, rewrite: Rewrite, head: int, seconds: dict[str, float]
) -> RewriteResult:
    with ExitStack() as kept:
        with timed(seconds, "read"):
            start = kept.enter_context(reading_once(session, request, head, branch=BRANCH))
        with timed(seconds, "rewrite"), snapshot_property(session, SNAPSHOT_REWRITE_ID, request.rewrite_id):
            rewrite(session, request, start)
        tip = current_snapshot_id(session, request.table, branch=BRANCH) or head
        with timed(seconds, "verify"):
            return _judge(session, request, start, tip=tip)


def _judge(session: SparkSession, request: RewriteRequest, start: Start, *, tip: int) -> RewriteResult:
    """Compare every day whose files are not the same on the branch; a bad branch is tagged."""
    table, head = request.table, start.version.snapshot_id
    if tip == head:
        return _result(request, Outcome.UNCHANGED, snapshot_id=head, reason="there was nothing to join")
    after = Version(tip, versions.files_of(session, table, (tip,))[tip])
    counts = versions.changed_counts(start.version.files, after.files)
    differences = compare_days(
        session,
        table,
        start.version,
        after,
        days=[one.day for one in counts],
        key=row_key(request.kind, load_entity(request.entity)),
        known=start.known,
    )
    if not differences:
        return _result(request, Outcome.REWRITTEN, snapshot_id=tip).model_copy(update={"counts": counts})
    tag = f"{EVIDENCE_PREFIX}{request.rewrite_id}"
    versions.create_tag(session, table, tag, tip, days=EVIDENCE_DAYS)
    told = "; ".join(one.told for one in differences)
    reason = (
        f"rewrite {request.rewrite_id} changed rows and was not published ({told}); main is as it was, compare it with"
        f" the tag {tag}"
    )
    return _result(request, Outcome.REJECTED, snapshot_id=head, reason=reason).model_copy(
        update={"counts": counts, "differences": differences, "evidence_tag": tag}
    )


def _result(
    request: RewriteRequest, outcome: Outcome, *, snapshot_id: int | None = None, reason: str = ""
) -> RewriteResult:
    return RewriteResult(
        rewrite_id=request.rewrite_id, table=request.table, outcome=outcome, reason=reason, snapshot_id=snapshot_id
    )
