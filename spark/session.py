"""The one Spark session of a process: catalog, object store, memory, time zone.

Secrets are set on the running session, never at its start: PySpark starts the JVM with every start setting on its
command line, where any user of the machine can read it.
"""

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession
from sqlalchemy.engine import make_url

from slackwater.errors import ConfigurationError
from slackwater.settings import LakeSettings, S3Settings, SparkSettings
from slackwater.spark_runtime.profiles import SparkMemory, SparkProfile, plan_memory

FORMAT_VERSION = "2"
"""Of every table: pyiceberg 0.12 cannot write version 3, and Spark upgrades a table without a warning."""


def open_session(
    name: str, *, lake: LakeSettings, s3: S3Settings, spark: SparkSettings, jars_dir: Path, java_options: str = ""
) -> SparkSession:
    """Start Spark if this process has none yet, and return a new session on it, with a catalog of its own.

    Args:
        name: Shown in the event log and the history server.
        lake: Catalog and warehouse; the catalog has the same name in every engine, another name sees no table.
        s3: Where the files are.
        spark: Profile, master, folders.
        jars_dir: Folder with the jars of the lock, verified.
        java_options: Added to those of the driver's JVM.

    Raises:
        ConfigurationError: The catalog's address is not one the JVM can use.
    """
    builder = SparkSession.builder.appName(name)
    for key, value in start_settings(spark, jars_dir=jars_dir, java_options=java_options).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate().newSession()
    session.sparkContext.setLogLevel("ERROR")
    for key, value in catalog_settings(lake, s3).items():
        session.conf.set(key, value)
    return session


def start_settings(spark: SparkSettings, *, jars_dir: Path, java_options: str = "") -> dict[str, str]:
    """Return the settings that must be there when the JVM starts; none is secret.

    Args:
        spark: Profile, master, folders; the folders are made.
        jars_dir: On the class path of driver and executors, so that no jar is copied per session.
        java_options: Added to those of the driver's JVM.
    """
    events, spill = spark.work_dir.absolute() / "events", spark.work_dir.absolute() / "spill"
    for folder in (events, spill):
        folder.mkdir(parents=True, exist_ok=True)
    memory = memory_settings(plan_memory(SparkProfile(spark.profile)), is_local=spark.master.startswith("local"))
    return {
        **memory,
        "spark.driver.defaultJavaOptions": f"{memory['spark.driver.defaultJavaOptions']} {java_options}".strip(),
        "spark.master": spark.master,
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.driver.extraClassPath": f"{jars_dir}/*",
        "spark.executor.extraClassPath": f"{jars_dir}/*",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.adaptive.skewJoin.enabled": "true",
        "spark.sql.optimizer.dynamicPartitionPruning.enabled": "true",
        "spark.local.dir": str(spill),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
    }


def memory_settings(memory: SparkMemory, *, is_local: bool) -> dict[str, str]:
    """Return the memory settings of a plan; a local master works in the driver alone.

    There the quick compiler is the better one, for the whole year too: 69 instead of 97 CPU-s (2026-11-29).
    """
    options = "-XX:+UseSerialGC -XX:ReservedCodeCacheSize=128m -XX:+ExitOnOutOfMemoryError"
    settings = {
        "spark.driver.memory": f"{memory.driver.heap_mib}m",
        "spark.driver.memoryOverhead": f"{memory.driver.overhead_mib}m",
        "spark.driver.defaultJavaOptions": f"{options} -XX:TieredStopAtLevel=1" if is_local else options,
    }
    if is_local or memory.executor is None:
        return settings
    return settings | {
        "spark.executor.instances": str(memory.executors),
        "spark.executor.cores": str(memory.executor.cores),
        "spark.executor.memory": f"{memory.executor.heap_mib}m",
        "spark.executor.memoryOverhead": f"{memory.executor.overhead_mib}m",
    }


def catalog_settings(lake: LakeSettings, s3: S3Settings) -> Mapping[str, str]:
    """Return the settings of the Iceberg catalog; they hold secrets.

    The cache is off: with it Spark counted 3,000 rows less than pyiceberg had committed (seen 2026-11-21).
    """
    catalog = f"spark.sql.catalog.{lake.catalog_name}"
    address, user, password = _jdbc(lake)
    settings = {
        "spark.sql.defaultCatalog": lake.catalog_name,
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        f"{catalog}.uri": address,
        f"{catalog}.jdbc.user": user,
        f"{catalog}.jdbc.password": password,
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.warehouse": lake.warehouse,
        f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{catalog}.client.region": s3.region,
        f"{catalog}.cache-enabled": "false",
        f"{catalog}.table-default.format-version": FORMAT_VERSION,
        f"{catalog}.table-override.format-version": FORMAT_VERSION,
    }
    if s3.endpoint_url:
        settings |= {f"{catalog}.s3.endpoint": s3.endpoint_url, f"{catalog}.s3.path-style-access": "true"}
    if s3.access_key_id and s3.secret_access_key:
        settings |= {
            f"{catalog}.s3.access-key-id": s3.access_key_id.get_secret_value(),
            f"{catalog}.s3.secret-access-key": s3.secret_access_key.get_secret_value(),
        }
    return settings


def _jdbc(lake: LakeSettings) -> tuple[str, str, str]:
    """Return the JDBC address, user and password of the catalog's SQLAlchemy address."""
    url = make_url(lake.catalog_uri.get_secret_value())
    if url.get_backend_name() != "postgresql" or not url.host:
        raise ConfigurationError("SLACKWATER_LAKE_CATALOG_URI: Spark knows a PostgreSQL catalog with a host only")
    port = f":{url.port}" if url.port else ""
    return f"jdbc:postgresql://{url.host}{port}/{url.database}", url.username or "", url.password or ""
