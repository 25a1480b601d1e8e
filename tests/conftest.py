"""Fixtures over the real embedded services: started once per session, one sandbox of unique names per test."""

import gc
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_stack import added_environment, fault_settings, wake_everything
from scheduling import ByStack

from slackwater.clients.snowflake import Warehouse
from slackwater.settings import (
    ClickHouseSettings,
    LakeSettings,
    LandingSettings,
    LedgerSettings,
    S3Settings,
    ShopSettings,
    StackSettings,
    WarehouseSettings,
)
from slackwater.stack import bootstrap
from slackwater.stack.control import start_stack, stop_stack
from slackwater.stack.databases import ensure_databases
from slackwater.stack.environment import full_environment
from slackwater.stack.ports import find_free_port_base
from slackwater.stack.profile import Profile
from slackwater.stack.programs import STORES
from slackwater.stack.systems import Systems
from slackwater.warehouse.ddl import stage_ddl

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REPOSITORY = Path(__file__).resolve().parent.parent


STARTED_STACKS: list[Path] = []
"""Homes of the stacks this process started and has not stopped yet."""

WAREHOUSE_TEMPLATES: dict[Path, WarehouseSettings] = {}
"""By home of a stack: the database that its sandboxes' warehouses are cloned from, made by the stack's bootstrap."""

PY4J_SOCKETS = pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
"""Py4J leaves the sockets to its JVM to the garbage collector."""


def pytest_configure() -> None:
    """Have a worker of xdist stop its stacks when the controller is gone: Ctrl-C ends only that one."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(controller: int) -> None:
    while os.getppid() == controller:
        time.sleep(1)
    for home in STARTED_STACKS:
        wake_everything(home)
        stop_stack(home, delete=True)
        shutil.rmtree(home.parent, ignore_errors=True)
    os._exit(1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByStack:
    """Choose the scheduler; groups are given out in the order of collection."""
    config.option.loadscopereorder = False
    return ByStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that use Spark leave Py4J's sockets open; with several workers what takes longest comes first."""
    for item in items:
        if item.get_closest_marker("spark") is not None:
            item.add_marker(PY4J_SOCKETS)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of later looks for garbage: every test that uses Spark ends with one."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Collect those sockets while their warning is still ignored, so that no later test meets it."""
    if item.get_closest_marker("spark") is not None:
        gc.collect()


@dataclass
class Sandbox:
    """Unique buckets, queues and databases on the session's services.

    Each attribute prepares its own store when it is first read, so a test pays for what it uses.
    """

    profile: Profile
    name: str

    @cached_property
    def env(self) -> dict[str, str]:
        """The variables of a subprocess that works in this sandbox (nothing is prepared by reading it)."""
        uri = self.profile.postgres_uri
        reports = self.profile.home / "sandboxes" / self.name
        return full_environment(self.profile) | {
            "SLACKWATER_LANDING_BUCKET": f"{self.name}-landing".replace("_", "-"),
            "SLACKWATER_LANDING_QUEUE_NAME": f"{self.name}-landing",
            "SLACKWATER_LANDING_DEAD_LETTER_QUEUE_NAME": f"{self.name}-landing-dlq",
            "SLACKWATER_LAKE_CATALOG_URI": uri(f"{self.name}_lake", driver="postgresql+psycopg2"),
            "SLACKWATER_LAKE_WAREHOUSE": f"s3://{self.name.replace('_', '-')}-lake/wh",
            "SLACKWATER_LEDGER_DSN": uri(f"{self.name}_ledger"),
            "SLACKWATER_SHOP_DSN": uri(f"{self.name}_shop"),
            "SLACKWATER_WAREHOUSE_DATABASE": self.name.upper(),
            "SLACKWATER_CLICKHOUSE_DATABASE": self.name,
            "SLACKWATER_QUALITY_REPORTS_DIR": str(reports / "reports"),
            "SLACKWATER_QUALITY_DBT_TARGET_DIR": str(reports / "dbt"),
        }

    @cached_property
    def systems(self) -> Systems:
        """All settings of the sandbox, nothing prepared."""
        return Systems.from_environment(self.env)

    @property
    def s3(self) -> S3Settings:
        """S3 and SQS of the session."""
        return self.systems.s3

    @cached_property
    def landing(self) -> LandingSettings:
        """Landing bucket and queues of this sandbox, the notification wired."""
        bootstrap.ensure_landing(self.s3, self.systems.landing)
        return self.systems.landing

    @cached_property
    def lake(self) -> LakeSettings:
        """Lake of this sandbox: own catalog database, own bucket, tables made."""
        self._database("lake")
        bootstrap.ensure_lake(self.systems.lake, self.s3)
        return self.systems.lake

    @cached_property
    def ledger(self) -> LedgerSettings:
        """Ledger of this sandbox: own database, migrated."""
        self._database("ledger")
        bootstrap.ensure_ledger(self.systems.ledger)
        return self.systems.ledger

    @cached_property
    def shop(self) -> ShopSettings:
        """Shop of this sandbox: own database; its schema is made when the replay's code can."""
        self._database("shop")
        bootstrap.ensure_shop(self.systems.shop)
        return self.systems.shop

    @cached_property
    def warehouse(self) -> WarehouseSettings:
        """Warehouse of this sandbox: own database with all schemas, and the stage over its own lake."""
        settings, lake = self.systems.warehouse, self.systems.lake
        if self.profile.home not in WAREHOUSE_TEMPLATES:
            made = settings.model_copy(update={"database": f"TEMPLATE_{secrets.token_hex(4).upper()}"})
            bootstrap.ensure_warehouse_schemas(made, lake=lake, s3=self.s3)
            WAREHOUSE_TEMPLATES[self.profile.home] = made
        template = WAREHOUSE_TEMPLATES[self.profile.home]
        with Warehouse(template) as connection:
            connection.execute(f"create database {settings.database} clone {template.database}")
        with Warehouse(settings) as connection:
            connection.execute(stage_ddl(settings, lake=lake, s3=self.s3))
        return settings

    def drop_warehouse(self) -> None:
        """Drop the warehouse if it was made: the emulator asks every database's catalog about every table."""
        if "warehouse" in self.__dict__:
            with Warehouse(WAREHOUSE_TEMPLATES[self.profile.home]) as connection:
                connection.execute(f"drop database {self.warehouse.database}")

    @cached_property
    def clickhouse(self) -> ClickHouseSettings:
        """ClickHouse of this sandbox: own database with all tables."""
        bootstrap.ensure_clickhouse(self.systems.clickhouse)
        return self.systems.clickhouse

    def spark(self) -> "SparkSession":
        """Return a new Spark session on the lake of this sandbox; Spark itself is started once per test process."""
        from spark.job_main import session_of_environment

        _ = self.lake
        with added_environment({**self.env, "SLACKWATER_SPARK_WORK_DIR": str(self.profile.home / "spark")}):
            return session_of_environment("tests")

    def _database(self, use: str) -> None:
        ensure_databases(self.profile.postgres_uri("postgres"), [f"{self.name}_{use}"])


