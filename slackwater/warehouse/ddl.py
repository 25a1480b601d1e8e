"""The warehouse's own tables and its stage, created when they are missing.

Run at every start, by anyone who may create: idempotent, and needed each time because an emulator forgets its stages.
dbt creates `STAGING` and `CANDIDATE` tables; everything else is created here. No data is written but one lock row per
entity and the row that says which publication is current.
"""

from collections.abc import Mapping, Sequence

from slackwater.clients.snowflake import Warehouse, quote_identifier, quote_text
from slackwater.entities.ddl import snowflake_raw_ddl
from slackwater.entities.model import all_entities
from slackwater.errors import ConfigurationError
from slackwater.naming import (
    ENTITIES,
    MART_SET,
    SCHEMA_CANDIDATE,
    SCHEMA_MARTS,
    SCHEMA_OPS,
    SCHEMA_RAW,
    SCHEMA_STAGING,
)
from slackwater.settings import LakeSettings, S3Settings, WarehouseSettings
from slackwater.warehouse.audit import AUDIT_LOG_DDL
from slackwater.warehouse.costs import REFRESH_COSTS_DDL
from slackwater.warehouse.marts import PUBLICATION_COLUMN, Mart, load_marts

SCHEMAS = (SCHEMA_RAW, SCHEMA_STAGING, SCHEMA_MARTS, SCHEMA_CANDIDATE, SCHEMA_OPS)

OPS_TABLES: tuple[str, ...] = (
    # One row per entity; the update of this row serialises the loads of an entity.
    """create table if not exists OPS.LOAD_LOCK (
        entity varchar not null, next_load_seq number(38,0) not null)""",
    # One row per mart set; its update serialises publications and refresh starts. Not in MARTS: a rejected refresh
    # changes no byte there.
    """create table if not exists OPS.MART_LOCK (
        mart_set varchar not null, lock_seq number(38,0) not null)""",
    # One row per loaded batch; query_id is the INSERT's into raw, null for a batch without rows.
    """create table if not exists OPS.LOAD_HISTORY (
        batch_id varchar not null, entity varchar not null, load_seq number(38,0) not null,
        rows_expected number(38,0) not null, rows_loaded number(38,0) not null, attempt number(38,0) not null,
        loaded_at timestamp_ntz(6) not null, actor varchar not null, query_id varchar)""",
    # One row per refresh; refresh_seq gives their order.
    """create table if not exists OPS.REFRESH (
        refresh_id varchar not null, refresh_seq number(38,0) not null, mart_set varchar not null,
        as_of timestamp_ntz(6), started_at timestamp_ntz(6) not null)""",
    # One row per refresh and entity: models of the refresh see raw rows with load_seq <= bound.
    """create table if not exists OPS.REFRESH_BOUND (
        refresh_id varchar not null, entity varchar not null, bound number(38,0) not null)""",
    # One row per refresh and touched thing: scope 'key' with entity and key_id; 'date' with key_date; 'order' and
    # 'customer' with key_id; 'product' with key_id and the date from which on its rows are touched.
    """create table if not exists OPS.IMPACT (
        refresh_id varchar not null, scope varchar not null, entity varchar, key_id number(38,0), key_date date)""",
    # One row per mart and time that its candidate was about to be built whole ('built'), or that a publication compared
    # the whole mart with it ('compared'); rows before the last comparison go.
    """create table if not exists OPS.WHOLE_MARTS (
        table_name varchar not null, event varchar not null, happened_at timestamp_ntz(6) not null)""",
    # One row per check of a gate run. acceptance_id: the decision under which a failure did not reject.
    """create table if not exists OPS.CHECK_RESULTS (
        refresh_id varchar not null, check_name varchar not null, layer varchar, dataset varchar, column_name varchar,
        outcome varchar not null, severity varchar, measured varchar, threshold varchar, message varchar,
        failing_keys varchar, files varchar, checked_at timestamp_ntz(6) not null, owner varchar, remedy varchar,
        acceptance_id varchar)""",
    # One row per check of a gate run and failing key, the first of them by key_number; batch_id and file_name are
    # empty where a row has no single origin (marts).
    """create table if not exists OPS.CHECK_FAILURES (
        refresh_id varchar not null, dataset varchar not null, check_name varchar not null,
        key_number number(38,0) not null, row_key varchar not null, batch_id varchar not null,
        file_name varchar not null, checked_at timestamp_ntz(6) not null)""",
    # One row per decision of a person that a failing check does not reject up to and including expires_on (UTC).
    # Rows are never changed; of several about one check the newest counts.
    """create table if not exists OPS.CHECK_ACCEPTANCE (
        acceptance_id varchar not null, dataset varchar not null, check_name varchar not null,
        refresh_id varchar not null, measured varchar not null, reason varchar not null, accepted_by varchar not null,
        accepted_at timestamp_ntz(6) not null, expires_on date not null)""",
    # One row per entity and event day (UTC date of __source_ts_ms). source_rows and clickhouse_rows: null when not
    # known. reasons: why the day is not final. computed_at: when the row last changed.
    """create table if not exists OPS.COMPLETENESS (
        entity varchar not null, day date not null, source_rows number(38,0), landed_rows number(38,0) not null,
        lake_rows number(38,0) not null, raw_rows number(38,0) not null, published_rows number(38,0) not null,
        clickhouse_rows number(38,0), missing_positions number(38,0) not null, quarantined_rows number(38,0) not null,
        discarded_rows number(38,0) not null, expected_rows number(38,0) not null, percent number(5,2) not null,
        is_final boolean not null, reasons varchar not null, computed_at timestamp_ntz(6) not null,
        refresh_id varchar)""",
    # One row per mart set: when OPS.COMPLETENESS was last computed; its update serialises who writes there.
    """create table if not exists OPS.COMPLETENESS_CLOCK (
        mart_set varchar not null, runs number(38,0) not null, computed_at timestamp_ntz(6), refresh_id varchar)""",
    # One row per upkeep run, table of the lake and partition: what was decided, why, and what came of it. bytes in
    # rewrite_bytes are those the rewrite reads; *_after: null where nothing was rewritten.
    """create table if not exists OPS.COMPACTION_LOG (
        run_id varchar not null, table_name varchar not null, day date not null, decision varchar not null,
        outcome varchar not null, reason varchar not null, file_count number(38,0) not null,
        delete_count number(38,0) not null, input_count number(38,0) not null, rewrite_bytes number(38,0) not null,
        score number(38,3) not null, files_after number(38,0), deletes_after number(38,0), bytes_after number(38,0),
        evidence_tag varchar, logged_at timestamp_ntz(6) not null)""",
    # One row per refresh, step (impact, build, publish) and table the step wrote. rows_scanned: read from any table.
    REFRESH_COSTS_DDL,
    # One row per fit of the spend models. parameters: JSON, of the newest and of the held-out prediction.
    """create table if not exists OPS.LTV_FIT (
        fit_id varchar not null, publication_id varchar not null, known_until date not null, cutoff_date date not null,
        horizon_days number(38,0) not null, customers number(38,0) not null, parameters varchar not null,
        fitted_at timestamp_ntz(6) not null)""",
    # One row per fit and customer. held_out_spend: null for who had not bought by the cutoff. Old fits' rows go.
    """create table if not exists OPS.LTV_PREDICTION (
        fit_id varchar not null, known_until date not null, cutoff_date date not null,
        horizon_days number(38,0) not null, customer_id number(38,0) not null, expected_spend number(18,2) not null,
        held_out_spend number(18,2), fitted_at timestamp_ntz(6) not null)""",
    # One row per trouble that was announced as an event.
    """create table if not exists OPS.ANNOUNCEMENT (
        announcement_key varchar not null, announced_at timestamp_ntz(6) not null)""",
    # One row per deed; detail is JSON, its `state` is begun or applied.
    AUDIT_LOG_DDL,
)

