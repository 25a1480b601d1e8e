"""Turns what Spark and Iceberg raise into our errors, inside a job.

A Java exception PySpark has no class for comes as a `Py4JJavaError`, which is no `PySparkException`: Iceberg's
conflicts are such. Who acts on a conflict (does it again) must know it from a missing table. When the JVM is gone,
PySpark has no exception of it to tell (a bare `Py4JError`): the job ends with it, and what the JVM said last is in the
log.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from slackwater.settings import SparkSettings
from slackwater.spark_runtime.failures import explain_failure


@contextmanager
def spark_errors() -> Iterator[None]:
    """Raise the error of ours that a failure of Spark in the enclosed block stands for."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as exc:
        raise explain_failure(str(exc), spark=SparkSettings()) from exc
