"""Steps: run dbt for one refresh; the models through prefect-dbt, so that each is a task in the UI.

The tests are dbt's alone: the scan report tells each of them with its history, and a task costs more than a test does.

Runs go one after another in the process of the flow run: two dbt runners in one process disturb each other. A failing
test does not raise: every result is kept and the gate judges them together. A model that fails does raise.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from prefect import get_run_logger, task

from slackwater.errors import TerminalError
from slackwater.ledger.builds import note_build
from slackwater.settings import ProjectSettings, QualitySettings
from slackwater.warehouse.build_audit import record_build
from slackwater.warehouse.dbt_cli import (
    RUN_RESULTS,
    DbtVar,
    NodeOutcome,
    data_test_arguments,
    read_invocation,
    read_run_results,
    run_arguments,
)
from slackwater.warehouse.refresh import dbt_vars, read_refresh
from tasks.batch_claims import current_actor
from tasks.connections import open_ledger, open_warehouse

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
    variables = _variables(refresh_id)
    failed = _run_as_tasks(refresh_id, run_arguments(variables, target_dir=_target_dir()))
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
            variables=variables,
            actor=current_actor(),
        )
    if failed:
        raise TerminalError(f"refresh {refresh_id}: dbt could not build {', '.join(failed)}; see the flow run's log")


@task
def run_dbt_tests(refresh_id: str) -> None:
    """Run every dbt test of the data and keep all results for the gate."""
    failed = _run(refresh_id, data_test_arguments(_variables(refresh_id), target_dir=_target_dir()))
    if failed:
        get_run_logger().warning("dbt tests that did not pass: %s", ", ".join(failed))


def _target_dir() -> Path:
    return QualitySettings().dbt_target_dir.absolute()


def _variables(refresh_id: str) -> dict[str, DbtVar]:
    with open_ledger() as ledger, open_warehouse(f"refresh:{refresh_id}") as warehouse:
        return dbt_vars(read_refresh(refresh_id, ledger=ledger, warehouse=warehouse))


def _run_as_tasks(refresh_id: str, arguments: Sequence[str]) -> list[str]:
    """Run dbt with a Prefect task per node, keep its results, and return the names of nodes that did not end well."""
    # dbt costs 1.8 CPU-seconds and 50 MB; a run of the flow that finds the mart set taken does without.
    from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings

    project = ProjectSettings().dbt_dir
    settings = PrefectDbtSettings(project_dir=project, profiles_dir=project, target_path=_target_dir())
    runner = PrefectDbtRunner(settings=settings, raise_on_failure=False, disable_assets=True)
    return _kept(refresh_id, arguments[0], runner.invoke(list(arguments)).exception)


def _run(refresh_id: str, arguments: Sequence[str]) -> list[str]:
    """Run dbt quietly, keep its results, and return the names of nodes that did not end well."""
    from dbt.cli.main import dbtRunner

    return _kept(refresh_id, arguments[0], dbtRunner().invoke(["--log-level", "none", *arguments]).exception)


def _kept(refresh_id: str, command: str, error: BaseException | None) -> list[str]:
    """Keep what dbt left in its target folder and return the names of the nodes that did not end well."""
    if error is not None:
        raise TerminalError(f"refresh {refresh_id}: dbt {command} did not run: {error}")
    kept = results_path(refresh_id, command)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for name in (RUN_RESULTS, "manifest.json"):
        shutil.copyfile(_target_dir() / name, kept.parent / name)
    return [node.name for node in read_run_results(kept) if node.outcome not in DONE_WELL]
