"""Compares days of two versions of a table by the checks of their rows; known checks are not read again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession

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
class KnownChecks:
    """Checks of rows that were read before.

    Attributes:
        columns: Names and types of the rows: other columns make other checks of the same rows.
        by_files: Per day and fingerprint of its files.
    """

    columns: tuple[tuple[str, str], ...] = ()
    by_files: Mapping[tuple[date, Decimal], PartitionCheck] = field(default_factory=dict)

    def of(self, version: Version, day: date) -> PartitionCheck | None:
        """Return the check of a day as a version holds it; None when its files are others."""
        files = version.files.get(day)
        return self.by_files.get((day, files.fingerprint)) if files is not None else None


NOTHING_KNOWN = KnownChecks()


def check_rows(rows: DataFrame, version: Version, *, key: Sequence[str]) -> KnownChecks:
    """Read rows of some days of a version and return their checks."""
    found = versions.checks_by_day(rows, key=key)
    by_files = {(day, version.files[day].fingerprint): check for day, check in found.items() if day in version.files}
    return KnownChecks(tuple(rows.dtypes), by_files)


def compare_days(
    session: SparkSession,
    table: str,
    before: Version,
    after: Version,
    *,
    days: Sequence[date],
    key: Sequence[str],
    known: KnownChecks = NOTHING_KNOWN,
) -> tuple[PartitionDifference, ...]:
    """Return the days whose rows are not the same in both versions.

    Args:
        session: As `spark.session.open_session` returns it.
        table: Iceberg identifier.
        before: The older version.
        after: The newer version.
        days: Days to compare.
        key: Columns that name a row.
        known: Checks of days of the older version; the others are read.
    """
    if not days:
        return ()
    columns = tuple(versions.rows_of(session, table, after.snapshot_id, days=days).dtypes)
    told = known if known.columns == columns else NOTHING_KNOWN
    held = {day: check for day in days if (check := told.of(before, day)) is not None}
    unknown = [day for day in days if day not in held]
    made: dict[date, PartitionCheck] = {}
    if held:
        rows = versions.rows_of(session, table, after.snapshot_id, days=sorted(held))
        made |= versions.checks_by_day(rows, key=key)
    if unknown:
        pair = (before.snapshot_id, after.snapshot_id)
        found = versions.checks_of(session, table, pair, days=unknown, key=key)
        held |= found[before.snapshot_id]
        made |= found[after.snapshot_id]
    return compare_checks(held, made)


def row_key(kind: TableKind, entity: Entity) -> tuple[str, ...]:
    """Return the columns that name a row: of a changelog its change and the place it came from."""
    if kind is TableKind.STATE:
        return (entity.key,)
    return (entity.key, "_epoch", "__source_lsn", "__op", "_object_id", "_position")
