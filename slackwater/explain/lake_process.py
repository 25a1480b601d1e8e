"""Asks the lake in a process beside this one: its client takes as long to import as all the other questions take.

The questions are the functions of `read_lake` whose first argument is the lake, by name, so that nothing of the client
is imported here.
"""

from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from slackwater.errors import SlackwaterError, StoreUnavailable
from slackwater.settings import LakeSettings, S3Settings
from slackwater.without_pandas import hide_pandas


class LakeProcess:
    """A process that has the lake open; it begins to open it at once.

    Args:
        lake: Catalog and warehouse.
        s3: Where the files are.
        entity: Whose table is likely to be asked for.
    """

    def __init__(self, lake: LakeSettings, s3: S3Settings, entity: str | None) -> None:
        context = get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, lake, s3, entity), daemon=True)
        self._process.start()
        there.close()

    def ask(self, question: str, **arguments: object) -> Any:
        """Return what a function of `read_lake` answers.

        Raises:
            SlackwaterError: As the function does.
        """
        try:
            self._here.send((question, arguments))
            answer = self._here.recv()
        except (EOFError, OSError) as exc:
            raise StoreUnavailable("the process that asks the lake has ended") from exc
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._here.close()


def _serve(there: Connection, lake: LakeSettings, s3: S3Settings, entity: str | None) -> None:
    """Answer questions until the other side ends."""
    hide_pandas()
    from slackwater.clients.iceberg import Lake
    from slackwater.explain import read_lake
    from slackwater.naming import changelog_table

    opened = Lake(lake, s3)
    if entity is not None:
        with suppress(SlackwaterError):  # whoever asks will be told
            opened.load_table(changelog_table(entity))
    with suppress(EOFError, OSError):
        while True:
            question, arguments = there.recv()
            try:
                there.send(getattr(read_lake, question)(opened, **arguments))
            except SlackwaterError as exc:
                there.send(exc)
