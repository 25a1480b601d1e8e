"""Versions of a table: its branches and tags, the files and the content of its days in a version.

A version is a snapshot id. Files are compared by their addresses and sequence numbers, for the number decides which
deletes apply to a file; days whose files are the same hold the same rows and are not read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from slackwater.lake.rewrite import PartitionCheck, PartitionCounts
from slackwater.naming import SNAPSHOT_REWRITE_ID
from spark.transforms.checksum import CHECKS, checks

_VERSION = "_version"


@dataclass(frozen=True)
class DayFiles:
    """The live files of one day in one version; versions of the same fingerprint have the same files."""

    data_files: int
    delete_files: int
    size_bytes: int
    fingerprint: Decimal


@dataclass(frozen=True)
class Commit:
    """One snapshot of a table.

    Attributes:
        rewrite_id: The rewrite of ours that made it with a statement; Iceberg's own procedures name none.
    """

    snapshot_id: int
    parent_id: int | None
    operation: str
    rewrite_id: str | None


_NO_FILES = DayFiles(0, 0, 0, Decimal(0))


def catalog_of(session: SparkSession) -> str:
    """Return the name of the lake's catalog; a session whose catalog was set after its start calls another current."""
    return str(session.conf.get("spark.sql.defaultCatalog"))


def files_of(session: SparkSession, table: str, versions: Collection[int]) -> dict[int, dict[date, DayFiles]]:
    """Return the live files of every day in several versions, from metadata, read in one job."""
    of_version = [
        "select data_file.partition.date as day, count_if(data_file.content = 0) as data_files,"
        " count_if(data_file.content <> 0) as delete_files, sum(data_file.file_size_in_bytes) as size_bytes,"
        " sum(cast(xxhash64(data_file.file_path, data_file.content, sequence_number) as decimal(38,0))) as fingerprint,"
        f" {version} as version from {table}.entries version as of {version} where status < 2 group by 1"
        for version in versions
    ]
    found: dict[int, dict[date, DayFiles]] = {version: {} for version in versions}
    for row in session.sql(" union all ".join(of_version)).collect():
        found[row.version][row.day] = DayFiles(row.data_files, row.delete_files, row.size_bytes, row.fingerprint)
    return found


def changed_counts(before: Mapping[date, DayFiles], after: Mapping[date, DayFiles]) -> tuple[PartitionCounts, ...]:
    """Return the counts of the days whose files are not the same in both versions, by day."""
    found = []
    for day in sorted(before.keys() | after.keys()):
        old, new = before.get(day, _NO_FILES), after.get(day, _NO_FILES)
        if old != new:
            found.append(
                PartitionCounts(
                    day=day,
                    files_before=old.data_files,
                    files_after=new.data_files,
                    deletes_before=old.delete_files,
                    deletes_after=new.delete_files,
                    bytes_before=old.size_bytes,
                    bytes_after=new.size_bytes,
                )
            )
    return tuple(found)


def checks_of(
    session: SparkSession, table: str, versions: Collection[int], *, days: Collection[date], key: Sequence[str]
) -> dict[int, dict[date, PartitionCheck]]:
    """Return the checks of some days in several versions, read in one job.

    A column that a version does not have yet is null there, as it is in rows that were rewritten since.
    """
    parts = [rows_of(session, table, version, days=days).withColumn(_VERSION, f.lit(version)) for version in versions]
    rows = parts[0]
    for part in parts[1:]:
        rows = rows.unionByName(part, allowMissingColumns=True)
    found: dict[int, dict[date, PartitionCheck]] = {version: {} for version in versions}
    for row in checks(rows, key=key, by=("date", _VERSION), without=(_VERSION,)).collect():
        found[row[_VERSION]][row["date"]] = check_of(row.asDict())
    return found


def check_of_days(
    session: SparkSession, table: str, version: int, *, days: Collection[date], key: Sequence[str]
) -> PartitionCheck:
    """Return one check of all rows of some days in a version."""
    [row] = checks(rows_of(session, table, version, days=days), key=key, by=()).collect()
    return check_of(row.asDict())


def rows_of(session: SparkSession, table: str, version: int, *, days: Collection[date]) -> DataFrame:
    """Return the rows of some days in a version."""
    return session.sql(f"select * from {table} version as of {version}").where(f.col("date").isin(*days))


def commits_since(session: SparkSession, table: str, *, tip: int, base: int) -> tuple[Commit, ...] | None:
    """Return the commits that led from a base to a tip, oldest first; None when the base is no ancestor of the tip."""
    rows = session.sql(
        f"select snapshot_id, parent_id, operation, summary['{SNAPSHOT_REWRITE_ID}'] from {table}.snapshots"
    ).collect()
    known = {row[0]: Commit(*row) for row in rows}
    found: list[Commit] = []
    at: int | None = tip
    while at is not None and at != base:
        if at not in known:
            return None
        found.append(known[at])
        at = known[at].parent_id
    return tuple(reversed(found)) if at == base else None


def named_versions(session: SparkSession, table: str, *, prefix: str) -> dict[str, int]:
    """Return the branches and tags whose names begin with a prefix, and the versions they are at."""
    rows = session.table(f"{table}.refs").select("name", "snapshot_id").collect()
    return {row.name: row.snapshot_id for row in rows if row.name.startswith(prefix)}


def create_branch(session: SparkSession, table: str, name: str, version: int) -> None:
    """Make a branch at a version."""
    session.sql(f"alter table {table} create branch `{name}` as of version {version}")


def drop_branch(session: SparkSession, table: str, name: str) -> None:
    """Drop a branch; nothing happens when there is none."""
    session.sql(f"alter table {table} drop branch if exists `{name}`")


def create_tag(session: SparkSession, table: str, name: str, version: int) -> None:
    """Make a tag at a version, replacing one of the same name; the version is kept while it is there."""
    session.sql(f"alter table {table} create or replace tag `{name}` as of version {version}")


def check_of(row: Mapping[str, Any]) -> PartitionCheck:
    """Return the check of a row of `CHECKS`; of no rows, whose sums are null, one of zeros."""
    return PartitionCheck(**{name: int(row[name] or 0) for name in CHECKS})
