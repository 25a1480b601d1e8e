"""What every service of the stack must contain before anyone uses it. Every function may be called again at any time.

An emulator that was killed forgets queues, notifications and stages, so this is applied at every start of a service
(`keeper.py`), not once. The parts are separate functions because each test needs only some of them.

The imports inside the functions keep `slackwater stack status` from loading every store's driver.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.settings import (
    AlertSettings,
    ClickHouseSettings,
    LakeSettings,
    LandingSettings,
    LedgerSettings,
    S3Settings,
    ShopSettings,
    WarehouseSettings,
)
from slackwater.stack.databases import ensure_databases
from slackwater.stack.environment import TUNING_PREFIXES, service_environment, slackwater_environment
from slackwater.stack.profile import DATABASES, WORK_POOL, Profile
from slackwater.stack.systems import Systems, read_settings

_PROJECT_FILES = ("prefect.yaml", "flows/*.py", "deployments/**/*")


def apply_stores(profile: Profile) -> None:
    """Bring databases, buckets, queues, catalogs, schemas and tables of all stores in line."""
    systems = Systems.from_environment(slackwater_environment(profile) | tuning_overrides())
    ensure_databases(profile.postgres_uri("postgres"), DATABASES)
    ensure_ledger(systems.ledger)
    require_full_sweep(systems.ledger)
    ensure_landing(systems.s3, systems.landing)
    ensure_lake(systems.lake, systems.s3)
    ensure_shop(systems.shop)
    ensure_clickhouse(systems.clickhouse)
    ensure_warehouse_schemas(systems.warehouse, lake=systems.lake, s3=systems.s3)
    evolve_tables(systems, actor="stack.keeper")


def ensure_landing(s3: S3Settings, landing: LandingSettings) -> None:
    """Bring the landing bucket, its queue, the dead-letter queue and the notification in line."""
    from slackwater.landing.wiring import Wiring

    Wiring.of(s3, landing).ensure()


def ensure_lake(lake: LakeSettings, s3: S3Settings) -> None:
    """Bring the lake's bucket, catalog and tables in line."""
    from slackwater.clients.iceberg import Lake
    from slackwater.clients.s3 import ObjectStore
    from slackwater.entities.model import all_entities

    ObjectStore(s3).ensure_bucket(lake.warehouse.removeprefix("s3://").split("/")[0])
    Lake(lake, s3).ensure_tables(all_entities())


def ensure_ledger(ledger: LedgerSettings) -> None:
    """Bring the ledger's tables to the newest version."""
    from slackwater.ledger.migrations import upgrade

    upgrade(ledger.dsn.get_secret_value())


def require_full_sweep(ledger: LedgerSettings) -> None:
    """Have the next sweep list everything: a store was started, and events may have been lost with it."""
    from slackwater.ledger import folders
    from slackwater.ledger.store import Ledger

    with Ledger(ledger.dsn) as opened, opened.transaction() as connection:
        folders.require_full_sweep(connection)


def ensure_shop(shop: ShopSettings) -> None:
    """Bring the source shop's tables and triggers in line."""
    from slackwater.replay.source_schema import ensure_shop as ensure_source

    ensure_source(shop.dsn)


def ensure_clickhouse(clickhouse: ClickHouseSettings) -> None:
    """Bring the speed layer's database, tables and views in line."""
    from slackwater.clients.clickhouse import SpeedStore
    from slackwater.entities.model import all_entities

    SpeedStore(clickhouse).ensure_tables(all_entities())


def ensure_warehouse_schemas(warehouse: WarehouseSettings, *, lake: LakeSettings, s3: S3Settings) -> None:
    """Bring the warehouse's schemas, raw and ops tables and the stage in line."""
    from slackwater.clients.snowflake import Warehouse
    from slackwater.warehouse.ddl import ensure_warehouse

    with Warehouse(warehouse) as connection:
        ensure_warehouse(connection, lake=lake, s3=s3)


def evolve_tables(systems: Systems, *, actor: str) -> None:
    """Bring tables that exist in the shape the entity files declare; one line per step on standard output."""
    from slackwater.clients.clickhouse import SpeedStore
    from slackwater.clients.iceberg import Lake
    from slackwater.clients.snowflake import Warehouse
    from slackwater.entities.model import all_entities
    from slackwater.lake.schema_evolution import Stores, apply_schema

    with (
        closing(Lake(systems.lake, systems.s3)) as lake,
        Warehouse(systems.warehouse, query_tag="schema") as warehouse,
        SpeedStore(systems.clickhouse) as speed,
    ):
        apply_schema(all_entities(), Stores(lake, warehouse, speed), actor=actor, tell=print)


