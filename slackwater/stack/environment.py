"""The environment variables of an embedded stack: what `slackwater env` prints and every service gets."""

from collections.abc import Mapping

from slackwater.stack.ports import LOOPBACK
from slackwater.stack.profile import POSTGRES_USER, TELEMETRY_OFF, Profile

LANDING_BUCKET = "slackwater-landing"
LAKE_BUCKET = "slackwater-lake"
S3_ACCESS_KEY = "slackwater"
SNOWFLAKE_USER = "SLACKWATER"
CLICKHOUSE_USER = "default"
TUNING_PREFIXES = (
    "SLACKWATER_LANDING_BATCH_",
    "SLACKWATER_LANDING_VISIBILITY_",
    "SLACKWATER_LEDGER_LEASE_",
    "SLACKWATER_LAKE_TARGET_",
    "SLACKWATER_LAKE_FOLD_",
    "SLACKWATER_REFRESH_",
    "SLACKWATER_FAULTS_",
    "SLACKWATER_RUNS_",
    "SLACKWATER_ALERTS_",
    "SLACKWATER_QUALITY_MART_",
    "SLACKWATER_SPARK_",
)
"""Variables of the user's environment that reach the services; all others are the stack's own."""


def slackwater_environment(profile: Profile) -> dict[str, str]:
    """Return the `SLACKWATER_*` variables that point every settings class at this stack."""
    return {
        "SLACKWATER_S3_ENDPOINT_URL": profile.s3_url,
        "SLACKWATER_S3_REGION": "us-east-1",
        "SLACKWATER_S3_ACCESS_KEY_ID": S3_ACCESS_KEY,
        "SLACKWATER_S3_SECRET_ACCESS_KEY": profile.passwords["s3"],
        "SLACKWATER_LANDING_BUCKET": LANDING_BUCKET,
        "SLACKWATER_LAKE_CATALOG_URI": profile.postgres_uri("lake", driver="postgresql+psycopg2"),
        "SLACKWATER_LAKE_WAREHOUSE": f"s3://{LAKE_BUCKET}/wh",
        "SLACKWATER_LEDGER_DSN": profile.postgres_uri("ledger"),
        "SLACKWATER_SHOP_DSN": profile.postgres_uri("shop"),
        "SLACKWATER_WAREHOUSE_USER": SNOWFLAKE_USER,
        "SLACKWATER_WAREHOUSE_PASSWORD": profile.passwords["snowflake"],
        "SLACKWATER_WAREHOUSE_HOST": LOOPBACK,
        "SLACKWATER_WAREHOUSE_PORT": str(profile.ports["snowflake"]),
        "SLACKWATER_WAREHOUSE_PROTOCOL": "http",
        "SLACKWATER_CLICKHOUSE_HOST": LOOPBACK,
        "SLACKWATER_CLICKHOUSE_PORT": str(profile.ports["clickhouse"]),
        "SLACKWATER_CLICKHOUSE_USER": CLICKHOUSE_USER,
        "SLACKWATER_CLICKHOUSE_PASSWORD": profile.passwords["clickhouse"],
        "SLACKWATER_EVENTS_API_URL": f"{profile.prefect_url}/api",
        "SLACKWATER_EVENTS_UI_URL": profile.prefect_url,
        "SLACKWATER_QUALITY_REPORTS_DIR": str(profile.reports_dir),
        "SLACKWATER_QUALITY_DBT_TARGET_DIR": str(profile.home / "dbt"),
        "SLACKWATER_SPARK_WORK_DIR": str(profile.home / "spark"),
    }


def tool_environment(profile: Profile) -> dict[str, str]:
    """Return the variables that other programs read: AWS, Prefect, Snowflake, ClickHouse, PostgreSQL."""
    environment = {
        "AWS_ENDPOINT_URL": profile.s3_url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": S3_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": profile.passwords["s3"],
        # 2026-11-21: the emulator computes the newer checksum in pure Python, 7-15x slower writes.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PREFECT_API_URL": f"{profile.prefect_url}/api",
        "PREFECT_HOME": str(profile.home / "prefect"),
        "SNOWFLAKE_ACCOUNT": "slackwater",
        "SNOWFLAKE_USER": SNOWFLAKE_USER,
        "SNOWFLAKE_PASSWORD": profile.passwords["snowflake"],
        "SNOWFLAKE_HOST": LOOPBACK,
        "SNOWFLAKE_PORT": str(profile.ports["snowflake"]),
        "SNOWFLAKE_PROTOCOL": "http",
        "SNOWFLAKE_DATABASE": "ECOMMERCE_DW",
        "SNOWFLAKE_WAREHOUSE": "COMPUTE_WH",
        "SNOWFLAKE_ROLE": "TRANSFORMER",
        "CLICKHOUSE_HOST": LOOPBACK,
        "CLICKHOUSE_PORT": str(profile.ports["clickhouse"]),
        "CLICKHOUSE_USER": CLICKHOUSE_USER,
        "CLICKHOUSE_PASSWORD": profile.passwords["clickhouse"],
        "CLICKHOUSE_DATABASE": "speed",
        **TELEMETRY_OFF,
    }
    if profile.external_postgres_uri is None:
        environment |= {
            "PGHOST": LOOPBACK,
            "PGPORT": str(profile.ports["postgres"]),
            "PGUSER": POSTGRES_USER,
            "PGPASSWORD": profile.passwords["postgres"],
            "PGDATABASE": "shop",
        }
    return environment


def full_environment(profile: Profile) -> dict[str, str]:
    """Return every variable of the stack, for `slackwater env` and for subprocesses of its user."""
    return {**slackwater_environment(profile), **tool_environment(profile)}


def service_environment(profile: Profile, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of the supervised processes.

    Of the caller's environment only harmless basics are passed on; `HOME` is a folder of the stack, so that neither
    ~/.aws nor ~/.snowflake nor ~/.dbt of the user changes what the services do.

    Args:
        profile: The stack.
        inherited: The caller's environment.
    """
    basics = {name: inherited[name] for name in ("LANG", "LC_ALL", "JAVA_HOME", "TERM") if name in inherited}
    passed = {name: value for name, value in inherited.items() if name.startswith(TUNING_PREFIXES)}
    return {
        **basics,
        **full_environment(profile),
        **passed,
        "PATH": inherited.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": str(profile.home / "user"),
        # Prefect's worker makes a folder of a fixed name in the temporary folder; another user's would be in its way.
        "TMPDIR": str(profile.home / "tmp"),
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(profile.project_dir),
        "SLACKWATER_STACK_HOME": str(profile.home),
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        # 2026-11-21: with it the server imports every integration: 416 instead of 204 MB, 17 instead of 9 CPU-s.
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
        # 2026-11-21: with the default of 5 s a new connection on a busy machine (load 19 on 2 cores) failed a flow run.
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        # 2026-11-29: allocators that keep what a thread freed let an ingest run grow to 555 MB, these to 384.
        "MALLOC_ARENA_MAX": "2",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(profile.ports["prefect"]),
        "PREFECT_SERVER_UI_API_URL": f"{profile.prefect_url}/api",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": profile.postgres_uri("prefect", driver="postgresql+asyncpg"),
        "SLACKWATER_PROJECT_ROOT": str(profile.project_dir),
    }