def _short_folder() -> Path:
    # pytest's own temporary folders are private to the caller; PostgreSQL may have to run as another account.
    folder = Path(tempfile.mkdtemp(prefix="slackwater-test-"))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="session")
def services() -> Iterator[Profile]:
    """PostgreSQL, S3 and SQS, the Snowflake emulator and the ClickHouse front on free ports; empty.

    With `SLACKWATER_TEST_SERVICES=<stack home>` those of a running stack, left as they are: faster from run to run.
    """
    running = os.environ.get("SLACKWATER_TEST_SERVICES")
    if running:
        yield start_stack(StackSettings(home=Path(running)), services=STORES, project_dir=REPOSITORY).profile
        return
    folder = _short_folder()
    settings = StackSettings(home=folder / "stack", port_base=find_free_port_base())
    STARTED_STACKS.append(settings.home)
    try:
        report = start_stack(settings, services=STORES, project_dir=REPOSITORY)
        yield report.profile
    finally:
        _stop_spark()
        stop_stack(settings.home, delete=True)
        STARTED_STACKS.remove(settings.home)
        shutil.rmtree(folder, ignore_errors=True)


def _stop_spark() -> None:
    """End the process's Spark, if a test started it, before the folder of its event log is gone."""
    pyspark = sys.modules.get("pyspark")
    if pyspark is not None and pyspark.SparkContext._active_spark_context is not None:
        pyspark.SparkContext._active_spark_context.stop()


@contextmanager
def _new_sandbox(services: Profile) -> Iterator[Sandbox]:
    sandbox = Sandbox(services, f"sbx_{secrets.token_hex(4)}")
    yield sandbox
    sandbox.drop_warehouse()


@pytest.fixture(scope="session")
def live_stack() -> Iterator[Profile]:
    """The whole system on free ports: stores, Prefect, worker, bridge, deployments. Its `env` is `full_environment`."""
    folder = _short_folder()
    settings = StackSettings(home=folder / "stack", port_base=find_free_port_base())
    STARTED_STACKS.append(settings.home)
    try:
        with added_environment(fault_settings(settings.home)):
            profile = start_stack(settings, project_dir=REPOSITORY).profile
        yield profile
    finally:
        wake_everything(settings.home)
        stop_stack(settings.home, delete=True)
        STARTED_STACKS.remove(settings.home)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sandbox(services: Profile) -> Iterator[Sandbox]:
    """A sandbox of its own for one test."""
    with _new_sandbox(services) as made:
        yield made


@pytest.fixture(scope="module")
def module_sandbox(services: Profile) -> Iterator[Sandbox]:
    """A sandbox shared by the tests of one module."""
    with _new_sandbox(services) as made:
        yield made
