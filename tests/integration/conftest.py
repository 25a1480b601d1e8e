"""Fixtures several integration tests share."""

from contextlib import closing

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.ledger.store import Ledger
from slackwater.testing.lake_bench import LakeBench


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
