"""The one retry rule of the project: transient errors are retried with backoff, everything else is not."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from slackwater.errors import TransientError

RETRY_DELAYS_SECONDS = [1.0, 3.0, 10.0, 30.0]
"""Backoff between tries; a step that fails five times leaves its batch to the sweep, which drives it again."""

RETRY_JITTER_FACTOR = 0.5


async def is_transient(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Say whether a failed step may be tried again.

    Args:
        state: The failed state; its result is the exception.

    Returns:
        True for `TransientError` and nothing else.
    """
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, TransientError)
