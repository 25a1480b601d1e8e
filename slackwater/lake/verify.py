"""Does main hold what the ledger believes it holds? Opens the batches it lost, so that they are driven again.

A snapshot that was rolled back takes the batches after it away. They are known by their ancestry: a batch landed since
the oldest known ancestor of main must be one of main's ancestors, or, when history was expired, have rows there. The
check costs one metadata file and one query per entity as long as nothing is missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_contents import MainHistory, count_batch_rows, main_histories
from slackwater.errors import ConfigurationError, IllegalTransition
from slackwater.ledger import batches
from slackwater.ledger.landed import LandedBatch, landed_batches, unknown_batches
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, changelog_table
from slackwater.recovery.lost_ledger import refuse_unknown_batches

REASON = "the lake does not hold it any more"


@dataclass(frozen=True)
class DifferentBatch:
    """A batch of which the lake holds other rows than its append committed; nothing repairs it by itself."""

    batch_id: str
    entity: str
    expected_rows: int
    found_rows: int


@dataclass(frozen=True)
class Verification:
    """What comparing the ledger with the lake found.

    Attributes:
        checked_batches: Landed and loaded batches that were compared.
        lost: Batches of which main holds nothing.
        different: Batches of which main holds more or fewer rows than it should.
        unknown: Batches main holds and the ledger does not have; only a full verification looks for them.
        reopened: Ids of the lost batches that were opened again; empty when only asked to look.
    """

    checked_batches: int
    lost: tuple[LandedBatch, ...]
    different: tuple[DifferentBatch, ...]
    unknown: tuple[str, ...]
    reopened: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Say whether ledger and lake agree."""
        return not (self.lost or self.different or self.unknown)


def reopen_lost(ledger: Ledger, lake: Lake, *, actor: str) -> Verification:
    """Open every batch again that main lost since its oldest known snapshot; for the sweep, cheap when all is well.

    Raises:
        ConfigurationError: The ledger lacks batches of the lake: it was lost, see `recovery`. Or a changelog is empty
            although the ledger knows landed batches: a wrong catalog, or the lake is lost. Neither is repaired without
            a person.
    """
    histories = main_histories(lake)
    refuse_unknown_batches(ledger, lake, histories)
    return _act(ledger, [_look(ledger, lake, entity, history) for entity, history in histories.items()], actor=actor)


def verify(ledger: Ledger, lake: Lake, *, actor: str, is_reopening: bool) -> Verification:
    """Compare every landed batch with the rows main holds of it, by reading them; for a person.

    Args:
        ledger: The ledger.
        lake: The lake.
        actor: Who asks, for the record.
        is_reopening: Open lost batches again; otherwise nothing is changed. A person who asks for it may also do so
            over an empty lake: everything is appended again from the landing files.
    """
    found = [_count(ledger, lake, entity) for entity in ENTITIES]
    return _act(ledger, found, actor=actor) if is_reopening else _sum(found)


def suspects(landed: Iterable[LandedBatch], history: MainHistory) -> tuple[LandedBatch, ...]:
    """Return the batches that should be ancestors of main and are not; those older than known history are trusted.

    Pure. A suspect is not lost yet: its snapshot may have been expired between two others.
    """
    return tuple(
        batch
        for batch in landed
        if batch.batch_id not in history.by_batch
        and (history.is_complete or history.oldest_at is None or batch.landed_at >= history.oldest_at)
    )


def judge(
    landed: Sequence[LandedBatch], rows: Mapping[str, int]
) -> tuple[tuple[LandedBatch, ...], tuple[DifferentBatch, ...]]:
    """Split batches into lost ones and those with another number of rows; pure.

    Args:
        landed: Batches to judge.
        rows: Rows main holds per batch id; absent means none.
    """
    lost = tuple(batch for batch in landed if not rows.get(batch.batch_id))
    different = tuple(
        DifferentBatch(batch.batch_id, batch.entity, batch.row_count, rows[batch.batch_id])
        for batch in landed
        if rows.get(batch.batch_id) and rows[batch.batch_id] != batch.row_count
    )
    return lost, different


def _look(ledger: Ledger, lake: Lake, entity: str, history: MainHistory) -> Verification:
    """Compare what landed within the known history; rows are read only of batches that are not in it."""
    with ledger.transaction() as connection:
        landed = landed_batches(connection, entity, since=None if history.is_complete else history.oldest_at)
    if landed and history.head_id is None:
        raise ConfigurationError(
            f"{changelog_table(entity)} is empty but the ledger has {len(landed)} batches there: a wrong catalog, or"
            " the lake is lost. `slackwater ledger verify` compares; with --reopen it has everything appended again"
        )
    doubtful = suspects(landed, history)
    rows = {batch_id: snapshot.row_count for batch_id, snapshot in history.by_batch.items()}
    # Read after the ledger was, so that a batch that landed between the two looks is found.
    rows |= count_batch_rows(lake, entity, [batch.batch_id for batch in doubtful])
    lost, different = judge([batch for batch in landed if batch in doubtful or batch.batch_id in rows], rows)
    return Verification(len(landed), lost, different, (), ())


def _count(ledger: Ledger, lake: Lake, entity: str) -> Verification:
    """Compare every landed batch with its rows, and every batch of the lake with the ledger."""
    with ledger.transaction() as connection:
        landed = landed_batches(connection, entity)
    rows = count_batch_rows(lake, entity)
    lost, different = judge(landed, rows)
    with ledger.transaction() as connection:
        unknown = unknown_batches(connection, rows.keys())
    return Verification(len(landed), lost, different, tuple(sorted(unknown)), ())


def _act(ledger: Ledger, found: Sequence[Verification], *, actor: str) -> Verification:
    total = _sum(found)
    reopened = []
    for batch in total.lost:
        try:
            with ledger.transaction() as connection:
                batches.reopen(connection, batch.batch_id, reason=REASON, actor=actor)
        except IllegalTransition:  # another sweep was faster
            continue
        reopened.append(batch.batch_id)
    return Verification(total.checked_batches, total.lost, total.different, total.unknown, tuple(reopened))


def _sum(found: Sequence[Verification]) -> Verification:
    return Verification(
        checked_batches=sum(one.checked_batches for one in found),
        lost=tuple(batch for one in found for batch in one.lost),
        different=tuple(batch for one in found for batch in one.different),
        unknown=tuple(batch_id for one in found for batch_id in one.unknown),
        reopened=(),
    )
