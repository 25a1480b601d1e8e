"""The one retry rule of the project: transient errors are retried with backoff, everything else is not."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun

from slackwater.errors import TransientError

P = ParamSpec("P")
R = TypeVar("R")

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


def retried_task(*, timeout_seconds: float | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task that is tried again, with backoff, after a transient error and after no other.

    Args:
        timeout_seconds: Longest time of one try; None for no limit.
    """
    return task(
        retries=len(RETRY_DELAYS_SECONDS),
        retry_delay_seconds=RETRY_DELAYS_SECONDS,
        retry_jitter_factor=RETRY_JITTER_FACTOR,
        retry_condition_fn=is_transient,
        timeout_seconds=timeout_seconds,
    )