OPS_COLUMNS_ADDED: Mapping[str, Sequence[tuple[str, str]]] = {
    "LOAD_HISTORY": (("query_id", "varchar"),),
    "CHECK_RESULTS": (("owner", "varchar"), ("remedy", "varchar"), ("acceptance_id", "varchar")),
}
"""What tables gained since an older version of this project may have made them."""

PUBLICATION_TABLES: tuple[str, ...] = (
    # One row per publication.
    """create table if not exists MARTS.PUBLICATION (
        publication_id varchar not null, publication_seq number(38,0) not null, refresh_id varchar not null,
        mart_set varchar not null, as_of timestamp_ntz(6), rows_deleted number(38,0) not null,
        rows_inserted number(38,0) not null, published_at timestamp_ntz(6) not null)""",
    # One row per publication and mart.
    """create table if not exists MARTS.PUBLICATION_MART (
        publication_id varchar not null, mart varchar not null, rows_deleted number(38,0) not null,
        rows_inserted number(38,0) not null)""",
    # One row per mart set: what readers see now.
    """create table if not exists MARTS.PUBLICATION_CURRENT (
        mart_set varchar not null, publication_seq number(38,0) not null, publication_id varchar,
        refresh_id varchar, published_at timestamp_ntz(6))""",
)


def ensure_warehouse(warehouse: Warehouse, *, lake: LakeSettings, s3: S3Settings) -> None:
    """Create schemas, tables, lock rows and the stage; what is there already stays as it is.

    Args:
        warehouse: An open or closed session whose role may create.
        lake: Where the data files lie.
        s3: Keys of the stage when there is no storage integration.

    Raises:
        ConfigurationError: Neither a storage integration nor keys are set.
    """
    _ensure_database(warehouse)
    warehouse.execute_many([f"create schema if not exists {quote_identifier(schema)}" for schema in SCHEMAS])
    warehouse.execute_many([snowflake_raw_ddl(entity) for entity in all_entities()])
    warehouse.execute_many([*OPS_TABLES, *PUBLICATION_TABLES])
    marts = load_marts()
    warehouse.execute_many([mart_ddl(mart) for mart in marts])
    wanted = [(SCHEMA_OPS, table, columns) for table, columns in OPS_COLUMNS_ADDED.items()]
    _ensure_columns(warehouse, [*wanted, *((SCHEMA_MARTS, mart.name, mart.columns) for mart in marts)])
    for entity in ENTITIES:
        warehouse.execute(_missing_row("OPS.LOAD_LOCK", "entity", "next_load_seq", 1), (entity,))
    warehouse.execute(_missing_row("OPS.MART_LOCK", "mart_set", "lock_seq", 0), (MART_SET,))
    warehouse.execute(_missing_row("OPS.COMPLETENESS_CLOCK", "mart_set", "runs", 0), (MART_SET,))
    warehouse.execute(_missing_row("MARTS.PUBLICATION_CURRENT", "mart_set", "publication_seq", 0), (MART_SET,))
    warehouse.execute(stage_ddl(warehouse.settings, lake=lake, s3=s3))


