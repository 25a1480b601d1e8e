"""The run's context for threads of its own process, without Prefect's way of sending it to another machine.

prefect-dbt serializes the context once and builds it anew for the task of every node. Serialized settings are read
again from every source of every group of settings, and a serialized result store imports every integration that is
installed, to find the class of its block. The objects themselves serve as well, for a third less CPU.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from prefect.context import FlowRunContext, SettingsContext, TaskRunContext, get_settings_context


class _SharedSettings(SettingsContext):
    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:  # noqa: ARG002 - nothing leaves the process
        return {"profile": self.profile, "settings": self.settings}


class _SharedFlowRun(FlowRunContext):
    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        return {**super().serialize(include_secrets), "result_store": self.result_store}


class _SharedTaskRun(TaskRunContext):
    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        return {**super().serialize(include_secrets), "result_store": self.result_store}


@contextmanager
def shared_context() -> Iterator[None]:
    """Have whoever serializes the context within the block get settings and result stores as they are."""
    flow_run, task_run = FlowRunContext.get(), TaskRunContext.get()
    with ExitStack() as stack:
        stack.enter_context(_SharedSettings.model_construct(**dict(get_settings_context())))
        if flow_run is not None:
            stack.enter_context(_SharedFlowRun.model_construct(**dict(flow_run)))
        if task_run is not None:
            stack.enter_context(_SharedTaskRun.model_construct(**dict(task_run)))
        yield
