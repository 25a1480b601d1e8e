"""The audit of real runs of dbt: every model that ran is told, and an unchanged model is not said to have changed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.store import Ledger
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.audit import DATA_TRANSFORMATION, MODEL_CHANGE
from slackwater.warehouse.build_audit import record_build
from slackwater.warehouse.dbt_cli import RUN_RESULTS, read_invocation, run_command
from slackwater.warehouse.refresh import frozen_values

pytestmark = pytest.mark.integration

AT = datetime.fromisoformat("2010-12-01 09:00:00")
MODELS = len(list((Path(__file__).resolve().parents[2] / "dbt" / "models").rglob("*.sql")))


@dataclass
class Builds:
    """One warehouse in which refreshes are built, audited and left unpublished."""

    path: WarehousePath
    dbt: DbtSession
    target: Path

    def build(self, key: int, *, times: int = 1) -> str:
        """Load an order, build a refresh, and audit the run so many times."""
        order = {"id": key, "total_amount": Decimal("5.00"), "created_at": AT, "updated_at": AT}
        self.path.load("orders", order)
        refresh, lease = self.path.start()
        frozen = frozen_values(refresh)
        nodes = self.dbt.run(run_command(frozen, target_dir=self.target))
        for _ in range(times):
            record_build(
                self.path.warehouse,
                nodes,
                refresh_id=refresh.refresh_id,
                invocation_id=read_invocation(self.target / RUN_RESULTS).invocation_id,
                frozen=frozen,
                actor="flow-run/1",
            )
        self.path.ledger.mark_rejected(lease, refresh.refresh_id, reasons=["test"])
        self.path.ledger.release_work(lease)
        return refresh.refresh_id

    def told(self, kind: str, refresh_id: str) -> list[dict[str, Any]]:
        rows = self.path.warehouse.query("select object, actor, detail from OPS.AUDIT_LOG where kind = ?", (kind,))
        found = [{"object": name, "actor": actor, **json.loads(str(detail))} for name, actor, detail in rows]
        return [row for row in found if row["refresh_id"] == refresh_id]


@pytest.fixture
def builds(sandbox, tmp_path) -> Iterator[Builds]:
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        path = WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse)
        with DbtSession(env=sandbox.env, target_dir=tmp_path) as dbt:
            yield Builds(path, dbt, tmp_path)


def test_every_model_that_ran_is_told_and_only_a_changed_one_is_a_change(builds):
    first, second, third = builds.build(1, times=2), builds.build(2), builds.build(3)

    for refresh_id in (first, second, third):
        ran = builds.told(DATA_TRANSFORMATION, refresh_id)
        assert len({row["object"] for row in ran}) == len(ran) == MODELS
        assert all(row["actor"] == "flow-run/1" and float(row["seconds"]) > 0 for row in ran)
        (orders,) = [row for row in ran if row["object"] == "STAGING.STG_ORDERS"]
        assert orders["outcome"] == "passed"
    assert len(builds.told(MODEL_CHANGE, first)) == MODELS  # never seen before
    assert {row["form"] for row in builds.told(MODEL_CHANGE, first)} == {"whole"}
    seen_touched = builds.told(MODEL_CHANGE, second)
    assert {row["form"] for row in seen_touched} == {"touched"}
    assert builds.told(MODEL_CHANGE, third) == []
