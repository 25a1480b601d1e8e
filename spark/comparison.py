"""Compares days of two versions of a table by the checks of their rows; rows that were seen are not read again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import SparkSession

from slackwater.entities.model import Entity
from slackwater.lake.policy import TableKind
from slackwater.lake.rewrite import PartitionCheck, PartitionDifference, compare_checks
from spark import versions
from spark.versions import DayFiles


@dataclass(frozen=True)
class Version:
    """A snapshot of a table and the files it has per day."""

    snapshot_id: int
    files: Mapping[date, DayFiles]


@dataclass(frozen=True)
class SeenRows:
    """What was counted of the rows of some days while something else read them.

    Attributes:
        columns: Names and types of the rows: other columns make another check of the same rows.
        check: Of all of these days together; a row's day is part of its content.
    """

    days: tuple[date, ...]
    columns: tuple[tuple[str, str], ...]
    check: PartitionCheck


NOTHING_SEEN = SeenRows((), (), PartitionCheck(row_count=0, key_sum=0, key_xor=0, content_sum=0, content_xor=0))


def compare_days(
    session: SparkSession,
    table: str,
    before: Version,
    after: Version,
    *,
    days: Sequence[date],
    key: Sequence[str],
    seen: SeenRows = NOTHING_SEEN,
) -> tuple[PartitionDifference, ...]:
    """Return the days whose rows are not the same in both versions.

    Args:
        session: As `spark.session.open_session` returns it.
        table: Iceberg identifier.
        before: The older version.
        after: The newer version.
        days: Days to compare.
        key: Columns that name a row.
        seen: Of the older version. Where the newer one agrees, the older is not read; else it is, day by day: a job
            that had to do something twice may have counted it twice.
    """
    agreed = set(seen.days) if seen.days and _agrees(session, table, after, seen, key=key) else set[date]()
    others = [day for day in days if day not in agreed]
    if not others:
        return ()
    found = versions.checks_of(session, table, (before.snapshot_id, after.snapshot_id), days=others, key=key)
    return compare_checks(found[before.snapshot_id], found[after.snapshot_id])


def _agrees(session: SparkSession, table: str, version: Version, seen: SeenRows, *, key: Sequence[str]) -> bool:
    if tuple(versions.rows_of(session, table, version.snapshot_id, days=seen.days).dtypes) != seen.columns:
        return False
    return versions.check_of_days(session, table, version.snapshot_id, days=seen.days, key=key) == seen.check


def row_key(kind: TableKind, entity: Entity) -> tuple[str, ...]:
    """Return the columns that name a row: of a changelog its change and the place it came from."""
    if kind is TableKind.STATE:
        return (entity.key,)
    return (entity.key, "_epoch", "__source_lsn", "__op", "_object_id", "_position")
