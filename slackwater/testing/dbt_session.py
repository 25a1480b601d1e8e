"""One dbt for several commands: importing dbt and parsing the project costs more than a small build.

`DbtSession` starts this module as a process of its own and hands it command lines; the project is parsed once, so every
command must be about the same project. A command's results are read from its target folder as after any other.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from slackwater.warehouse.dbt_cli import RUN_RESULTS, DbtCommand, NodeResult, read_run_results

DONE = "slackwater: done"


class DbtSession:
    """A dbt that stays, in an environment and with a target folder.

    Attributes:
        target_dir: The target folder every command has to name.
    """

    def __init__(self, *, env: Mapping[str, str], target_dir: Path) -> None:
        self.target_dir = target_dir
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
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
        for line in self._process.stdout:
            if line.startswith(DONE):
                break
            said.append(line)
        if not results.exists():
            raise AssertionError(f"dbt stopped early:\n{''.join(said)[-3000:]}")
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
        dbtRunner(manifest=manifest).invoke(arguments)
        print(DONE, flush=True)


if __name__ == "__main__":
    serve()
