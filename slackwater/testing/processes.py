"""Several processes that get their work at the same moment, for tests of what happens when two do the same thing.

A worker is a program that reads one JSON value per line from its standard input and answers with one JSON line.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

Json = str | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]


class Processes:
    """A few worker processes of one program.

    Args:
        program: Python source of the worker.
        env: Variables of the workers, beside this process's own.
        count: How many, >= 1.
    """

    def __init__(self, program: str, env: Mapping[str, str], *, count: int) -> None:
        self._workers = [
            subprocess.Popen(
                [sys.executable, "-c", program],
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(count)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.communicate(timeout=60)

    def ask(self, questions: Sequence[Json]) -> list[Json]:
        """Give every worker its question before reading any answer; answers in the workers' order."""
        for worker, question in zip(self._workers, questions, strict=True):
            if worker.stdin is None or worker.stdout is None:
                raise AssertionError("the worker has no pipes")
            worker.stdin.write(json.dumps(question) + "\n")
            worker.stdin.flush()
        return [json.loads(worker.stdout.readline() or '"died"') for worker in self._workers if worker.stdout]
