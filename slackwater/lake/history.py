"""A table's snapshots, the batches each brought, and what lies between two of them. Pure.

Reading them is `clients/iceberg_snapshots`; setting a table back is `rollback`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from slackwater.errors import NotKnown
from slackwater.naming import ENTITIES, changelog_table, state_table

MAIN = "main"
TABLES: tuple[str, ...] = tuple(name for entity in ENTITIES for name in (changelog_table(entity), state_table(entity)))
"""Every table of the lake."""


@dataclass(frozen=True)
class Snapshot:
    """One snapshot, as the table's metadata tells it.

    Attributes:
        parent_id: None for the first one, and where its parent was expired.
        last_current_at: When another snapshot took its place on main; None while it is there or if it never was.
        operation: `append`, `overwrite`, `delete` or `replace`.
        total_rows: Rows of its data files; rows that delete files take away are not subtracted.
        appended_batches: The batch an append wrote.
        folded_batches: The batches a fold took in.
        purge_id: The purge that wrote it.
    """

    snapshot_id: int
    parent_id: int | None
    committed_at: datetime
    last_current_at: datetime | None = None
    operation: str = "append"
    added_rows: int = 0
    deleted_rows: int = 0
    added_files: int = 0
    removed_files: int = 0
    total_rows: int = 0
    total_files: int = 0
    total_bytes: int = 0
    appended_batches: tuple[str, ...] = ()
    folded_batches: tuple[str, ...] = ()
    purge_id: str | None = None

    @property
    def batch_ids(self) -> tuple[str, ...]:
        """Return the batches it appended or folded."""
        return (*self.appended_batches, *self.folded_batches)


@dataclass(frozen=True)
class TableHistory:
    """The known snapshots of a table, oldest first, and the branches and tags that name some of them.

    Attributes:
        refs: Snapshot per branch or tag; `main` is the one readers see. Empty for a table nobody wrote to.
        tags: Which of the names are tags.
    """

    table: str
    snapshots: tuple[Snapshot, ...]
    refs: Mapping[str, int]
    tags: frozenset[str] = frozenset()

    @property
    def current_id(self) -> int | None:
        """Return the snapshot of main."""
        return self.refs.get(MAIN)

    def find(self, snapshot_id: int) -> Snapshot:
        """Return a snapshot.

        Raises:
            NotKnown: The table has none with this id.
        """
        for one in self.snapshots:
            if one.snapshot_id == snapshot_id:
                return one
        raise NotKnown(
            f"{self.table} has no snapshot {snapshot_id}: it never had, or it expired; see `slackwater lake snapshots"
            f" {self.table}`"
        )

    def ancestors(self, snapshot_id: int | None) -> Iterator[Snapshot]:
        """Yield a snapshot and what it was made from, newest first, as far back as is known."""
        by_id = {one.snapshot_id: one for one in self.snapshots}
        while snapshot_id is not None and snapshot_id in by_id:
            yield by_id[snapshot_id]
            snapshot_id = by_id[snapshot_id].parent_id

    def names_of(self, snapshot_id: int) -> tuple[str, ...]:
        """Return the branches and tags at a snapshot, sorted."""
        return tuple(sorted(name for name, held in self.refs.items() if held == snapshot_id))


@dataclass(frozen=True)
class BatchDifference:
    """Rows of one batch at two snapshots of a changelog; 0 where it is not held."""

    batch_id: str
    before_rows: int
    after_rows: int


@dataclass(frozen=True)
class KeyDifference:
    """How many keys of a state table differ between two snapshots.

    Attributes:
        added: Exist at the second one alone.
        changed: Exist at both, in another version.
        deleted: Exist at the first one alone.
        tombstones_added: Deletes that only the second one remembers, those of keys it never held included.
        tombstones_removed: Deletes that only the first one remembers and whose keys do not exist at the second.
    """

    added: int
    changed: int
    deleted: int
    tombstones_added: int
    tombstones_removed: int


@dataclass(frozen=True)
class SnapshotDifference:
    """What lies between two snapshots of a table.

    Attributes:
        before_rows: Live rows of the first one.
        batches: Of a changelog: the batches whose rows differ; None for a state table.
        folded: Of a state table: the batches folded into the second one and not into the first, as far as is known.
        unfolded: The other way round.
        keys: Of a state table; None for a changelog.
    """

    table: str
    before_id: int
    after_id: int
    before_rows: int
    after_rows: int
    batches: tuple[BatchDifference, ...] | None = None
    folded: tuple[str, ...] = ()
    unfolded: tuple[str, ...] = ()
    keys: KeyDifference | None = None


def entity_of(name: str) -> str:
    """Return the entity of a table.

    Raises:
        NotKnown: The lake has no such table.
    """
    if name not in TABLES:
        raise NotKnown(f"the lake has no table {name!r}; expected one of {', '.join(TABLES)}")
    return name.partition(".")[2]


def is_changelog(name: str) -> bool:
    """Say whether a table holds changes; otherwise it holds newest versions."""
    return name == changelog_table(entity_of(name))


def lost_by_rollback(history: TableHistory, target_id: int) -> tuple[Snapshot, ...]:
    """Return the snapshots main loses when it is set to one of its ancestors, newest first; none if it is there.

    Raises:
        NotKnown: There is no such snapshot, or it is no ancestor of main.
    """
    history.find(target_id)
    lost: list[Snapshot] = []
    for one in history.ancestors(history.current_id):
        if one.snapshot_id == target_id:
            return tuple(lost)
        lost.append(one)
    raise NotKnown(
        f"snapshot {target_id} of {history.table} is no ancestor of main (at {history.current_id}): it was rolled back"
        " before, or belongs to a branch; only an ancestor can be returned to"
    )


def folded_between(history: TableHistory, before_id: int, after_id: int) -> tuple[str, ...]:
    """Return the batches folded into a snapshot and not into another, sorted, as far as the known history tells."""
    before = {batch for one in history.ancestors(before_id) for batch in one.folded_batches}
    after = {batch for one in history.ancestors(after_id) for batch in one.folded_batches}
    return tuple(sorted(after - before))


def compare_batches(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[BatchDifference, ...]:
    """Return the batches with other row counts, sorted.

    Args:
        before: Rows per batch at the first snapshot; files both snapshots hold may be left out of both.
        after: The same at the second one.
    """
    return tuple(
        BatchDifference(batch_id, before.get(batch_id, 0), after.get(batch_id, 0))
        for batch_id in sorted(before.keys() | after.keys())
        if before.get(batch_id, 0) != after.get(batch_id, 0)
    )


Version = tuple[bool, tuple[object, ...]]
"""Whether a key exists (False: a tombstone), and the places of the changes its row was made from."""


def compare_keys(before: Mapping[int, Version], after: Mapping[int, Version]) -> KeyDifference:
    """Count the keys that differ.

    Args:
        before: Version per key at the first snapshot, tombstones included; keys equal at both may be left out.
        after: The same at the second one.
    """
    existing = {key for key, (exists, _) in before.items() if exists}, {key for key, (e, _) in after.items() if e}
    buried = before.keys() - existing[0], after.keys() - existing[1]
    return KeyDifference(
        added=len(existing[1] - existing[0]),
        changed=sum(1 for key in existing[0] & existing[1] if before[key] != after[key]),
        deleted=len(existing[0] - existing[1]),
        tombstones_added=len(buried[1] - buried[0]),
        tombstones_removed=len(buried[0] - buried[1] - existing[1]),
    )
