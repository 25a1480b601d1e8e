"""The step inside a real flow run: it counts, and when it cannot, the flow goes on and the run shows it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.completeness.store import read_days
from slackwater.ledger.store import Ledger
from slackwater.reconciliation.run import ensure_reconciliation
from slackwater.testing.warehouse_path import WarehousePath

pytestmark = pytest.mark.integration

PROGRAM = """
import json
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from flows.reconcile_layers import reconcile_layers
from slackwater.clients.snowflake import Warehouse
from slackwater.settings import WarehouseSettings
from tasks.completeness import assess_completeness

def run():
    state = reconcile_layers(return_state=True)
    with get_client(sync_client=True) as client:
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        steps = client.read_task_runs(flow_run_filter=mine)
    return {"flow": state.type.value} | {step.name.rsplit("-", 1)[0]: step.state_type.value for step in steps}

assess_completeness.retries = 0
ends = [run()]
with Warehouse(WarehouseSettings()) as warehouse:
    warehouse.execute("delete from OPS.COMPLETENESS_CLOCK")
print(json.dumps([*ends, run()]))
"""
"""The hourly flow twice, against a Prefect server of its own; before the second run the count cannot be kept."""


def _ends(env: dict[str, str], home: Path) -> list[dict[str, str]]:
    own = {name: value for name, value in {**os.environ, **env}.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ends: list[dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return ends


def test_the_hourly_run_counts_and_goes_on_when_it_cannot(sandbox, tmp_path):
    assert sandbox.clickhouse
    assert sandbox.shop
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        ensure_reconciliation(warehouse)
        WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse).load("orders", {"id": 1}, {"id": 2})
        assert _ends(sandbox.env, tmp_path) == [
            {"flow": "COMPLETED", "assess_completeness": "COMPLETED", "reconcile_daily_metrics": "COMPLETED"},
            {"flow": "COMPLETED", "assess_completeness": "FAILED", "reconcile_daily_metrics": "COMPLETED"},
        ]
        (day,) = read_days(warehouse)
    assert (day.raw_rows, day.published_rows, day.is_final) == (2, 0, False)
