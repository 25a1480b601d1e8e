"""Which partitions of a table are worth a rewrite: for every one a decision with its reason. Pure.

A rewrite costs the bytes it reads and writes, and brings readers fewer files and fewer deletes to apply. So partitions
are ranked by files removed per GiB, and taken until a run's budget of bytes is used up.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from slackwater.errors import InvalidPlanError
from slackwater.lake.packing import pack
from slackwater.lake.policy import TableKind, TablePolicy

GIB = 2**30
SMALL_SHARE, LARGE_SHARE = 0.75, 1.8
"""Files between these shares of the target are as wanted; the same bounds as Iceberg's own rewrite has."""

PARTITION_COST_BYTES = 4 * 2**20
"""Added to the bytes of every partition: its own job and commit cost as much, so tiny partitions are not all first."""


@dataclass(frozen=True)
class PartitionFiles:
    """The live files of one partition.

    Attributes:
        day: The partition.
        file_bytes: Size of every data file, in no order.
        row_count: Rows of the data files, deleted ones included.
        delete_count: Delete files.
        delete_bytes: Their size together.
        deleted_row_count: Rows they name.
        written_at: When the newest of these files was committed (UTC, the snapshot's time); None: no snapshot is known.
    """

    day: date
    file_bytes: tuple[int, ...]
    row_count: int = 0
    delete_count: int = 0
    delete_bytes: int = 0
    deleted_row_count: int = 0
    written_at: datetime | None = None


class Decision(StrEnum):
    """What is done with a partition."""

    COMPACT = "compact"
    SKIP = "skip"


@dataclass(frozen=True)
class PartitionDecision:
    """What is done with one partition, why, and the numbers behind it.

    Attributes:
        reason: A sentence's part that follows "compacted because" or "skipped because".
        file_count: Data files it has.
        input_count: Data files a rewrite reads.
        output_count: Data files that come of these, as estimated.
        delete_count: Delete files a rewrite clears.
        rewrite_bytes: What a rewrite reads, data and delete files.
        score: Files removed and delete files cleared per GiB; 0 where there is nothing to gain.
    """

    table: str
    day: date
    decision: Decision
    reason: str
    file_count: int
    input_count: int
    output_count: int
    delete_count: int
    rewrite_bytes: int
    score: float

    @property
    def told(self) -> str:
        """Return the decision as a line for people."""
        verb = "compacted" if self.decision is Decision.COMPACT else "skipped"
        return f"{self.table} {self.day}: {verb} because {self.reason}"


@dataclass(frozen=True)
class CompactionPlan:
    """The decisions on a table's partitions, by day, and the rule they were taken by."""

    table: str
    policy: TablePolicy
    decisions: tuple[PartitionDecision, ...]

    @property
    def chosen(self) -> tuple[PartitionDecision, ...]:
        """Return the partitions to be rewritten."""
        return tuple(one for one in self.decisions if one.decision is Decision.COMPACT)

    @property
    def days(self) -> tuple[date, ...]:
        """Return the days of these."""
        return tuple(one.day for one in self.chosen)

    @property
    def groups(self) -> tuple[tuple[date, ...], ...]:
        """Return these days in groups of one rewrite and commit each, so that a race or a bad day costs one of them."""
        bins = pack(
            self.chosen, weight=lambda one: max(1, one.rewrite_bytes), target=self.policy.target_bytes_per_commit
        )
        return tuple(sorted(tuple(sorted(one.day for one in group)) for group in bins))

    @property
    def rewrite_bytes(self) -> int:
        """Return what their rewrite reads."""
        return sum(one.rewrite_bytes for one in self.chosen)


def plan_compaction(
    kind: TableKind,
    entity: str,
    partitions: Sequence[PartitionFiles],
    *,
    policy: TablePolicy,
    now: datetime,
    claimed: Collection[date] | None = (),
) -> CompactionPlan:
    """Decide on every partition of a table.

    Args:
        kind: A changelog is appended to at any time, so partitions with a claim are left alone; a state table has one
            writer, the caller.
        entity: The table's entity.
        partitions: All its partitions, one each.
        policy: The table's rule.
        now: Timezone-aware; what `written_at` is compared with.
        claimed: Days of batches that are not landed, loaded and folded: they are found by the files they were appended
            in. None: of some such batch the days are not known, so any day may be claimed.

    Returns:
        One decision per partition, by day.

    Raises:
        InvalidPlanError: A partition came twice, or holds a file of no size.
    """
    if len({one.day for one in partitions}) != len(partitions):
        raise InvalidPlanError(f"{kind.table(entity)}: a partition came twice")
    table = kind.table(entity)
    weighed = [_weigh(table, one, policy) for one in sorted(partitions, key=lambda one: one.day)]
    written = {one.day: one.written_at for one in partitions}
    decided: list[PartitionDecision] = []
    for one in weighed:
        obstacle = _claim(kind, one.day, claimed) or _open(written[one.day], policy=policy, now=now)
        decided.append(replace(one, decision=Decision.SKIP, reason=obstacle) if obstacle else one)
    return CompactionPlan(table, policy, _within_budget(decided, policy.budget_bytes_per_run))


