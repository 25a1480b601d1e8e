"""The class archive of Spark's JVM: classes that a job has loaded, ready for the next JVM to map (AppCDS).

A JVM reads and verifies some 20,000 classes from jars at every start, a third of what a short job costs. The first job
of a machine that ends well leaves them. The JVM itself checks that Java and jars are those the archive was made of and
reads the jars where they are not. It does not survive an archive that was cut off (SIGBUS, seen with Java 17), so the
name says how long the file is, and one of another length is deleted, never mapped. A Java without an archive of its own
classes (that of the wheel) makes none.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from slackwater.spark_runtime.java import Java

_QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off"


@dataclass(frozen=True)
class ClassArchive:
    """Where the archive of a Java, a PySpark and a lock of jars is kept.

    Attributes:
        folder: Where jars are kept too.
        name: Of its file, without the length.
    """

    folder: Path
    name: str

    def whole_file(self) -> Path | None:
        """Return the archive if there is one; deletes files that were cut off."""
        for path in sorted(self.folder.glob(f"{self.name}-*.jsa")):
            with suppress(FileNotFoundError):  # another job deleted it
                if path.stem == f"{self.name}-{path.stat().st_size}":
                    return path
                path.unlink()
        return None

    def options(self, *, is_left: bool) -> str:
        """Return the options of a JVM: it maps the archive, or makes one when it ends if it is to leave its classes."""
        if whole := self.whole_file():
            return f"-XX:SharedArchiveFile={whole} {_QUIET}"
        return f"-XX:ArchiveClassesAtExit={self._part} {_QUIET}" if is_left else ""

    def keep(self, *, is_whole: bool) -> None:
        """Give what this process's JVM left its name, and clear away what others did not finish.

        Args:
            is_whole: The JVM has ended well; else what it left is thrown away.
        """
        with suppress(FileNotFoundError):
            if is_whole:
                self._part.replace(self.folder / f"{self.name}-{self._part.stat().st_size}.jsa")
            else:
                self._part.unlink()
        if self.whole_file():
            for part in self.folder.glob(f"{self.name}.part-*"):
                part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        return self.folder / f"{self.name}.part-{os.getpid()}"


def class_archive(folder: Path, *, java: Java, lock: Path) -> ClassArchive:
    """Return the archive of a Java and a lock of jars; after an upgrade of either or of PySpark it is another one."""
    identity = f"{java.build}\n{version('pyspark')}\n{lock.read_text(encoding='utf-8')}"
    return ClassArchive(folder, f"classes-{hashlib.sha256(identity.encode()).hexdigest()[:16]}")
