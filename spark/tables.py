"""What jobs ask of an Iceberg table's metadata, and what they write into its snapshots."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from pyspark.sql import SparkSession

from slackwater.errors import ConfigurationError
from slackwater.naming import SNAPSHOT_FOLDED_BATCHES
from spark.session import FORMAT_VERSION


def require_format(session: SparkSession, table: str) -> None:
    """Refuse a table that pyiceberg could not write any more.

    Raises:
        ConfigurationError: It is not in format version 2.
    """
    rows = session.sql(f"show tblproperties {table} ('format-version')").collect()
    found = rows[0]["value"] if rows else "unknown"
    if found != FORMAT_VERSION:
        raise ConfigurationError(
            f"{table} is in Iceberg format version {found}, expected {FORMAT_VERSION}: appends could not be written any"
            " more; restore the table from a snapshot of before the upgrade"
        )


def current_snapshot_id(session: SparkSession, table: str, *, branch: str = "main") -> int | None:
    """Return the snapshot a branch is at; None when there is none."""
    row = session.table(f"{table}.refs").where(f"name = '{branch}'").select("snapshot_id").first()
    return int(row[0]) if row is not None else None


def folded_batches(session: SparkSession, state: str) -> set[str]:
    """Return the batches that ancestors of main were folded from; what was rolled back does not count."""
    rows = session.sql(
        f"select s.summary['{SNAPSHOT_FOLDED_BATCHES}'] as ids from {state}.snapshots as s"
        f" join {state}.history as h on s.snapshot_id = h.snapshot_id where h.is_current_ancestor"
    ).collect()
    return {batch_id for row in rows if row["ids"] for batch_id in row["ids"].split(",")}


def snapshot_property(session: SparkSession, name: str, value: str) -> AbstractContextManager[None]:
    """Write a property into the summary of every snapshot that is committed inside the block."""
    return session_setting(session, f"spark.sql.iceberg.snapshot-property.{name}", value)


@contextmanager
def session_setting(session: SparkSession, name: str, value: str) -> Iterator[None]:
    """Set something that is not set otherwise, for the enclosed block."""
    session.conf.set(name, value)
    try:
        yield
    finally:
        session.conf.unset(name)
