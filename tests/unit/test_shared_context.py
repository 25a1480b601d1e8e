"""What prefect-dbt gets of a run's context: the objects themselves, so that nothing is read or imported anew."""

from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import TaskRun
from prefect.context import (
    FlowRunContext,
    SettingsContext,
    TaskRunContext,
    get_settings_context,
    hydrated_context,
    serialize_context,
)
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.shared_context import shared_context


@flow
def a_flow() -> None:
    """Stand for a flow of ours."""


@task
def a_task() -> None:
    """Stand for a task of it."""


def test_a_context_built_anew_has_the_settings_and_the_result_store_of_the_run():
    store = ResultStore(result_storage=LocalFileSystem())
    client = SyncPrefectClient("http://127.0.0.1:1/api")  # never asked
    task_run = TaskRun(task_key="a_task", dynamic_key="0")
    with (
        FlowRunContext(flow=a_flow, client=client, task_runner=ThreadPoolTaskRunner(), result_store=store),
        TaskRunContext(task=a_task, task_run=task_run, parameters={}, client=client, result_store=store),
    ):
        with shared_context():
            serialized = serialize_context()
        with hydrated_context(serialized, client=client):
            flow_run, settings, task_of = FlowRunContext.get(), SettingsContext.get(), TaskRunContext.get()

    assert settings is not None
    assert flow_run is not None
    assert task_of is not None
    assert settings.settings is get_settings_context().settings
    assert flow_run.result_store is store
    assert task_of.result_store is store
    assert (flow_run.flow, task_of.task) == (a_flow, a_task)


def test_outside_of_a_run_there_is_nothing_to_share():
    with shared_context():
        assert serialize_context()["flow_run_context"] == {}
