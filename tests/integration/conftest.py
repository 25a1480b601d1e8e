"""Fixtures several integration tests share."""

from contextlib import closing
from pathlib import Path

import pytest
from bridge_yard import Yard
from refreshes import Refreshes

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.store import Ledger
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.lake_bench import LakeBench
from slackwater.testing.warehouse_path import WarehousePath


@pytest.fixture(scope="module")
def module_bench(module_sandbox):
    """Ledger, lake and landing bucket of the module's sandbox."""
    sandbox = module_sandbox
    with Ledger(sandbox.ledger.dsn) as ledger, closing(Lake(sandbox.lake, sandbox.s3)) as lake:
        yield LakeBench(ledger, lake, ObjectStore(sandbox.s3), sandbox.landing)


@pytest.fixture
def bench(module_bench):
    """The module's bench, emptied."""
    module_bench.start_anew()
    return module_bench


@pytest.fixture(scope="module")
def module_refreshes(module_sandbox):
    """The way from changes to publications in the module's sandbox; one dbt for all of them."""
    sandbox, target = module_sandbox, Path(module_sandbox.env["SLACKWATER_QUALITY_DBT_TARGET_DIR"])
    with (
        Warehouse(sandbox.warehouse) as warehouse,
        Ledger(sandbox.ledger.dsn) as ledger,
        closing(Lake(sandbox.lake, sandbox.s3)) as lake,
        DbtSession(env=sandbox.env, target_dir=target) as dbt,
    ):
        yield Refreshes(WarehousePath(ledger, lake, warehouse), dbt, target)


@pytest.fixture
def ledger(sandbox):
    """The sandbox's ledger, opened."""
    with Ledger(sandbox.ledger.dsn, lease_seconds=60) as found:
        yield found


@pytest.fixture
def yard(sandbox):
    """A bridge with a queue, a ledger and a bus of its own."""
    found = Yard(sandbox)
    yield found
    found.ledger.close()
