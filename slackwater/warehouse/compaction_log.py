"""Keeps what was decided on every partition of the lake, and what came of it, in OPS.COMPACTION_LOG.

One row per run, table and partition; a run that is logged again replaces its rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from typing import Any

from slackwater.clients.snowflake import Row, Warehouse
from slackwater.lake.compaction import CompactionPlan, Decision, PartitionDecision
from slackwater.lake.rewrite import Outcome, PartitionCounts, RewriteResult

ROWS_PER_STATEMENT = 200

FAILED = "failed"
"""Outcome of a partition whose rewrite ended with an error; main was left as it was, or its error says otherwise."""

NOT_TRIED = "not tried"
"""Outcome of a partition that was chosen and whose rewrite was not begun."""


@dataclass(frozen=True)
class LoggedPartition:
    """One row of OPS.COMPACTION_LOG.

    Attributes:
        run_id: The run that decided.
        decision: `compact` or `skip`.
        outcome: An `Outcome`, `failed` or `not tried`; `skip` for a partition that was skipped.
        reason: "compacted because …" or "skipped because …", and what went wrong.
        file_count: Data files when it was decided.
        files_after: Data files after the rewrite; None where none was made.
        logged_at: Naive UTC.
    """

    run_id: str
    table_name: str
    day: date
    decision: str
    outcome: str
    reason: str
    file_count: int
    delete_count: int
    input_count: int
    rewrite_bytes: int
    score: float
    files_after: int | None
    deletes_after: int | None
    bytes_after: int | None
    evidence_tag: str | None
    logged_at: datetime


_COLUMNS = tuple(field.name for field in fields(LoggedPartition))


def log_rows(
    plan: CompactionPlan, ended: Mapping[date, RewriteResult | str], *, run_id: str, logged_at: datetime
) -> tuple[LoggedPartition, ...]:
    """Join the decisions of a plan with what came of them; pure.

    Args:
        plan: Decisions on every partition of a table.
        ended: Per chosen day how the rewrite it was in ended, or what it failed with; absent: it was not begun.
        run_id: The run.
        logged_at: Naive UTC.

    Returns:
        One row per decision, by day.
    """
    return tuple(_row(one, ended.get(one.day), run_id=run_id, logged_at=logged_at) for one in plan.decisions)


def write_log(warehouse: Warehouse, rows: Sequence[LoggedPartition]) -> None:
    """Write the rows of one or several tables; rows of the same runs and tables that are there are replaced.

    Raises:
        TransientError: The warehouse did not answer; nothing was changed.
    """
    with warehouse.transaction():
        for run_id, table in sorted({(one.run_id, one.table_name) for one in rows}):
            warehouse.execute("delete from OPS.COMPACTION_LOG where run_id = ? and table_name = ?", (run_id, table))
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            part = rows[start : start + ROWS_PER_STATEMENT]
            places = ", ".join("(" + ", ".join("?" for _ in _COLUMNS) + ")" for _ in part)
            params = [value for row in part for value in astuple(row)]
            warehouse.execute(f"insert into OPS.COMPACTION_LOG ({', '.join(_COLUMNS)}) values {places}", params)


def read_log(warehouse: Warehouse, *, run_id: str) -> tuple[LoggedPartition, ...]:
    """Return the rows of a run, by table and day."""
    rows = warehouse.query(
        f"select {', '.join(_COLUMNS)} from OPS.COMPACTION_LOG where run_id = ? order by table_name, day", (run_id,)
    )
    return tuple(_from_row(row) for row in rows)


def _row(
    decision: PartitionDecision, ended: RewriteResult | str | None, *, run_id: str, logged_at: datetime
) -> LoggedPartition:
    result = ended if isinstance(ended, RewriteResult) else None
    counts = next((one for one in result.counts if one.day == decision.day), None) if result is not None else None
    outcome, trouble = _outcome(decision, counts, ended)
    return LoggedPartition(
        run_id=run_id,
        table_name=decision.table,
        day=decision.day,
        decision=decision.decision.value,
        outcome=outcome,
        reason=_reason(decision, trouble),
        file_count=decision.file_count,
        delete_count=decision.delete_count,
        input_count=decision.input_count,
        rewrite_bytes=decision.rewrite_bytes,
        score=round(decision.score, 3),
        files_after=counts.files_after if counts else None,
        deletes_after=counts.deletes_after if counts else None,
        bytes_after=counts.bytes_after if counts else None,
        evidence_tag=result.evidence_tag if result is not None else None,
        logged_at=logged_at,
    )


def _outcome(
    decision: PartitionDecision, counts: PartitionCounts | None, ended: RewriteResult | str | None
) -> tuple[str, str]:
    """Return what came of a decision, and what went wrong with it."""
    if decision.decision is Decision.SKIP:
        return Decision.SKIP.value, ""
    if isinstance(ended, str):
        return FAILED, ended
    if ended is None:
        return NOT_TRIED, ""
    if ended.outcome is Outcome.REWRITTEN and counts is None:
        return Outcome.UNCHANGED.value, "its files stayed as they were"
    return ended.outcome.value, ended.reason


def _reason(decision: PartitionDecision, trouble: str) -> str:
    if decision.decision is Decision.SKIP:
        return f"skipped because {decision.reason}"
    told = f"compacted because {decision.reason}"
    return f"to be {told}; but {trouble}" if trouble else told


def _from_row(row: Row) -> LoggedPartition:
    """Numbers come as decimals, the score too."""
    held: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    for name, value in held.items():
        if value is not None and name.endswith(("_count", "_bytes", "_after")):
            held[name] = int(value)
    held["score"] = float(held["score"])
    return LoggedPartition(**held)
