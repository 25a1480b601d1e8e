"""The DuckDB side of the emulator: one engine with limits, its databases reopened, S3 registered."""

import logging
import threading
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from fakesnow import arrow, info_schema, transforms
from fakesnow.instance import GLOBAL_DATABASE_NAME, FakeSnow
from fakesnow.transforms import show, stage
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow.fs import S3FileSystem
from sqlglot import Expr, exp
from sqlglot.dialects.duckdb import DuckDB

from slackwater.settings import S3Settings
from slackwater.stack.snowflake_emulator import databases, describing, rewrites
from slackwater.stack.snowflake_emulator.options import EmulatorOptions
from slackwater.stack.snowflake_emulator.query_history import QueryHistory
from slackwater.stack.snowflake_emulator.result_cache import BoundedResultCache
from slackwater.stack.snowflake_emulator.session import EmulatedSession

logger = logging.getLogger(__name__)

_COLUMNS_VIEW_PATCHES = (
    (
        "null::VARCHAR as DATA_TYPE_ALIAS",
        "case when starts_with(columns.data_type, 'TIME') then 9 end as DATETIME_PRECISION,"
        " null::VARCHAR as DATA_TYPE_ALIAS",
    ),
    # The columns of every database are read once for a question, not twice.
    ("ddb_columns.comment as COMMENT", "columns.column_comment as COMMENT"),
    ("where schema_name != '_fs_information_schema'", "where columns.table_schema != '_fs_information_schema'"),
    (
        "LEFT JOIN duckdb_columns ddb_columns\n"
        "  ON ddb_columns.database_name = columns.table_catalog\n"
        " AND ddb_columns.schema_name = columns.table_schema\n"
        " AND ddb_columns.table_name = columns.table_name\n"
        " AND ddb_columns.column_name = columns.column_name\n",
        "",
    ),
    ("columns.data_type='BIGINT' then 'NUMBER'", "columns.data_type in ('BIGINT', 'HUGEINT') then 'NUMBER'"),
    ("when columns.data_type='BIGINT' then 38", "when columns.data_type in ('BIGINT', 'HUGEINT') then 38"),
    ("when columns.data_type='BIGINT' then 10", "when columns.data_type in ('BIGINT', 'HUGEINT') then 10"),
)


class EmulatedSnowflake(FakeSnow):
    """fakesnow's account object over files, with limits and our sessions."""

    def __init__(self, options: EmulatorOptions) -> None:
        # Not super().__init__(): it opens DuckDB without limits and keeps the account's tables in memory only.
        self.options = options
        self.create_database_on_connect = True
        self.create_schema_on_connect = True
        self.db_path = options.databases_dir
        self.nop_regexes = None
        self.results_cache = BoundedResultCache()
        self.sessions: dict[str, EmulatedSession] = {}
        self.stopping = threading.Event()
        self.history = QueryHistory()
        self._connecting = threading.Lock()
        for folder in (options.databases_dir, options.stages_dir, options.spill_dir):
            folder.mkdir(parents=True, exist_ok=True)
        stage.LOCAL_BUCKET_PATH = str(options.stages_dir)
        self.duck_conn = _open_duckdb(options)
        for name in databases.database_names(options.databases_dir):
            self.connect(name).close()
            logger.info("reopened database %s", name)

    def connect(
        self, database: str | None = None, schema: str | None = None, *_: Any, **kwargs: Any
    ) -> EmulatedSession:
        """Open a session; its database and schema are created when they do not exist."""
        with self._connecting:  # two first logins must not both attach the same database file
            session = EmulatedSession(
                self.duck_conn.cursor(),
                self.results_cache,
                database,
                schema,
                create_database=True,
                create_schema=True,
                db_path=self.db_path,
                autocommit=kwargs.get("autocommit", True),
                options=self.options,
            )
        session.peers, session.stopping, session.history = self.sessions, self.stopping, self.history
        return session

    def register_s3(self, settings: S3Settings) -> None:
        """Let COPY read s3:// URLs through Arrow: DuckDB's own extension cannot be downloaded offline."""
        self.duck_conn.register_filesystem(ArrowFSWrapper(_arrow_s3(settings), skip_instance_cache=True))

    def interrupt_all(self) -> None:
        """Make running and waiting statements fail now."""
        self.stopping.set()
        for session in tuple(self.sessions.values()):
            session.interrupt()

    def close(self) -> None:
        """Stop running statements, roll back what is open and write the checkpoint."""
        self.interrupt_all()
        for session in tuple(self.sessions.values()):
            session.close()
        self.sessions.clear()
        self.duck_conn.close()


