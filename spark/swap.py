"""Puts the files of a rewrite in the place of those it joined: one commit on main, whoever appended meanwhile.

Iceberg's own `newRewrite` through the JVM, because no procedure takes the files of a branch to a main that moved on. It
fails when a file it replaces is gone, or when rows of one were deleted since.
"""

from pyspark.sql import SparkSession

from slackwater.naming import SNAPSHOT_REWRITE_ID
from spark.versions import Commit, catalog_of


def swap_files(session: SparkSession, table: str, commits: tuple[Commit, ...], *, base: int, rewrite_id: str) -> None:
    """Commit to main what some commits of a branch replaced.

    Args:
        session: As `spark.session.open_session` returns it.
        table: Iceberg identifier.
        commits: Of the branch, after its base; no file of one is replaced by another.
        base: Snapshot of main the branch was made at.
        rewrite_id: Written into the snapshot.
    """
    java = session.sparkContext._jvm  # noqa: SLF001  # there is no other way to the Iceberg library
    if java is None:
        raise RuntimeError("this session has no JVM")
    iceberg = java.org.apache.iceberg
    name = f"{catalog_of(session)}.{table}"
    loaded = iceberg.spark.Spark3Util.loadIcebergTable(session._jsparkSession, name)  # noqa: SLF001
    old_data, new_data = iceberg.util.DataFileSet.create(), iceberg.util.DataFileSet.create()
    old_deletes, new_deletes = iceberg.util.DeleteFileSet.create(), iceberg.util.DeleteFileSet.create()
    add_all = iceberg.relocated.com.google.common.collect.Iterables.addAll
    for commit in commits:
        changes = iceberg.SnapshotChanges.builderFor(loaded).snapshot(loaded.snapshot(commit.snapshot_id)).build()
        add_all(old_data, changes.removedDataFiles())
        add_all(new_data, changes.addedDataFiles())
        add_all(old_deletes, changes.removedDeleteFiles())
        add_all(new_deletes, changes.addedDeleteFiles())
    rewrite = loaded.newRewrite().validateFromSnapshot(base).rewriteFiles(old_data, old_deletes, new_data, new_deletes)
    rewrite.set(SNAPSHOT_REWRITE_ID, rewrite_id).commit()
