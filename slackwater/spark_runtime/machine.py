"""What Spark needs on this machine, found or fetched: Java, jars, and the class archive if there is one."""

import os
from dataclasses import dataclass
from pathlib import Path

from slackwater.settings import ProjectSettings, SparkSettings
from slackwater.spark_runtime.class_archive import ClassArchive, class_archive
from slackwater.spark_runtime.jars import Say, ensure_jars
from slackwater.spark_runtime.java import Java, find_java


@dataclass(frozen=True)
class SparkMachine:
    """Java, the folder of the jars, and the class archive."""

    java: Java
    jars_dir: Path
    archive: ClassArchive


def prepare_machine(settings: SparkSettings, project: ProjectSettings, *, say: Say) -> SparkMachine:
    """Find Java and fetch the jars that are missing.

    Raises:
        SparkMissing: No Java here runs Spark.
        StoreUnavailable: A jar could not be fetched.
        ConfigurationError: What was fetched is not what the lock says.
    """
    java = find_java(named_home=settings.java_home, cache_dir=settings.kept_dir, environment=os.environ)
    jars_dir = ensure_jars(project.jars_lock, settings.kept_dir / "jars", java=java, say=say)
    return SparkMachine(java, jars_dir, class_archive(settings.kept_dir, java=java, lock=project.jars_lock))
