"""The warehouse's merge (raw, impact, dbt's base and staging models) under the conformance kit.

Every named case and a seeded set of generated ones go through one warehouse in lockstep, each on keys of its own.
`CONFORMANCE_SEED=<number>` generates others.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.store import Ledger
from slackwater.testing.conformance.change_files import Case, empty_file
from slackwater.testing.conformance.dbt_merge import DbtMerge
from slackwater.testing.conformance.histories import ENTITIES_UNDER_TEST, generated_cases
from slackwater.testing.conformance.kit import Step, check_end, conclude, steps
from slackwater.testing.conformance.named_cases import named_cases
from slackwater.testing.conformance.runs import Run, plan_runs
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.warehouse_path import WarehousePath

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("CONFORMANCE_SEED", "20101201"))
GENERATED = 40
FILES_MAX = 6


@dataclass(frozen=True)
class Delivered:
    """A warehouse that was given every file of every case, and what the comparison said after each step."""

    merge: DbtMerge
    cases: tuple[Case, ...]
    runs: tuple[Run, ...]
    steps: tuple[Step, ...]


@pytest.fixture(scope="module")
def delivered(module_sandbox) -> Iterator[Delivered]:
    named = [case for entity in ENTITIES_UNDER_TEST for case in named_cases(entity)]
    target = Path(module_sandbox.env["SLACKWATER_QUALITY_DBT_TARGET_DIR"])
    cases = (*named, *generated_cases(GENERATED, seed_number=SEED, files_max=FILES_MAX))
    with (
        Warehouse(module_sandbox.warehouse) as warehouse,
        Ledger(module_sandbox.ledger.dsn) as ledger,
        closing(Lake(module_sandbox.lake, module_sandbox.s3)) as lake,
        DbtSession(env=module_sandbox.env, target_dir=target) as dbt,
    ):
        merge = DbtMerge(
            WarehousePath(ledger, lake, warehouse),
            store=ObjectStore(module_sandbox.s3),
            landing=module_sandbox.landing,
            dbt=dbt,
            entities=ENTITIES_UNDER_TEST,
        )
        runs = plan_runs(cases)
        yield Delivered(merge, cases, runs, tuple(steps(merge, runs)))


def test_staging_is_the_newest_version_of_every_key_after_every_file(delivered):
    compared = conclude(delivered.steps)

    print(f"{len(delivered.cases)} cases, {len(delivered.runs)} runs, {compared} prefixes, seed {SEED}")
    assert len(delivered.steps) == FILES_MAX
    assert compared == sum(len(run.order) for run in delivered.runs) >= 1_000
    assert delivered.merge.dbt_runs == FILES_MAX


def test_a_full_build_says_the_same_as_all_the_incremental_ones(delivered):
    before = delivered.merge.dbt_runs

    delivered.merge.rebuild()

    assert check_end(delivered.merge, delivered.runs) == len(delivered.runs)
    assert delivered.merge.dbt_runs == before + 1


def test_a_batch_of_nothing_but_an_empty_file_changes_nothing(delivered):
    run = next(run for run in delivered.runs if run.case.name == "one-row files")
    before = delivered.merge.state(run)
    dbt_runs = delivered.merge.dbt_runs

    delivered.merge.apply(run, [run.object_of(empty_file(1_000))])

    assert delivered.merge.state(run) == before != {}
    assert delivered.merge.dbt_runs == dbt_runs + 1


def test_the_unreadable_files_are_named_in_quarantine_and_no_other(delivered):
    faulty = {
        item.key: file.fault.reason for run in delivered.runs for file, item in run.steps if file.fault is not None
    }

    with delivered.merge.path.ledger.transaction() as connection:
        rows = connection.execute("select key, reason from ledger.object where state = 'quarantined'").fetchall()

    assert dict(rows) == faulty
    assert set(faulty.values()) == {"missing_column", "wrong_type"}
