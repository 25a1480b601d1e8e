"""The verified rewrite: on a branch, compared with where it began, and only then are the files of main exchanged.

No reader of main sees a rewrite before it was compared, and whoever appends meanwhile loses nothing. A bad rewrite
stays under a tag as evidence, until somebody drops it.
"""

from contextlib import suppress
from datetime import date

from pyspark.sql import SparkSession

from slackwater.entities.model import load_entity
from slackwater.errors import CommitConflict, FileUnreadable, SlackwaterError
from slackwater.lake.rewrite import (
    BRANCH,
    EVIDENCE_PREFIX,
    Outcome,
    PartitionDifference,
    RewriteRequest,
    RewriteResult,
)
from slackwater.naming import SNAPSHOT_REWRITE_ID
from spark import versions
from spark.comparison import SeenRows, Version, compare_days, row_key
from spark.rewriting import Rewrite
from spark.spark_errors import spark_errors
from spark.swap import swap_files
from spark.tables import current_snapshot_id, snapshot_property
from spark.timing import timed


def rewrite_verified(session: SparkSession, request: RewriteRequest, rewrite: Rewrite) -> RewriteResult:
    """Rewrite on a branch, compare, and exchange the files on main; done anew when others replaced some of them first.

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
    with spark_errors():
        head = current_snapshot_id(session, request.table)
    return RewriteResult(
        rewrite_id=request.rewrite_id,
        table=request.table,
        outcome=Outcome.SKIPPED,
        reason=f"others committed meanwhile, {request.attempts} times: {conflict}",
        snapshot_id=head,
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
                    published = _publish(session, request, base=head, tip=judged.snapshot_id or head)
                judged = judged.model_copy(update={"snapshot_id": published})
            return judged
        finally:
            with suppress(SlackwaterError), spark_errors():  # what was done counts; the next rewrite drops it, too
                versions.drop_branch(session, table, BRANCH)


def _rewrite_and_judge(
    session: SparkSession, request: RewriteRequest, rewrite: Rewrite, head: int, seconds: dict[str, float]
) -> RewriteResult:
    start = Version(head, versions.files_of(session, request.table, (head,))[head])
    with timed(seconds, "rewrite"), snapshot_property(session, SNAPSHOT_REWRITE_ID, request.rewrite_id):
        seen = rewrite(session, request, start)
    tip = current_snapshot_id(session, request.table, branch=BRANCH) or head
    with timed(seconds, "verify"):
        return _judge(session, request, start, seen, tip=tip)


def _publish(session: SparkSession, request: RewriteRequest, *, base: int, tip: int) -> int | None:
    """Exchange the files on main; returns the snapshot main is at then.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What was rewritten.
        base: Where the branch began.
        tip: The version that was judged, whatever the branch is at now.

    Raises:
        CommitConflict: The branch was made anew meanwhile: between base and tip lie commits of others.
    """
    commits = versions.commits_since(session, request.table, tip=tip, base=base)
    if not commits or any(one.rewrite_id != request.rewrite_id and one.operation != "replace" for one in commits):
        raise CommitConflict(f"{request.table}: somebody else rewrote on the branch {BRANCH} meanwhile")
    swap_files(session, request.table, commits, base=base, rewrite_id=request.rewrite_id)
    return current_snapshot_id(session, request.table)


def _judge(
    session: SparkSession, request: RewriteRequest, start: Version, seen: SeenRows, *, tip: int
) -> RewriteResult:
    """Compare every day whose files are not the same on the branch; a bad branch is tagged."""
    table, head = request.table, start.snapshot_id
    if tip == head:
        return _result(request, Outcome.UNCHANGED, snapshot_id=head, reason="there was nothing to join")
    after = Version(tip, versions.files_of(session, table, (tip,))[tip])
    counts = versions.changed_counts(start.files, after.files)
    differences = _differences(session, request, start, after, seen, [one.day for one in counts])
    if not differences:
        return _result(request, Outcome.REWRITTEN, snapshot_id=tip).model_copy(update={"counts": counts})
    tag = f"{EVIDENCE_PREFIX}{request.rewrite_id}"
    versions.create_tag(session, table, tag, tip)
    told = "; ".join(one.told for one in differences)
    reason = (
        f"rewrite {request.rewrite_id} changed rows and was not published ({told}); main is as it was, compare it with"
        f" the tag {tag}"
    )
    return _result(request, Outcome.REJECTED, snapshot_id=head, reason=reason).model_copy(
        update={"counts": counts, "differences": differences, "evidence_tag": tag}
    )


def _differences(
    session: SparkSession, request: RewriteRequest, before: Version, after: Version, seen: SeenRows, days: list[date]
) -> tuple[PartitionDifference, ...]:
    """Return the days a rewrite changed; all of them when they cannot be read, before or after."""
    key = row_key(request.kind, load_entity(request.entity))
    try:
        with spark_errors():
            return compare_days(session, request.table, before, after, days=days, key=key, seen=seen)
    except FileUnreadable as exc:
        return tuple(PartitionDifference(day=day, before=None, after=None, unreadable=str(exc)) for day in days)


def _result(
    request: RewriteRequest, outcome: Outcome, *, snapshot_id: int | None = None, reason: str = ""
) -> RewriteResult:
    return RewriteResult(
        rewrite_id=request.rewrite_id, table=request.table, outcome=outcome, reason=reason, snapshot_id=snapshot_id
    )