def apply_work_pool(profile: Profile) -> None:
    """Bring the Prefect work pool in line."""
    from slackwater.clients.prefect_api import PrefectApi

    systems = Systems.from_environment(slackwater_environment(profile))
    with PrefectApi(systems.events) as api:
        api.ensure_work_pool(
            WORK_POOL,
            pool_type="process",
            concurrency_limit=profile.worker_limit,
            job_template=process_job_template(profile.project_dir),
        )


def process_job_template(project_dir: Path) -> dict[str, Any]:
    """Return the job template of the process pool; its flow runs start in this Python.

    Without a command the worker starts a second Python beside every run, which imports Prefect only to watch the first.
    """
    template: dict[str, Any] = json.loads((project_dir / "deployments" / "process_pool.json").read_text())
    template["variables"]["properties"]["command"]["default"] = shlex.join([sys.executable, "-m", "prefect.engine"])
    return template


def apply_alert_automations(profile: Profile) -> None:
    """Bring the alerts in line with the caller's environment: without an address for them they are off."""
    from slackwater.alerts import apply_alerts, load_alerts
    from slackwater.clients.prefect_api import PrefectApi

    environment = slackwater_environment(profile) | tuning_overrides()
    with PrefectApi(Systems.from_environment(environment).events) as api:
        apply_alerts(api, load_alerts(profile.project_dir), read_settings(AlertSettings, environment))


def apply_deployments(profile: Profile) -> bool:
    """Run `prefect deploy --all` unless the same declarations were deployed before; return whether it ran.

    Raises:
        ConfigurationError: The command failed; the message holds its last lines.
    """
    if not (profile.project_dir / "prefect.yaml").is_file():
        return False
    fingerprint = _fingerprint(profile)
    record = profile.home / "deployed.sha256"
    if record.is_file() and record.read_text() == fingerprint and _deployment_count(profile) > 0:
        return False
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=profile.project_dir,
        env=service_environment(profile, os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    (profile.log_dir / "deploy.log").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise ConfigurationError(f"`prefect deploy --all` failed in {profile.project_dir}:\n{lines}")
    record.write_text(fingerprint)
    return True


def _deployment_count(profile: Profile) -> int:
    from slackwater.clients.prefect_api import PrefectApi

    try:
        with PrefectApi(Systems.from_environment(slackwater_environment(profile)).events) as api:
            return api.count_deployments()
    except StoreUnavailable:
        return 0


def _fingerprint(profile: Profile) -> str:
    digest = hashlib.sha256(f"{profile.project_dir}\n{sys.executable}\n{profile.prefect_url}\n".encode())
    files: set[Path] = set()
    for pattern in _PROJECT_FILES:
        files.update(path for path in profile.project_dir.glob(pattern) if path.is_file())
    for path in sorted(files):
        digest.update(f"{path.relative_to(profile.project_dir)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def tuning_overrides() -> dict[str, str]:
    """Return the tuning variables a user may set for the services (see `service_environment`)."""
    return {name: value for name, value in os.environ.items() if name.startswith(TUNING_PREFIXES)}


def sweep_landing(systems: Systems) -> str:
    """List the landing prefix, record what no event announced, drive stuck work; return the sweep's report as text."""
    from slackwater.clients.events import EventBus
    from slackwater.clients.iceberg import Lake
    from slackwater.landing.sweep import sweep
    from slackwater.landing.wiring import Wiring
    from slackwater.ledger.store import Ledger
    from slackwater.recovery.lost_ledger import refuse_lost_ledger

    with (
        Ledger(systems.ledger.dsn, lease_seconds=systems.ledger.lease_seconds) as ledger,
        EventBus(systems.events) as bus,
    ):
        refuse_lost_ledger(ledger, Lake(systems.lake, systems.s3))
        wiring = Wiring.of(systems.s3, systems.landing)
        report = sweep(ledger=ledger, wiring=wiring, bus=bus, actor="stack.keeper")
    return str(report)
