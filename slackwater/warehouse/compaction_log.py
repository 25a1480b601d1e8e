"""Keeps what was decided on every partition of the lake, and what came of it, in OPS.COMPACTION_LOG.

One row per run, table and partition; a run that is logged again replaces its rows.
"""

from collections.abc import Sequence
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
        run_id: The run that decided, and the id of its rewrite.
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
    plan: CompactionPlan,
    result: RewriteResult | None,
    *,
    run_id: str,
    logged_at: datetime,
    error: str | None = None,
) -> tuple[LoggedPartition, ...]:
    """Join the decisions of a plan with what came of them; pure.

    Args:
        plan: Decisions on every partition of a table.
        result: Of the rewrite of the chosen ones; None when there was none.
        run_id: The run.
        logged_at: Naive UTC.
        error: What the rewrite failed with.

    Returns:
        One row per decision, by day.
    """
    counted = {one.day: one for one in result.counts} if result is not None else {}
    return tuple(
        _row(one, counted.get(one.day), result, run_id=run_id, logged_at=logged_at, error=error)
        for one in plan.decisions
    )


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
    decision: PartitionDecision,
    counts: PartitionCounts | None,
    result: RewriteResult | None,
    *,
    run_id: str,
    logged_at: datetime,
    error: str | None,
) -> LoggedPartition:
    outcome, trouble = _outcome(decision, counts, result, error)
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
        evidence_tag=result.evidence_tag if result is not None and decision.decision is Decision.COMPACT else None,
        logged_at=logged_at,
    )


def _outcome(
    decision: PartitionDecision, counts: PartitionCounts | None, result: RewriteResult | None, error: str | None
) -> tuple[str, str]:
    """Return what came of a decision, and what went wrong with it."""
    if decision.decision is Decision.SKIP:
        return Decision.SKIP.value, ""
    if error is not None:
        return FAILED, error
    if result is None:
        return NOT_TRIED, ""
    if result.outcome is Outcome.REWRITTEN and counts is None:
        return Outcome.UNCHANGED.value, "its files stayed as they were"
    return result.outcome.value, result.reason


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
