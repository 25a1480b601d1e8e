"""One dbt for several commands: importing dbt and parsing the project costs more than a small build.

`DbtSession` starts this module as a process of its own and hands it command lines; the project is parsed once, so every
command must be about the same project. A command's results are read from its target folder as after any other.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from slackwater.warehouse.dbt_cli import RUN_RESULTS, DbtCommand, NodeResult, read_run_results

DONE = "slackwater: done"
DBT_SECONDS = 300.0


class DbtSession:
    """A dbt that stays, in an environment and with a target folder.

    Args:
        env: Variables of every command, beside those of this process.
        target_dir: The target folder every command has to name.
        limit_seconds: A command that takes longer is aborted and said to hang.
    """

    def __init__(self, *, env: Mapping[str, str], target_dir: Path, limit_seconds: float = DBT_SECONDS) -> None:
        self.target_dir = target_dir
        self._limit_seconds = limit_seconds
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", __name__],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: DbtCommand) -> tuple[NodeResult, ...]:
        """Run one command and return what its nodes did; a failed node is a result, not an error."""
        results = self.target_dir / RUN_RESULTS
        results.unlink(missing_ok=True)
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the session has no pipes")
        self._process.stdin.write(json.dumps([command.arguments, dict(command.environment)]) + "\n")
        self._process.stdin.flush()
        said: list[str] = []
        abort = threading.Timer(self._limit_seconds, self._process.send_signal, [signal.SIGABRT])
        abort.start()  # an aborted dbt says where each of its threads is
        for line in self._process.stdout:
            if line.startswith(DONE):
                break
            said.append(line)
        abort.cancel()
        if not results.exists():
            raise AssertionError(f"dbt stopped early or hung:\n{''.join(said)[-9000:]}")
        return read_run_results(results)

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End dbt."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait(timeout=60)


def serve() -> None:
    """Run every command that comes in on standard input: on a line of its own, a list of arguments and environment."""
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    manifest: Manifest | None = None
    for line in sys.stdin:
        arguments, environment = json.loads(line)
        os.environ.update(environment)
        if manifest is None:
            flags = [each for each in arguments[1:] if each != "--full-refresh"]
            parsed = dbtRunner().invoke(["parse", *flags]).result
            manifest = parsed if isinstance(parsed, Manifest) else None
        done = dbtRunner(manifest=manifest).invoke(arguments)
        if done.exception is not None:
            print(done.exception)
        print(DONE, flush=True)


if __name__ == "__main__":
    serve()
