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
