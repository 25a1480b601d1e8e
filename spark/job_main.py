"""The main of every job: a request in, a result or an error out, both as JSON files; the exit status says which.

Errors are told as documents because a driver's trace is no message: what went wrong, and whether trying again helps.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from pyspark import SparkContext
from pyspark.sql import SparkSession

from slackwater.errors import SlackwaterError
from slackwater.settings import LakeSettings, ProjectSettings, S3Settings, SparkSettings
from slackwater.spark_runtime.failures import error_document
from slackwater.spark_runtime.machine import SparkMachine, prepare_machine
from spark.session import open_session
from spark.spark_errors import spark_errors

Request = TypeVar("Request", bound=BaseModel)
Result = TypeVar("Result", bound=BaseModel)


def main(request_type: type[Request], run: Callable[[SparkSession, Request], Result]) -> int:
    """Run one job with the settings of the environment.

    Args:
        request_type: What the first argument's file holds.
        run: Does the job; what it returns is written to the second argument's file.

    Returns:
        0, or 1 after an error that was written.
    """
    request_file, result_file = Path(sys.argv[1]), Path(sys.argv[2])
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    archive = None  # of a job that failed in part it would hold too few classes
    try:
        request = request_type.model_validate_json(request_file.read_text(encoding="utf-8"))
        with spark_errors():
            machine = _machine()
            session = _session(run.__module__, machine, leaves_classes=True)
            document = run(session, request).model_dump(mode="json")
            archive = None if document.get("failed") else machine.archive
    except SlackwaterError as exc:
        document = error_document(exc)
    whole = result_file.with_suffix(".part")
    whole.write_text(json.dumps(document, indent=2), encoding="utf-8")
    whole.replace(result_file)
    if archive is not None and archive.whole_file() is None:
        archive.keep(is_whole=_end_jvm() == 0)
    return int("error" in document)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: nobody would take its result, or renew the lease."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)  # the JVM ends with the pipe to this process


def session_of_environment(name: str) -> SparkSession:
    """Start Spark with the settings of the environment; the jars are fetched when they are not there yet."""
    return _session(name, _machine(), leaves_classes=False)


def _machine() -> SparkMachine:
    return prepare_machine(SparkSettings(), ProjectSettings(), say=lambda text: print(text, flush=True))


def _session(name: str, machine: SparkMachine, *, leaves_classes: bool) -> SparkSession:
    os.environ["JAVA_HOME"] = str(machine.java.home)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    return open_session(
        name,
        lake=LakeSettings(),
        s3=S3Settings(),
        spark=SparkSettings(),
        jars_dir=machine.jars_dir,
        java_options=machine.archive.options(is_left=leaves_classes),
    )


def _end_jvm() -> int | None:
    """End this process's JVM and wait for it: it writes its classes then. Returns its exit status, None without one."""
    gateway = SparkContext._gateway  # noqa: SLF001 - PySpark has no other way to wait for its JVM
    if gateway is None:
        return None
    gateway.shutdown()
    gateway.proc.stdin.close()
    return int(gateway.proc.wait())
