"""The verified rewrite of a table that is appended to meanwhile: on main, compared right after the commit.

A branch could not be published: main moves on. So the version before is tagged, each commit of the rewrite is compared
with the commit before it (appends between two commits are then no difference), and days it changed are put back in one
commit. The tag stays while that is not done: the next run finishes what a killed one began.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from slackwater.entities.model import load_entity
from slackwater.errors import CommitConflict, SlackwaterError, StoreRejected
from slackwater.lake.rewrite import (
    BEFORE_PREFIX,
    EVIDENCE_PREFIX,
    Outcome,
    PartitionCounts,
    PartitionDifference,
    RewriteRequest,
    RewriteResult,
)
from slackwater.naming import SNAPSHOT_RESTORED_FROM, SNAPSHOT_REWRITE_ID
from spark import versions
from spark.branch_rewrite import EVIDENCE_DAYS
from spark.comparison import Version, compare_days, row_key
from spark.rewriting import Rewrite, Start
from spark.spark_errors import spark_errors
from spark.tables import current_snapshot_id, snapshot_property
from spark.timing import timed
from spark.versions import Commit


@dataclass
class _Judged:
    """What the commits of a rewrite did: all of them, what they changed, and whether that was put back already."""

    ours: tuple[Commit, ...] = ()
    counts: dict[date, PartitionCounts] = field(default_factory=dict)
    differences: list[PartitionDifference] = field(default_factory=list)
    is_restored: bool = False


def rewrite_in_place(session: SparkSession, request: RewriteRequest, rewrite: Rewrite) -> RewriteResult:
    """Rewrite on main, compare, and put back what it changed.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What to rewrite; nobody may need the files of these days (no open claim).
        rewrite: Does it.

    Raises:
        SlackwaterError: It could not be done or compared; the tag of before is kept if main may hold its commits.
    """
    seconds: dict[str, float] = {}
    with spark_errors():
        for tag in sorted(versions.named_versions(session, request.table, prefix=BEFORE_PREFIX)):
            settled = _settle(session, request, tag, seconds)  # a run that was killed left it
            if settled.is_bad:
                return settled
        attempt, result = 1, _attempt(session, request, rewrite, seconds)
        while result.outcome is Outcome.SKIPPED and attempt < request.attempts:
            attempt, result = attempt + 1, _attempt(session, request, rewrite, seconds)
        return result.model_copy(update={"attempts": attempt})


def _attempt(
    session: SparkSession, request: RewriteRequest, rewrite: Rewrite, seconds: dict[str, float]
) -> RewriteResult:
    head = current_snapshot_id(session, request.table)
    if head is None:
        return _result(session, request, Outcome.UNCHANGED, seconds, reason="the table is empty")
    tag = f"{BEFORE_PREFIX}{request.rewrite_id}"
    versions.create_tag(session, request.table, tag, head)
    marked = snapshot_property(session, SNAPSHOT_REWRITE_ID, request.rewrite_id)
    try:
        with spark_errors(), timed(seconds, "rewrite"), marked:
            rewrite(session, request, Start(Version(head, {}), None))
    except SlackwaterError as exc:
        settled = _settle(session, request, tag, seconds)  # it may have committed before it failed
        if settled.is_bad:
            return settled
        if not isinstance(exc, CommitConflict):
            raise
        return _result(session, request, Outcome.SKIPPED, seconds, reason=f"others committed meanwhile: {exc}")
    return _settle(session, request, tag, seconds)


def _settle(session: SparkSession, request: RewriteRequest, tag: str, seconds: dict[str, float]) -> RewriteResult:
    """Compare what a rewrite committed since its tag, put back what it changed, and drop the tag."""
    table, rewrite_id = request.table, tag.removeprefix(BEFORE_PREFIX)
    before = versions.named_versions(session, table, prefix=tag)[tag]
    with timed(seconds, "verify"):
        judged = _judge(session, request, before=before, rewrite_id=rewrite_id)
    counts = tuple(judged.counts[day] for day in sorted(judged.counts))
    outcome, reason, evidence = (Outcome.REWRITTEN, "", None) if judged.ours else (Outcome.UNCHANGED, _NOTHING, None)
    if judged.differences:
        evidence = f"{EVIDENCE_PREFIX}{rewrite_id}"
        versions.create_tag(session, table, evidence, judged.ours[-1].snapshot_id, days=EVIDENCE_DAYS)
        days = sorted({one.day for one in judged.differences})
        if not judged.is_restored:  # a run that was killed may have done it and not dropped the tag
            with timed(seconds, "restore"):
                _restore(session, request, judged.ours, days)
        outcome, told = Outcome.RESTORED, "; ".join(one.told for one in judged.differences)
        reason = f"rewrite {rewrite_id} changed rows and was undone ({told}); compare main with the tag {evidence}"
    versions.drop_tag(session, table, tag)
    return _result(session, request, outcome, seconds, reason=reason).model_copy(
        update={
            "rewrite_id": rewrite_id,
            "counts": counts,
            "differences": tuple(judged.differences),
            "evidence_tag": evidence,
        }
    )


_NOTHING = "there was nothing to join"


def _judge(session: SparkSession, request: RewriteRequest, *, before: int, rewrite_id: str) -> _Judged:
    """Compare each commit of a rewrite with the commit before it, on the days whose files it changed."""
    table, judged = request.table, _Judged()
    head = current_snapshot_id(session, table)
    since = versions.commits_since(session, table, tip=head, base=before) if head is not None else None
    # None: the table was rolled back to before the rewrite, so main holds nothing of it.
    judged.ours = tuple(one for one in since or () if one.rewrite_id == rewrite_id or one.operation == "replace")
    for commit in judged.ours:
        if commit.parent_id is None:
            continue
        files = versions.files_of(session, table, (commit.parent_id, commit.snapshot_id))
        old, new = (Version(one, files[one]) for one in (commit.parent_id, commit.snapshot_id))
        counts = versions.changed_counts(old.files, new.files)
        judged.counts |= {one.day: _joined(judged.counts.get(one.day), one) for one in counts}
        judged.differences += _differences(session, request, old, new, [one.day for one in counts])
    if judged.ours:
        judged.is_restored = any(one.restored_from == str(judged.ours[0].parent_id) for one in since or ())
    return judged


def _differences(
    session: SparkSession, request: RewriteRequest, before: Version, after: Version, days: Sequence[date]
) -> tuple[PartitionDifference, ...]:
    """Return the days one commit changed; all of them when what it wrote cannot be read."""
    key = row_key(request.kind, load_entity(request.entity))
    try:
        with spark_errors():
            return compare_days(session, request.table, before, after, days=days, key=key)
    except StoreRejected as exc:
        return tuple(PartitionDifference(day=day, before=None, after=None, unreadable=str(exc)) for day in days)


def _restore(session: SparkSession, request: RewriteRequest, ours: Sequence[Commit], days: Sequence[date]) -> None:
    """Put days back to before a rewrite's first commit, with what others appended since, in one commit.

    Raises:
        CommitConflict: Others appended to these days each time.
        StoreRejected: Others replaced files since; a person must decide.
    """
    conflict = CommitConflict("not tried")
    for _ in range(request.attempts):
        head = current_snapshot_id(session, request.table)
        base = ours[0].parent_id
        if head is None or base is None:
            raise StoreRejected(f"{request.table} has no version before rewrite {request.rewrite_id} to restore from")
        rows = _rows_without(session, request.table, ours, base=base, head=head, days=days)
        writer = rows.writeTo(request.table).option("isolation-level", "serializable")
        try:
            with spark_errors(), snapshot_property(session, SNAPSHOT_RESTORED_FROM, str(base)):
                writer.option("validate-from-snapshot-id", str(head)).overwrite(f.col("date").isin(*days))
        except CommitConflict as exc:
            conflict = exc
        else:
            return
    raise conflict


def _rows_without(
    session: SparkSession, table: str, ours: Sequence[Commit], *, base: int, head: int, days: Sequence[date]
) -> DataFrame:
    """Return the rows of days as if the commits of a rewrite had not been."""
    rows = versions.rows_of(session, table, base, days=days)
    own = {one.snapshot_id for one in ours}
    for commit in versions.commits_since(session, table, tip=head, base=base) or ():
        if commit.snapshot_id in own:
            continue
        if commit.operation != "append" or commit.parent_id is None:
            raise StoreRejected(
                f"{table}: snapshot {commit.snapshot_id} ({commit.operation}) came after a rewrite that changed rows;"
                f" restore {', '.join(map(str, days))} from snapshot {base} by hand and drop its tag, {BEFORE_PREFIX}…"
            )
        appended = session.read.option("start-snapshot-id", commit.parent_id)
        appended = appended.option("end-snapshot-id", commit.snapshot_id)
        rows = rows.unionByName(appended.table(table).where(f.col("date").isin(*days)))
    return rows


def _joined(former: PartitionCounts | None, latest: PartitionCounts) -> PartitionCounts:
    if former is None:
        return latest
    kept = {name: getattr(former, name) for name in ("files_before", "deletes_before", "bytes_before")}
    return latest.model_copy(update=kept)


def _result(
    session: SparkSession,
    request: RewriteRequest,
    outcome: Outcome,
    seconds: dict[str, float],
    *,
    reason: str = "",
) -> RewriteResult:
    return RewriteResult(
        rewrite_id=request.rewrite_id,
        table=request.table,
        outcome=outcome,
        reason=reason,
        snapshot_id=current_snapshot_id(session, request.table),
        seconds=seconds,
    )
