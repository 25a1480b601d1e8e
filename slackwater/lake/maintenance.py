"""What of the lake is expired, and why the rest is kept. Pure; `run_maintenance` reads and acts.

Ages are system time alone: when a snapshot stopped being the current one, when a batch landed and was folded. Data of
2010 that is replayed today is fresh.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from slackwater.errors import InvalidPlanError
from slackwater.lake.history import Snapshot, TableHistory

LEAST_SNAPSHOT_AGE = timedelta(hours=1)
"""A snapshot is never younger when it expires: a commit that is being tried again still refers to it."""

LEAST_ORPHAN_AGE = timedelta(hours=24)
"""Below, Iceberg refuses to remove orphan files: they may belong to a commit that is on its way."""

MANIFESTS_WORTH_REWRITING = 20
"""An append of one day makes one manifest of a few KB; a reader opens each of them."""


@dataclass(frozen=True)
class KeptSnapshot:
    """A snapshot older than the retention that is kept, and why."""

    snapshot_id: int
    reason: str


@dataclass(frozen=True)
class ExpiryPlan:
    """Snapshots of one table that expire, oldest first, and the old ones that do not."""

    expired: tuple[int, ...]
    kept: tuple[KeptSnapshot, ...]


@dataclass(frozen=True)
class ChangelogFile:
    """A data file of a changelog, with every batch it holds rows of."""

    address: str
    day: date
    row_count: int
    size_bytes: int
    batch_ids: frozenset[str]


@dataclass(frozen=True)
class PurgePlan:
    """Files of one changelog that may go, because all of their rows are old enough.

    Attributes:
        batch_ids: Every batch that loses rows, sorted; it may still have rows in other files.
        rows_by_day: Rows that go, per event day.
        kept_files: Looked at and kept, since a younger batch has rows in them too.
    """

    files: tuple[ChangelogFile, ...]
    batch_ids: tuple[str, ...]
    rows_by_day: Mapping[date, int]
    kept_files: int

    @property
    def row_count(self) -> int:
        """Return the rows that go."""
        return sum(self.rows_by_day.values())

    @property
    def size_bytes(self) -> int:
        """Return the size of the files that go."""
        return sum(one.size_bytes for one in self.files)


class TableUpkeep(BaseModel):
    """What Spark is to do with one table.

    Attributes:
        tombstones_of: Objects whose tombstones go.
        orphans_before: Files no snapshot names and not written since go; at least a day ago.
        statistics_columns: Columns whose distinct values are counted; empty: the current snapshot has its statistics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    table: str
    tombstones_of: tuple[str, ...] = ()
    is_rewriting_manifests: bool = False
    orphans_before: datetime
    statistics_columns: tuple[str, ...] = ()


class MaintainRequest(BaseModel):
    """The upkeep of some tables in one Spark session; a dry one only says what would go."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tables: tuple[TableUpkeep, ...]
    is_dry: bool


class TableKept(BaseModel):
    """What Spark did with one table, or would do.

    Attributes:
        orphan_files: Addresses of the files that no snapshot names.
        tombstones: Tombstone rows that went.
        error: Why the rest was not done, as `spark_runtime.failures.error_document` tells it; None when all was.
        seconds: Wall time of each part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    table: str
    tombstones: int = 0
    manifests_before: int = 0
    manifests_after: int = 0
    orphan_files: tuple[str, ...] = ()
    has_new_statistics: bool = False
    error: dict[str, str] | None = None
    seconds: dict[str, float] = {}


class MaintainResult(BaseModel):
    """What Spark did, per table; a failed one does not stop the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tables: tuple[TableKept, ...]


def plan_expiry(history: TableHistory, *, now: datetime, retention: timedelta, unloaded: Collection[str]) -> ExpiryPlan:
    """Say which snapshots expire.

    A snapshot expires when main has shown something else for the whole retention, so that every state of that time can
    be read. Main's ancestors go from the oldest end only: expiry cuts the chain of parents, and a batch is known to be
    held by its snapshot being an ancestor of main.

    Args:
        history: The table's snapshots.
        now: Present time.
        retention: How long a state stays readable, at least `LEAST_SNAPSHOT_AGE`.
        unloaded: Batches that are not loaded: each is loaded from the files its snapshot added.

    Raises:
        InvalidPlanError: The retention is too short.
    """
    if retention < LEAST_SNAPSHOT_AGE:
        raise InvalidPlanError(f"snapshots are kept for {LEAST_SNAPSHOT_AGE} at least, not {retention}")
    named = {
        held: f"{'tag' if name in history.tags else 'branch'} {name} is at it" for name, held in history.refs.items()
    }
    chain = tuple(history.ancestors(history.current_id))[::-1]
    open_batches = set(unloaded)
    needed = {one.snapshot_id: one.appended_batches[0] for one in chain if open_batches & set(one.appended_batches)}
    wanted = [n for n, one in enumerate(chain) if one.snapshot_id in needed or not _is_old(one, now, retention)]
    first = min(wanted, default=len(chain))
    chained = {one.snapshot_id for one in chain[first:]}
    expired, kept = [], []
    for one in history.snapshots:
        if not _is_old(one, now, retention):
            continue
        if one.snapshot_id in needed:
            reason = f"batch {needed[one.snapshot_id]} is not loaded and is loaded from the files it added"
        elif one.snapshot_id in named:
            reason = named[one.snapshot_id]
        elif one.snapshot_id in chained:
            reason = "it links one that is needed to the present"
        else:
            expired.append(one.snapshot_id)
            continue
        kept.append(KeptSnapshot(one.snapshot_id, reason))
    return ExpiryPlan(tuple(expired), tuple(kept))


def _is_old(snapshot: Snapshot, now: datetime, retention: timedelta) -> bool:
    return now - (snapshot.last_current_at or snapshot.committed_at) >= retention


def plan_purge(files: Sequence[ChangelogFile], *, purgeable: Collection[str]) -> PurgePlan:
    """Choose the files of which every batch may be purged; no file is rewritten for it.

    Args:
        files: Live data files of one changelog.
        purgeable: Batches that landed before the retention and are loaded, published and folded.
    """
    gone = tuple(one for one in files if one.batch_ids and one.batch_ids <= set(purgeable))
    rows: dict[date, int] = defaultdict(int)
    for one in gone:
        rows[one.day] += one.row_count
    batch_ids = sorted({batch_id for one in gone for batch_id in one.batch_ids})
    return PurgePlan(gone, tuple(batch_ids), dict(rows), len(files) - len(gone))


def is_worth_rewriting(manifests: int) -> bool:
    """Say whether a table's manifests are so many that readers gain from fewer."""
    return manifests >= MANIFESTS_WORTH_REWRITING


def orphan_limit(now: datetime, *, grace: timedelta) -> datetime:
    """Return the time before which a file that no snapshot names must have been written to go.

    Raises:
        InvalidPlanError: The grace is so short that a commit on its way could lose its files.
    """
    if grace < LEAST_ORPHAN_AGE:
        raise InvalidPlanError(f"files without a snapshot are left alone for {LEAST_ORPHAN_AGE} at least, not {grace}")
    return now - grace
