"""What a fold is told and what it answers; which batches one takes. Pure; the fold itself is `spark/jobs/fold_changes`.

A fold merges the rows of landed batches into `ecommerce.<entity>`. Batches and dates are literals of the request, so no
snapshot has to be kept for it, and a second fold of the same batches changes nothing: the merge is guarded by places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pydantic import BaseModel, ConfigDict

MOST_BATCHES = 500
"""In one fold: their ids go into the snapshot's summary, 33 characters each."""

MOST_ROWS = 5_000_000
"""In one fold; a single greater batch is folded alone."""


class FoldRequest(BaseModel):
    """The fold of some batches of one entity.

    Attributes:
        batch_ids: Landed batches, none of them folded.
        dates: Every date their rows have in the changelog; empty: not known, all are looked through.
        row_count: Their rows, as the ledger has counted them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    entity: str
    batch_ids: tuple[str, ...]
    dates: tuple[date, ...]
    row_count: int


class FoldResult(BaseModel):
    """What a fold did.

    Attributes:
        change_count: Rows read from the changelog.
        key_count: Different keys among them.
        new_count: Keys the table did not hold.
        newer_count: Keys whose row was replaced.
        told_count: Keys of which only toastable columns were replaced.
        moved_count: Keys whose row went to another date.
        snapshot_id: Snapshot the fold committed; None when nothing was newer.
        was_folded: Batches a former fold had committed, and which were left out.
        seconds: Wall time of each part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    entity: str
    batch_ids: tuple[str, ...]
    change_count: int = 0
    key_count: int = 0
    new_count: int = 0
    newer_count: int = 0
    told_count: int = 0
    moved_count: int = 0
    snapshot_id: int | None = None
    was_folded: tuple[str, ...] = ()
    seconds: dict[str, float] = {}


@dataclass(frozen=True)
class UnfoldedBatch:
    """A landed batch no fold has taken in; `dates` are those of its rows, None when the ledger does not know them."""

    batch_id: str
    entity: str
    row_count: int
    dates: frozenset[date] | None


class FoldJob(BaseModel):
    """Several folds for one Spark session, one entity each; a session costs seconds, a small fold less."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folds: tuple[FoldRequest, ...]


class FailedFold(BaseModel):
    """A fold that could not be done, with the error as `spark_runtime.failures.error_document` tells it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    entity: str
    error: dict[str, str]


class FoldJobResult(BaseModel):
    """What became of each fold: a failed one does not stop the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    done: tuple[FoldResult, ...]
    failed: tuple[FailedFold, ...] = ()


@dataclass(frozen=True)
class FoldBacklog:
    """What waits for a fold of one entity; `oldest_age_seconds` since the oldest of it landed."""

    entity: str
    batch_count: int
    row_count: int
    oldest_age_seconds: float


@dataclass(frozen=True)
class FoldDecision:
    """Whether an entity's backlog is folded now, and why."""

    entity: str
    is_due: bool
    reason: str


def decide_folds(
    backlogs: Sequence[FoldBacklog], *, min_rows: int, max_wait_seconds: float, is_forced: bool = False
) -> tuple[FoldDecision, ...]:
    """Say for every entity with a backlog whether it is worth a fold now.

    Args:
        backlogs: One per entity that has unfolded batches.
        min_rows: So many rows are worth a fold at once.
        max_wait_seconds: Older ones are folded however few they are.
        is_forced: A person asked: fold whatever there is.
    """
    return tuple(_decide_fold(one, min_rows, max_wait_seconds, is_forced=is_forced) for one in backlogs)


def _decide_fold(one: FoldBacklog, min_rows: int, max_wait_seconds: float, *, is_forced: bool) -> FoldDecision:
    told = f"{one.row_count} rows of {one.batch_count} batches, the oldest landed {one.oldest_age_seconds:.0f} s ago"
    if is_forced:
        return FoldDecision(one.entity, is_due=True, reason=f"folded because it was asked for: {told}")
    if one.row_count >= min_rows:
        return FoldDecision(one.entity, is_due=True, reason=f"folded because at least {min_rows} rows wait: {told}")
    if one.oldest_age_seconds >= max_wait_seconds:
        reason = f"folded because nothing waits longer than {max_wait_seconds:.0f} s: {told}"
        return FoldDecision(one.entity, is_due=True, reason=reason)
    reason = f"skipped because fewer than {min_rows} rows wait, for less than {max_wait_seconds:.0f} s: {told}"
    return FoldDecision(one.entity, is_due=False, reason=reason)


def plan_fold(
    batches: Sequence[UnfoldedBatch], *, most_batches: int = MOST_BATCHES, most_rows: int = MOST_ROWS
) -> FoldRequest | None:
    """Choose the batches of the next fold.

    Args:
        batches: Unfolded batches of one entity, oldest first.
        most_batches: Bound of their number, >= 1.
        most_rows: Bound of their rows; the first batch is always taken.

    Returns:
        The request; None when there is nothing to fold.
    """
    chosen: list[UnfoldedBatch] = []
    rows = 0
    for batch in batches[:most_batches]:
        if chosen and rows + batch.row_count > most_rows:
            break
        chosen.append(batch)
        rows += batch.row_count
    if not chosen:
        return None
    return FoldRequest(
        entity=chosen[0].entity,
        batch_ids=tuple(batch.batch_id for batch in chosen),
        dates=_dates(chosen),
        row_count=rows,
    )


def _dates(batches: Sequence[UnfoldedBatch]) -> tuple[date, ...]:
    """Return every date the batches have rows of; empty when those of one of them are not known."""
    days: set[date] = set()
    for batch in batches:
        if batch.dates is None:
            return ()
        days |= batch.dates
    return tuple(sorted(days))