def _weigh(table: str, files: PartitionFiles, policy: TablePolicy) -> PartitionDecision:
    """Say what a rewrite of a partition would bring and cost, whoever else works on it."""
    inputs = _inputs(files, policy.target_file_bytes)
    # A row takes the same room wherever it lies, so the rewritten files are as full as the total allows.
    outputs = max(1, -(-sum(inputs) // policy.target_file_bytes)) if inputs else 0
    cost = sum(inputs) + files.delete_bytes
    gain = max(0, len(inputs) - outputs) + files.delete_count
    # Of two partitions with the same gain the one whose files are farther from the target comes first.
    distance = _distance(inputs, policy.target_file_bytes)
    score = (gain + distance) * GIB / (cost + PARTITION_COST_BYTES) if gain else 0.0
    made = PartitionDecision(
        table=table,
        day=files.day,
        decision=Decision.COMPACT,
        reason=f"{_told_gain(len(inputs), outputs, files)}; {cost:,} bytes to rewrite, score {score:,.0f}",
        file_count=len(files.file_bytes),
        input_count=len(inputs),
        output_count=outputs,
        delete_count=files.delete_count,
        rewrite_bytes=cost,
        score=score,
    )
    if refusal := _not_worth_it(made, files, policy):
        return replace(made, decision=Decision.SKIP, reason=refusal)
    return made


def _inputs(files: PartitionFiles, target: int) -> tuple[int, ...]:
    """Return the sizes of the files a rewrite reads; with deleted rows all, for any may hold them."""
    if any(size <= 0 for size in files.file_bytes):
        raise InvalidPlanError(f"partition {files.day}: a data file of no size")
    if files.delete_count:
        return files.file_bytes
    return tuple(size for size in files.file_bytes if not SMALL_SHARE * target <= size <= LARGE_SHARE * target)


def _distance(sizes: Sequence[int], target: int) -> float:
    """Return how far files are from their target: 0 for files of that size, nearly 1 for very small ones."""
    if not sizes:
        return 0.0
    return sum(abs(target - size) / max(target, size) for size in sizes) / len(sizes)


def _not_worth_it(made: PartitionDecision, files: PartitionFiles, policy: TablePolicy) -> str | None:
    count = made.input_count
    if not files.delete_count and count < policy.min_inputs:
        return f"{count} of its {made.file_count} files are far from the target size, fewer than {policy.min_inputs}"
    if made.score == 0:
        return f"a rewrite of {count} files would make {made.output_count}"
    if made.score < policy.min_score:
        return f"its score {made.score:,.1f} is below {policy.min_score:g} files per GiB"
    return None


def _told_gain(inputs: int, outputs: int, files: PartitionFiles) -> str:
    told = f"{inputs} of its {len(files.file_bytes)} files become about {outputs}"
    if files.delete_count:
        told += f" and {files.delete_count} delete files with {files.deleted_row_count:,} rows go"
    return told


def _claim(kind: TableKind, day: date, claimed: Collection[date] | None) -> str | None:
    if kind is not TableKind.CHANGELOG:
        return None
    if claimed is None:
        return "a batch that is not loaded and folded may have rows of any day"
    return "a batch with rows of this day is not loaded and folded" if day in claimed else None


def _open(written_at: datetime | None, *, policy: TablePolicy, now: datetime) -> str | None:
    if written_at is None or not policy.closed_after_hours:
        return None
    age = now - written_at
    if age >= timedelta(hours=policy.closed_after_hours):
        return None
    hours = age.total_seconds() / 3_600
    return f"it was written to {hours:.1f} h ago and counts as closed after {policy.closed_after_hours:g} h"


def _within_budget(decided: Sequence[PartitionDecision], budget: int) -> tuple[PartitionDecision, ...]:
    """Take the best until the budget is used up; one that does not fit leaves its place to smaller ones."""
    left = budget
    final = {one.day: one for one in decided}
    for one in sorted(decided, key=lambda one: (-one.score, one.day)):
        if one.decision is Decision.SKIP:
            continue
        if one.rewrite_bytes <= left:
            left -= one.rewrite_bytes
        elif one.rewrite_bytes > budget:
            reason = f"it needs {one.rewrite_bytes:,} bytes and a run has {budget:,}; raise budget_bytes_per_run"
            final[one.day] = replace(one, decision=Decision.SKIP, reason=reason)
        else:
            reason = f"better ones left {left:,} of {budget:,} bytes and it needs {one.rewrite_bytes:,}; a later run"
            final[one.day] = replace(one, decision=Decision.SKIP, reason=reason)
    return tuple(final[day] for day in sorted(final))
