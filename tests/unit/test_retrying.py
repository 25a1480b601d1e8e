"""Which errors a step is tried again for."""

import asyncio

import pytest
from prefect.client.schemas.objects import State, StateType

from slackwater.errors import CommitConflict, GateFailed, MalformedObject, WarehouseUnavailable
from tasks.retrying import RETRY_DELAYS_SECONDS, is_transient, retried_task


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(CommitConflict("lost the race"), True, id="transient"),
        pytest.param(WarehouseUnavailable("away"), True, id="transient by inheritance"),
        pytest.param(GateFailed("rejected"), False, id="terminal"),
        pytest.param(MalformedObject("empty", "no bytes"), False, id="bad input"),
        pytest.param(TypeError("a fault of ours"), False, id="not ours"),
    ],
)
def test_only_transient_errors_are_retried(error: Exception, expected: bool) -> None:
    @retried_task()
    def step() -> None:
        """Do nothing."""

    failed = State(type=StateType.FAILED, data=error)
    assert step.retries == len(RETRY_DELAYS_SECONDS)
    assert step.retry_condition_fn is is_transient
    assert asyncio.run(is_transient(step, None, failed)) is expected  # type: ignore[arg-type]
