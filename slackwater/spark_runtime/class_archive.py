"""The class archive of Spark's JVM: classes that a job has loaded, ready for the next JVM to map (AppCDS).

A JVM reads and verifies some 20,000 classes from jars at every start, a third of what a short job costs. The first job
of a machine that ends well leaves them. The JVM itself checks that Java and jars are those the archive was made of;
where they are not, or the archive is damaged, it reads the jars as it did without one. A Java without an archive of its
own classes (that of the wheel) makes none.
"""

import hashlib
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from slackwater.spark_runtime.java import Java

_QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off"


def archive_path(folder: Path, *, java: Java, lock: Path) -> Path:
    """Return where the archive of a Java, a PySpark and a lock of jars is kept.

    Args:
        folder: Where jars are kept too.
        java: Its build is part of the name: after an upgrade there is a new archive.
        lock: The lock file of the jars.
    """
    identity = f"{java.build}\n{version('pyspark')}\n{lock.read_text(encoding='utf-8')}"
    return folder / f"classes-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.jsa"


def archive_options(archive: Path, *, is_left: bool) -> str:
    """Return the options of a JVM: it maps the archive, or makes one when it ends if it is to leave its classes."""
    if archive.is_file():
        return f"-XX:SharedArchiveFile={archive} {_QUIET}"
    return f"-XX:ArchiveClassesAtExit={_part(archive)} {_QUIET}" if is_left else ""


def keep_archive(archive: Path) -> None:
    """Give what this process's JVM left its name, and clear away what others did not finish; the JVM has ended."""
    with suppress(FileNotFoundError):
        _part(archive).replace(archive)
    if archive.is_file():
        for part in archive.parent.glob(f"{archive.name}.part-*"):
            part.unlink(missing_ok=True)


def _part(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.part-{os.getpid()}")
