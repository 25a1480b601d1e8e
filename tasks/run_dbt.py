"""Steps: run dbt for one refresh through prefect-dbt, so that every model and test is a task in the UI.

Runs go one after another in the process of the flow run: two dbt runners in one process disturb each other. A failing
test does not raise: every result is kept and the gate judges them together. A model that fails does raise.
"""

import json
import shutil
from pathlib import Path

from prefect import get_run_logger, task
from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings

from slackwater.errors import TerminalError
from slackwater.settings import ProjectSettings, QualitySettings
from slackwater.warehouse.refresh import dbt_vars, read_refresh
from tasks.connections import open_ledger, open_warehouse


def results_path(refresh_id: str, command: str) -> Path:
    """Return where the results of one dbt command of a refresh are kept, the manifest beside them."""
    return QualitySettings().dbt_target_dir / "results" / refresh_id / command / "run_results.json"


@task
def run_dbt_models(refresh_id: str) -> None:
    """Build every model of the refresh.

    Raises:
        TerminalError: A model failed; the message names it.
    """
    failed = _invoke(refresh_id, "run")
    if failed:
        raise TerminalError(f"refresh {refresh_id}: dbt could not build {', '.join(failed)}; see the flow run's log")


@task
def run_dbt_tests(refresh_id: str) -> None:
    """Run every dbt test of the data and keep all results for the gate. Unit tests are for the code's own suite."""
    failed = _invoke(refresh_id, "test", "--exclude-resource-type", "unit_test")
    if failed:
        get_run_logger().warning("dbt tests that did not pass: %s", ", ".join(failed))


def _invoke(refresh_id: str, command: str, *options: str) -> list[str]:
    project = ProjectSettings().dbt_dir
    target = QualitySettings().dbt_target_dir.absolute()
    with open_ledger() as ledger, open_warehouse(f"refresh:{refresh_id}") as warehouse:
        variables = dbt_vars(read_refresh(refresh_id, ledger=ledger, warehouse=warehouse))
    settings = PrefectDbtSettings(project_dir=project, profiles_dir=project, target_path=target)
    runner = PrefectDbtRunner(settings=settings, raise_on_failure=False, disable_assets=True)
    outcome = runner.invoke([command, *options, "--vars", json.dumps(variables), "--log-path", str(target / "logs")])
    if outcome.exception is not None:
        raise TerminalError(
            f"refresh {refresh_id}: dbt {command} did not run: {outcome.exception}"
        ) from outcome.exception
    kept = results_path(refresh_id, command)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for name in ("run_results.json", "manifest.json"):
        shutil.copyfile(target / name, kept.parent / name)
    return [result.node.name for result in outcome.result.results if result.status in {"error", "fail", "skipped"}]
