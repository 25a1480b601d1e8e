"""Refreshes of a sandbox's warehouse without flows: dbt stays between them, and the gate is left out."""

from dataclasses import dataclass
from pathlib import Path

from slackwater.ledger.model import WorkLease
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.dbt_cli import NodeOutcome, run_command
from slackwater.warehouse.publish import publish
from slackwater.warehouse.refresh import Refresh, frozen_values


@dataclass(frozen=True)
class Refreshes:
    """The way from a change to a publication."""

    path: WarehousePath
    dbt: DbtSession
    target: Path

    def build(self, refresh: Refresh, *, is_full: bool = False) -> None:
        """Build every model; all of them have to pass."""
        results = self.dbt.run(run_command(frozen_values(refresh), target_dir=self.target, is_full=is_full))
        assert {result.outcome for result in results} == {NodeOutcome.PASSED}, [r.message for r in results]

    def publish(self, refresh: Refresh, lease: WorkLease) -> None:
        """Publish what was built and give the lease back."""
        self.path.ledger.mark_tested(lease, refresh.refresh_id)
        publish(refresh, ledger=self.path.ledger, warehouse=self.path.warehouse, lease=lease)
        self.path.ledger.release_work(lease)
