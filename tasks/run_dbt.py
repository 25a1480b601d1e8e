"""Steps: run dbt for one refresh; the models through prefect-dbt, so that each is a task in the UI.

The tests are dbt's alone: the scan report tells each of them with its history, and a task costs more than a test does.

Runs go one after another in the process of the flow run: two dbt runners in one process disturb each other. A failing
test does not raise: every result is kept and the gate judges them together. A model that fails does raise.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger, task

from slackwater.errors import TerminalError
from slackwater.ledger.builds import note_build
from slackwater.settings import ProjectSettings, QualitySettings
from slackwater.warehouse.build_audit import record_build
from slackwater.warehouse.dbt_cli import (
    RUN_RESULTS,
    DbtCommand,
    FrozenValue,
    NodeOutcome,
    data_test_command,
    read_invocation,
    read_run_results,
    run_command,
)
from slackwater.warehouse.refresh import frozen_values, read_refresh
from tasks.batch_claims import current_actor
from tasks.connections import open_ledger, open_warehouse
from tasks.shared_context import shared_context

DONE_WELL = {NodeOutcome.PASSED, NodeOutcome.WARNED}


def results_path(refresh_id: str, command: str) -> Path:
    """Return where the results of one dbt command of a refresh are kept, the manifest beside them."""
    return QualitySettings().dbt_target_dir / "results" / refresh_id / command / RUN_RESULTS


@task
def run_dbt_models(refresh_id: str) -> None:
    """Build every model of the refresh; tell the ledger which invocation of dbt did, and the audit what it did.

    Raises:
        TerminalError: A model failed; the message names it.
    """
    frozen = _frozen(refresh_id)
    failed = _run_as_tasks(refresh_id, run_command(frozen, target_dir=_target_dir()))
    results = results_path(refresh_id, "run")
    invocation = read_invocation(results)
    with open_ledger() as ledger, ledger.transaction() as connection:
        note_build(connection, refresh_id, invocation_id=invocation.invocation_id, built_at=invocation.ended_at)
    with open_warehouse(f"refresh:{refresh_id}") as warehouse:
        record_build(
            warehouse,
            read_run_results(results),
            refresh_id=refresh_id,
            invocation_id=invocation.invocation_id,
            frozen=frozen,
            actor=current_actor(),
        )
    if failed:
        raise TerminalError(f"refresh {refresh_id}: dbt could not build {', '.join(failed)}; see the flow run's log")


@task
def run_dbt_tests(refresh_id: str) -> None:
    """Run every dbt test of the data and keep all results for the gate."""
    failed = _run(refresh_id, data_test_command(_frozen(refresh_id), target_dir=_target_dir()))
    if failed:
        get_run_logger().warning("dbt tests that did not pass: %s", ", ".join(failed))


def _target_dir() -> Path:
    return QualitySettings().dbt_target_dir.absolute()


def _frozen(refresh_id: str) -> dict[str, FrozenValue]:
    with open_ledger() as ledger, open_warehouse(f"refresh:{refresh_id}") as warehouse:
        return frozen_values(read_refresh(refresh_id, ledger=ledger, warehouse=warehouse))


def _run_as_tasks(refresh_id: str, command: DbtCommand) -> list[str]:
    """Run dbt with a Prefect task per node, keep its results, and return the names of nodes that did not end well."""
    # dbt costs 1.8 CPU-seconds and 50 MB; a run of the flow that finds the mart set taken does without.
    from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings

    project = ProjectSettings().dbt_dir
    settings = PrefectDbtSettings(project_dir=project, profiles_dir=project, target_path=_target_dir())
    runner = PrefectDbtRunner(settings=settings, raise_on_failure=False, disable_assets=True)
    with _environment_of(command), shared_context():
        done = runner.invoke(list(command.arguments))
    return _kept(refresh_id, command.arguments[0], done.exception)


def _run(refresh_id: str, command: DbtCommand) -> list[str]:
    """Run dbt quietly, keep its results, and return the names of nodes that did not end well."""
    from dbt.cli.main import dbtRunner

    with _environment_of(command):
        done = dbtRunner().invoke(["--log-level", "none", *command.arguments])
    return _kept(refresh_id, command.arguments[0], done.exception)


@contextmanager
def _environment_of(command: DbtCommand) -> Iterator[None]:
    """Give this process what the command's environment has to have: dbt runs in it."""
    before = {name: os.environ[name] for name in command.environment if name in os.environ}
    os.environ.update(command.environment)
    try:
        yield
    finally:
        for name in command.environment:
            del os.environ[name]
        os.environ.update(before)


def _kept(refresh_id: str, command: str, error: BaseException | None) -> list[str]:
    """Keep what dbt left in its target folder and return the names of the nodes that did not end well."""
    if error is not None:
        raise TerminalError(f"refresh {refresh_id}: dbt {command} did not run: {error}")
    kept = results_path(refresh_id, command)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for name in (RUN_RESULTS, "manifest.json"):
        shutil.copyfile(_target_dir() / name, kept.parent / name)
    return [node.name for node in read_run_results(kept) if node.outcome not in DONE_WELL]
