"""Some hours of appends, folds, rewrites and upkeep at once leave the tables equal to the source, and bounded."""

from contextlib import closing

import pytest
from lake_engine import engine_of

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.ledger.store import Ledger
from slackwater.testing.lake_bench import LakeBench
from slackwater.testing.lake_day import KEPT_HOURS, simulate
from spark.jobs import fold_changes

pytestmark = [pytest.mark.integration, pytest.mark.spark]

HOURS, FILES, SEED = KEPT_HOURS + 4, 3, 20101201


def test_after_every_hour_the_tables_are_the_sources_and_what_is_stored_is_bounded(module_sandbox):
    sandbox, session = module_sandbox, module_sandbox.spark()
    with (
        Ledger(sandbox.ledger.dsn) as writing,
        Ledger(sandbox.ledger.dsn) as keeping,
        closing(Lake(sandbox.lake, sandbox.s3)) as lake,
        closing(Lake(sandbox.lake, sandbox.s3)) as kept,
    ):
        writer = LakeBench(writing, lake, ObjectStore(sandbox.s3), sandbox.landing)
        keeper = LakeBench(
            keeping,
            kept,
            ObjectStore(sandbox.s3),
            sandbox.landing,
            fold_with=lambda request: fold_changes.run(session, request),
        )
        hours = list(simulate(writer, keeper, engine_of(session), sandbox.lake, hours=HOURS, files=FILES, seed=SEED))
    for hour in hours:
        print(hour)
    assert [(hour.number, hour.wrong_keys, hour.lost_changes) for hour in hours] == [(n, (), 0) for n in range(HOURS)]
    assert hours[-1].changes > HOURS * FILES * 40
    # Bounded: rows go on coming, and the last hours keep no more files than those before.
    assert max(hour.live_files for hour in hours[-3:]) <= max(hour.live_files for hour in hours[:-3])