def install_rewrites() -> None:
    """Replace what is wrong for us in fakesnow; it looks these functions up by name at each statement."""
    casting = transforms.numeric_agg_implicit_cast

    def numeric_agg_implicit_cast(expression: Expr) -> Expr:
        exact = rewrites.exact_sum(expression)
        return casting(expression) if exact is None else exact

    describing_all = transforms.describe_table

    def describe_table(
        expression: Expr, current_database: str | None = None, current_schema: str | None = None
    ) -> Expr:
        quick = describing.describe_table(expression, current_database, current_schema)
        return describing_all(expression, current_database, current_schema) if quick is None else quick

    def upper_case_unquoted_identifiers(expression: Expr) -> Expr:
        if isinstance(expression, exp.Identifier) and not expression.quoted and isinstance(expression.this, str):
            expression.set("this", expression.this.upper())  # its own makes a new node for each
        return expression

    def create_table_as(expression: Expr, duck_conn: duckdb.DuckDBPyConnection) -> Expr:  # noqa: ARG001  # its signature
        return expression

    to_struct = arrow.timestamp_to_sf_struct

    def timestamp_to_sf_struct(ts: pa.Array | pa.ChunkedArray) -> pa.Array:
        whole = ts.combine_chunks() if isinstance(ts, pa.ChunkedArray) else ts
        made = to_struct(pc.fill_null(whole, pa.scalar(0, whole.type)))
        return pa.StructArray.from_arrays(made.flatten(), fields=list(made.type), mask=pc.is_null(whole))

    def generate(dialect: DuckDB, expression: Expr, copy: bool = True, **options: Any) -> str:  # noqa: ARG001
        return dialect.generator(**options).generate(expression, copy=False)

    # A copy of the tree takes ten times as long as its text; each tree is written once, when it runs.
    DuckDB.generate = generate  # type: ignore[assignment,method-assign]
    transforms.numeric_agg_implicit_cast = numeric_agg_implicit_cast
    transforms.create_table_as = create_table_as
    transforms.upper_case_unquoted_identifiers = upper_case_unquoted_identifiers
    transforms.describe_table = describe_table
    arrow.timestamp_to_sf_struct = timestamp_to_sf_struct  # its own turns NULL into 1970-01-01


def _arrow_s3(settings: S3Settings) -> S3FileSystem:
    key, secret, endpoint = settings.access_key_id, settings.secret_access_key, settings.endpoint_url
    scheme, _, place = endpoint.partition("://") if endpoint else ("https", "", None)
    return S3FileSystem(
        endpoint_override=place,
        scheme=scheme,
        region=settings.region,
        access_key=key.get_secret_value() if key else None,
        secret_key=secret.get_secret_value() if secret else None,
    )


def _open_duckdb(options: EmulatorOptions) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        database=":memory:",
        config={
            "lambda_syntax": "ENABLE_SINGLE_ARROW",  # sqlglot still writes arrow lambdas
            "memory_limit": options.memory_limit,
            "threads": options.threads,
            "temp_directory": str(options.spill_dir),
        },
    )
    connection.execute(f"ATTACH '{options.account_file}' AS {GLOBAL_DATABASE_NAME}")
    for script in (_patched_info_schema(), show.fs_global_creation_sql()):
        connection.execute(databases.replacing_views(script))
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def _patched_info_schema() -> str:
    """Return fakesnow's INFORMATION_SCHEMA with DATETIME_PRECISION (Soda reads it) and 128-bit integers as NUMBER."""
    script: str = info_schema.fs_global_creation_sql()
    for old, new in _COLUMNS_VIEW_PATCHES:
        if old not in script:
            raise RuntimeError(f"fakesnow changed its information schema: {old!r} is gone")
        script = script.replace(old, new)
    return script