def stage_root(lake: LakeSettings) -> str:
    """Return the stage's location with a slash at its end; file names in COPY are relative to it."""
    return lake.warehouse.rstrip("/") + "/"


def stage_ddl(settings: WarehouseSettings, *, lake: LakeSettings, s3: S3Settings) -> str:
    """Return the statement that creates the external stage over the lake.

    Raises:
        ConfigurationError: Neither a storage integration nor keys are set.
    """
    if settings.storage_integration:
        access = f"storage_integration = {quote_identifier(settings.storage_integration)}"
    elif s3.access_key_id and s3.secret_access_key:
        key, secret = s3.access_key_id.get_secret_value(), s3.secret_access_key.get_secret_value()
        access = f"credentials = (aws_key_id = {quote_text(key)} aws_secret_key = {quote_text(secret)})"
    else:
        raise ConfigurationError(
            "the stage needs SLACKWATER_WAREHOUSE_STORAGE_INTEGRATION, or the keys SLACKWATER_S3_ACCESS_KEY_ID and"
            " SLACKWATER_S3_SECRET_ACCESS_KEY"
        )
    return (
        f"create or replace stage {quote_identifier(settings.stage)} url = {quote_text(stage_root(lake))} {access}"
        " file_format = (type = parquet)"
    )


def mart_ddl(mart: Mart) -> str:
    """Return the DDL of a published mart: its contract's columns and the publication that wrote the row."""
    lines = [f"    {quote_identifier(name)} {data_type}" for name, data_type in mart.columns]
    lines.append(f"    {quote_identifier(PUBLICATION_COLUMN)} varchar not null")
    return f"create table if not exists {mart.published_table} (\n" + ",\n".join(lines) + "\n)"


def _ensure_columns(warehouse: Warehouse, wanted: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]) -> None:
    """Add the columns that tables lack, null in their rows; an older version of this project may have made them.

    Args:
        warehouse: Where the tables are.
        wanted: Schema, table, and its columns with their types.
    """
    rows = warehouse.query(
        "select table_schema, table_name, column_name from information_schema.columns where table_schema in (?, ?)",
        (SCHEMA_OPS, SCHEMA_MARTS),
    )
    present = {tuple(str(name).upper() for name in row) for row in rows}
    for schema, table, columns in wanted:
        target = quote_identifier(f"{schema}.{table}")
        warehouse.execute_many(
            [
                f"alter table {target} add column {quote_identifier(name)} {data_type}"
                for name, data_type in columns
                if (schema, table.upper(), name.upper()) not in present
            ]
        )


def _ensure_database(warehouse: Warehouse) -> None:
    if warehouse.scalar("select current_database()") is None:
        warehouse.execute(f"create database if not exists {quote_identifier(warehouse.settings.database)}")
        warehouse.close()  # the next session starts inside the database


def _missing_row(table: str, key: str, counter: str, start: int) -> str:
    """Insert a row unless it is there; MERGE takes the table's lock, so two starts at once add one row."""
    return (
        f"merge into {table} as held using (select cast(? as varchar) as {key}) as wanted on held.{key} = wanted.{key}"
        f" when not matched then insert ({key}, {counter}) values (wanted.{key}, {start})"
    )
