"""What a verified rewrite is told and what it answers; what counts as the same content. Pure.

The rewrite itself is `spark/jobs/rewrite_files`. A partition's content is compared by its number of rows and by two
checksums that do not depend on order: of the keys, and of all columns.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from slackwater.errors import RewriteRejected
from slackwater.lake.policy import TableKind, TablePolicy

EVIDENCE_PREFIX = "rejected-"
"""Before a rewrite's id: name of the tag at a snapshot that failed its check."""

BRANCH = "rewrite"
"""Branch a table is rewritten on; one at a time, the caller's lease."""


class RewriteRequest(BaseModel):
    """The rewrite of some partitions of one table.

    Attributes:
        rewrite_id: Names the tags it leaves; letters, digits, hyphens.
        days: Partitions to rewrite, at least one.
        planned_snapshot_id: Snapshot of main the plan was made at; it must be an ancestor of main.
        target_file_bytes: Wanted size of a data file.
        min_inputs: Fewest files of a partition that are joined.
        is_sorted_by_key: Sort each partition by the entity's key.
        attempts: How often it is done anew when another commit interferes, >= 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rewrite_id: str = Field(pattern="^[A-Za-z0-9-]{1,64}$")
    kind: TableKind
    entity: str
    days: tuple[date, ...] = Field(min_length=1)
    planned_snapshot_id: int | None = None
    target_file_bytes: int = Field(gt=0)
    min_inputs: int = Field(ge=2)
    is_sorted_by_key: bool = False
    attempts: int = Field(3, ge=1)

    @property
    def table(self) -> str:
        """Return the Iceberg identifier of the table."""
        return self.kind.table(self.entity)


class PartitionCheck(BaseModel):
    """The content of a partition, or of several together, in five numbers.

    Equal numbers mean equal rows, in whatever order and files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    row_count: int
    key_sum: int
    key_xor: int
    content_sum: int
    content_xor: int


class PartitionDifference(BaseModel):
    """A partition whose content a rewrite changed; None: no row there.

    Attributes:
        unreadable: Why it could not be compared; empty when it was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    day: date
    before: PartitionCheck | None
    after: PartitionCheck | None
    unreadable: str = ""

    @property
    def told(self) -> str:
        """Return what differs."""
        if self.unreadable:
            return f"{self.day}: {self.unreadable}"
        rows = tuple(check.row_count if check else 0 for check in (self.before, self.after))
        if rows[0] != rows[1]:
            return f"{self.day}: {rows[0]} rows became {rows[1]}"
        are_keys_equal = (self.before and self.before.key_sum) == (self.after and self.after.key_sum)
        return f"{self.day}: {rows[0]} rows, other {'values' if are_keys_equal else 'keys'}"


class PartitionCounts(BaseModel):
    """The files of one partition before and after, counted in the table's metadata."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    day: date
    files_before: int
    files_after: int
    deletes_before: int
    deletes_after: int
    bytes_before: int
    bytes_after: int


class Outcome(StrEnum):
    """How a rewrite ended."""

    REWRITTEN = "rewritten"
    UNCHANGED = "unchanged"  # there was nothing to join
    REJECTED = "rejected"  # it was bad, and main never had it
    SKIPPED = "skipped"  # others replaced its files meanwhile, each time


class RewriteResult(BaseModel):
    """What a rewrite did.

    Attributes:
        reason: Why it did not end as `rewritten`.
        snapshot_id: Main after it.
        counts: Of every partition whose files changed, by day; after a rejection what it would have made.
        differences: Partitions that were not the same, by day.
        evidence_tag: Tag at the bad snapshot.
        attempts: How often it was tried.
        seconds: Wall time of each part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rewrite_id: str
    table: str
    outcome: Outcome
    reason: str = ""
    snapshot_id: int | None = None
    counts: tuple[PartitionCounts, ...] = ()
    differences: tuple[PartitionDifference, ...] = ()
    evidence_tag: str | None = None
    attempts: int = 1
    seconds: dict[str, float] = {}

    @property
    def is_bad(self) -> bool:
        """Say whether the rewrite changed rows: somebody must look at the evidence."""
        return self.outcome is Outcome.REJECTED

    @property
    def removed_files(self) -> int:
        """Return by how many data files the table has less."""
        return sum(one.files_before - one.files_after for one in self.counts)


class RewriteJob(BaseModel):
    """Several rewrites for one Spark session, done one after the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rewrites: tuple[RewriteRequest, ...]


class RewriteAnswer(BaseModel):
    """What became of one rewrite: a result, or the error as `spark_runtime.failures.error_document` tells it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    result: RewriteResult | None = None
    error: dict[str, str] = {}


class RewriteJobResult(BaseModel):
    """One answer per rewrite, in their order; a failed one does not stop the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    answers: tuple[RewriteAnswer, ...]


def rewrite_request(
    kind: TableKind,
    entity: str,
    *,
    days: tuple[date, ...],
    policy: TablePolicy,
    rewrite_id: str,
    planned_snapshot_id: int | None,
) -> RewriteRequest:
    """Return the request for the partitions a plan chose."""
    return RewriteRequest(
        rewrite_id=rewrite_id,
        kind=kind,
        entity=entity,
        days=days,
        planned_snapshot_id=planned_snapshot_id,
        target_file_bytes=policy.target_file_bytes,
        min_inputs=policy.min_inputs,
        is_sorted_by_key=policy.is_sorted_by_key,
    )


def compare_checks(
    before: Mapping[date, PartitionCheck], after: Mapping[date, PartitionCheck]
) -> tuple[PartitionDifference, ...]:
    """Return the partitions whose content differs, by day; one that is in neither mapping is not looked at."""
    return tuple(
        PartitionDifference(day=day, before=before.get(day), after=after.get(day))
        for day in sorted(before.keys() | after.keys())
        if before.get(day) != after.get(day)
    )


def require_good(result: RewriteResult) -> None:
    """Raise unless a rewrite left every row as it was; for the caller, after it logged the result.

    Raises:
        RewriteRejected: It did not; the message says where, what readers see now, and where the evidence is.
    """
    if result.is_bad:
        raise RewriteRejected(f"{result.table}: {result.reason}")
