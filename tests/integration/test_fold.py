"""The fold, with real Spark over the real catalog and object store."""

import os
from contextlib import closing
from dataclasses import dataclass

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.testing.conformance.histories import ENTITIES_UNDER_TEST, generated_cases
from slackwater.testing.conformance.kit import Step, conclude, steps
from slackwater.testing.conformance.lake_merge import LakeMerge
from slackwater.testing.conformance.named_cases import named_cases
from slackwater.testing.conformance.runs import Run, plan_runs
from spark.jobs import fold_changes

pytestmark = [pytest.mark.integration, pytest.mark.spark]

SEED = int(os.environ.get("CONFORMANCE_SEED", "20101201"))
GENERATED = 40
FILES_MAX = 6
MANY_ROWS = 10_000
"""Of the largest file; a hundred thousand go through the warehouse's merge, and cost a minute here."""


@dataclass(frozen=True)
class Delivered:
    """A lake that was given every file of every case, and what the comparison said after each step."""

    merge: LakeMerge
    runs: tuple[Run, ...]
    steps: tuple[Step, ...]


@pytest.fixture(scope="module")
def delivered(module_sandbox):
    named = [case for entity in ENTITIES_UNDER_TEST for case in named_cases(entity, many_rows=MANY_ROWS)]
    cases = (*named, *generated_cases(GENERATED, seed_number=SEED, files_max=FILES_MAX))
    session = module_sandbox.spark()
    with closing(Lake(module_sandbox.lake, module_sandbox.s3)) as lake:
        merge = LakeMerge(lake, fold=lambda request: fold_changes.run(session, request))
        runs = plan_runs(cases)
        yield Delivered(merge, runs, tuple(steps(merge, runs)))


def test_the_state_table_is_the_newest_version_of_every_key_after_every_file(delivered):
    compared = conclude(delivered.steps)
    for result in delivered.merge.results:
        print(result)
    print(f"{len(delivered.runs)} runs, {compared} prefixes, seed {SEED}")
    assert compared == sum(len(run.order) for run in delivered.runs) >= 1_000


def test_keys_whose_date_moved_are_counted(delivered):
    assert sum(result.moved_count for result in delivered.merge.results) > 0
