"""Some hours of appends, folds, rewrites and upkeep at once leave the tables equal to the source, and bounded."""

from contextlib import closing

import pytest
from lake_engine import engine_of

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.ledger.store import Ledger
from slackwater.testing.lake_bench import LakeBench
from slackwater.testing.lake_day import CHANGES_PER_FILE, MOST_STORED_PER_LIVE, Pace, simulate
from spark.jobs import fold_changes

pytestmark = [pytest.mark.integration, pytest.mark.spark]

PACE = Pace(hours=6, files=3, days=5, kept_hours=2, readable_hours=1, compacts_every=2, maintains_every=2)
SEED = 20101201
MOST_GROWTH = 1.5
"""Most live files of the second half, as a multiple of the first half's: with every hour's files kept it would be 2."""


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
        hours = list(simulate(writer, keeper, engine_of(session), sandbox.lake, pace=PACE, seed=SEED))
    for hour in hours:
        print(hour)
    assert [(hour.number, hour.wrong_keys, hour.lost_changes) for hour in hours] == [
        (number, (), 0) for number in range(PACE.hours)
    ]
    assert hours[-1].changes > PACE.hours * PACE.files * CHANGES_PER_FILE * 0.9
    early, late = hours[: PACE.hours // 2], hours[PACE.hours // 2 :]
    most = [max(hour.live_files for hour in half) for half in (early, late)]
    assert most[1] <= MOST_GROWTH * most[0], f"live files: {most}"
    assert all(hour.stored_bytes <= MOST_STORED_PER_LIVE * hour.live_bytes for hour in late)
