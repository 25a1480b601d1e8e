"""The one door to Spark: runs a job of `spark/jobs` as a process of its own and returns what it answers.

A process per job, because a JVM keeps what it has taken and a flow run must be able to end it. What a job needs comes
as a request in a file; secrets come through the environment, as for every other program. No PySpark is imported here.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel

from slackwater.errors import StoreRejected, StoreUnavailable
from slackwater.settings import ProjectSettings, SparkSettings
from slackwater.spark_runtime.failures import error_of_document, explain_failure

Result = TypeVar("Result", bound=BaseModel)

_POLL_SECONDS = 0.2
_TOLD_LINES = 40
_LOGS_KEPT = 50


class SparkJobs:
    """Starts jobs with the settings of an environment.

    Args:
        settings: Folders, memory profile, longest duration.
        project: Where `spark/` lies.
        environment: Of the job's process.
    """

    def __init__(self, settings: SparkSettings, project: ProjectSettings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._project = project
        self._environment = environment

    def run(
        self, job: str, request: BaseModel, result_type: type[Result], *, check: Callable[[], None] = lambda: None
    ) -> Result:
        """Run one job and return its result.

        Args:
            job: Module below `spark.jobs`, such as `fold_changes`.
            request: What it is told.
            result_type: What it answers.
            check: Called again and again meanwhile; an error of it (a lost lease) ends the job.

        Raises:
            SlackwaterError: What the job said went wrong.
            StoreUnavailable: It took longer than `job_timeout_seconds`, or was killed.
        """
        folder = self._settings.work_dir.absolute() / "jobs"
        folder.mkdir(parents=True, exist_ok=True)
        _forget_old(folder)
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
        log = folder / f"{stamp}-{job}.log"
        with tempfile.TemporaryDirectory(prefix="slackwater-job-") as exchange:
            request_file, result_file = Path(exchange) / "request.json", Path(exchange) / "result.json"
            request_file.write_text(request.model_dump_json(), encoding="utf-8")
            command = [sys.executable, "-m", f"spark.jobs.{job}", str(request_file), str(result_file)]
            with log.open("wb") as output:
                self._wait(command, output=output, check=check, name=f"{job}, log {log}")
            if not result_file.is_file():
                raise explain_failure(end_of_log(log), spark=self._settings)
            document = json.loads(result_file.read_text(encoding="utf-8"))
        if "error" in document:
            raise error_of_document(document)
        return result_type.model_validate(document)

    def _wait(self, command: list[str], *, output: IO[bytes], check: Callable[[], None], name: str) -> None:
        deadline = datetime.now(UTC).timestamp() + self._settings.job_timeout_seconds
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**self._environment, "PYTHONPATH": str(self._project.root.absolute())},
            start_new_session=True,
        )
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
                    break
                check()
                if datetime.now(UTC).timestamp() > deadline:
                    raise StoreUnavailable(f"{name}: not done after {self._settings.job_timeout_seconds:.0f} s; ended")
        finally:
            _end_group(process)
        if process.returncode < 0:
            signal_name = signal.Signals(-process.returncode).name
            raise StoreUnavailable(f"{name}: its process was ended by {signal_name}; the next run does it again")


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End the job with its JVM; nothing happens when both have ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_of_log(log: Path) -> str:
    """Return what a job said last, and before it why its JVM went, if it did."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if line.strip(" ^~") and not line.lstrip().startswith("at ")]
    if not told:
        raise StoreRejected(f"the job ended without a word; see {log}")
    # A JVM that is gone cannot say why at the end any more: what follows are errors of talking to it.
    early = told[:-_TOLD_LINES]
    causes = [line for sign in ("OutOfMemoryError", "Py4JNetworkError") for line in early if sign in line]
    return " ".join([*causes[:1], *told[-_TOLD_LINES:]])


def _forget_old(folder: Path) -> None:
    for old in sorted(folder.glob("*.log"))[:-_LOGS_KEPT]:
        old.unlink(missing_ok=True)
