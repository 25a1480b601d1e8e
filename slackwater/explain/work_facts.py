"""What the stores say of work, as frozen records: batches, snapshots, loads, refreshes, checks, publications.

The readers make them, the assembly reads them. All times are aware and UTC. No store, no SQL, no words for people here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True)
class BatchFacts:
    """One batch in the ledger; `actors` says who brought it to each state."""

    batch_id: str
    entity: str
    state: str
    object_count: int
    skipped_count: int
    row_count: int | None
    snapshot_id: int | None
    load_seq: int | None
    attempt: int
    is_leased: bool
    sealed_at: datetime
    landed_at: datetime | None
    loaded_at: datetime | None
    last_error: str | None
    actors: Mapping[str, str] = field(default_factory=dict)


class Held(StrEnum):
    """What main says of a batch's snapshot."""

    ON_MAIN = "on main"
    EXPIRED = "expired"  # history does not reach back so far; its rows are still there unless someone says otherwise
    NOT_ON_MAIN = "not on main"


@dataclass(frozen=True)
class SnapshotFacts:
    """The snapshot a batch wrote, by the table's own metadata.

    Attributes:
        snapshot_id: None when main's history does not reach back so far.
        data_files: Files it added, of one day where a day was asked for; empty when not asked.
    """

    held: Held
    snapshot_id: int | None = None
    committed_at: datetime | None = None
    added_rows: int | None = None
    data_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadFacts:
    """One row of `OPS.LOAD_HISTORY`; `query_id` is the INSERT's, None for batches without rows and older loads."""

    load_seq: int
    rows_loaded: int
    attempt: int
    loaded_at: datetime | None
    actor: str
    query_id: str | None


@dataclass(frozen=True)
class RefreshFacts:
    """One refresh in the ledger."""

    refresh_id: str
    state: str
    batch_ids: frozenset[str]
    batch_count: int
    as_of: datetime | None
    started_at: datetime
    ended_at: datetime | None
    publication_id: str | None
    reasons: tuple[str, ...]
    report: str | None
    dbt_invocation_id: str | None
    dbt_built_at: datetime | None
    actor: str | None = None


@dataclass(frozen=True)
class BadCheck:
    """One check that did not pass, with the sample of keys and files it named."""

    name: str
    dataset: str
    outcome: str
    message: str
    failing_keys: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class CheckFacts:
    """The gate's results of one refresh: count per outcome, and what did not pass."""

    counts: Mapping[str, int]
    checked_at: datetime | None
    bad: tuple[BadCheck, ...] = ()


@dataclass(frozen=True)
class PublicationFacts:
    """One row of `MARTS.PUBLICATION`."""

    publication_id: str
    publication_seq: int
    refresh_id: str
    rows_deleted: int
    rows_inserted: int
    published_at: datetime | None


@dataclass(frozen=True)
class RefreshTrail:
    """A refresh with what the warehouse says of it."""

    refresh: RefreshFacts
    checks: CheckFacts | None = None
    publication: PublicationFacts | None = None


@dataclass(frozen=True)
class BatchTrail:
    """A batch with everything that was done with it; refreshes oldest first."""

    batch: BatchFacts
    snapshot: SnapshotFacts | None = None
    load: LoadFacts | None = None
    refreshes: tuple[RefreshTrail, ...] = ()

    @property
    def published_by(self) -> RefreshTrail | None:
        """Return the refresh that published it, None when none did."""
        return next((trail for trail in self.refreshes if trail.refresh.state == "published"), None)
