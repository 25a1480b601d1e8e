"""ClickHouse, the store of the speed layer: its tables, a feed that can be killed and resumed, and queries.

The only module that imports `clickhouse_connect`; driver errors leave it translated. Table definitions live in
`entities/ddl.py`, what is asked of the tables in `reconciliation/`.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import clickhouse_connect
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, Error, OperationalError

from slackwater.entities.ddl import CLICKHOUSE_CHANGE_COLUMNS, clickhouse_changes_ddl, clickhouse_realtime_ddl
from slackwater.entities.model import Entity, arrow_schema, load_entity
from slackwater.errors import MalformedObject, StoreRejected, StoreUnavailable
from slackwater.naming import clickhouse_changes_table
from slackwater.settings import ClickHouseSettings

TRANSIENT_CODES = frozenset({159, 164, 202, 209, 210, 241, 242, 252, 319, 341, 425, 439, 999})
"""Server errors that pass: timeouts, too many queries or parts, memory limit, read-only replica, network, keeper."""

Parameter = str | int | bool
"""What a bound value of a query may be; decimals and times are compared inside ClickHouse."""

_PLACE = ("_epoch", "_source_partition", "_position")


class SpeedStore:
    """One ClickHouse database. Connects on first use; a context manager closes it.

    Args:
        settings: Where the server is and which database to use.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._connected: Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def ensure_tables(self, entities: Sequence[Entity]) -> None:
        """Create the database, each `<entity>_changes` and its view `<entity>_realtime`; repeating is harmless.

        A view over columns that its table has not yet is left as it is: `clickhouse_evolution` adds them, then the view
        is made.
        """
        with translated("create the database"):
            server = self._open(database=None)
            try:
                server.command("create database if not exists {name:Identifier}", {"name": self._settings.database})
            finally:
                server.close()
        for entity in entities:
            self.command(clickhouse_changes_ddl(entity, ttl_days=self._settings.ttl_days))
            self.replace_view(entity)

    def replace_view(self, entity: Entity) -> None:
        """Make `<entity>_realtime` anew if its table has every declared column."""
        if set(entity.column_names) <= set(self.columns(clickhouse_changes_table(entity.name))):
            self.command(clickhouse_realtime_ddl(entity))

    def columns(self, table: str) -> dict[str, str]:
        """Return a table's columns in order with their types as ClickHouse writes them; empty without the table."""
        found = self.query(
            "select name, type from system.columns where database = {database:String} and table = {table:String}"
            " order by position",
            {"database": self._settings.database, "table": table},
        )
        return dict(zip(found["name"].to_pylist(), found["type"].to_pylist(), strict=True))

    def insert_changes(self, entity: str, rows: pa.Table) -> int:
        """Insert the rows whose position is not there yet.

        Resumable however late the repetition comes: presence is asked by position, so nothing depends on the window in
        which ClickHouse remembers tokens. The token only covers the driver's own repetition of one request. Two
        feeders of the same partition at the same time are not supported (the replay holds a lock).

        Args:
            entity: One of `naming.ENTITIES`.
            rows: Changes with the entity's columns, `CDC_COLUMNS` and `POSITION_COLUMNS`; other columns are ignored.

        Returns:
            Rows inserted, 0 when all were there.

        Raises:
            MalformedObject: A column is missing or cannot be cast.
            StoreUnavailable: ClickHouse did not answer; call again.
        """
        wanted = _in_table_columns(load_entity(entity), rows)
        missing = self._without_present(entity, wanted)
        if missing.num_rows == 0:
            return 0
        self._insert(entity, missing, token=content_token(missing))
        # A token may still be remembered though its rows were deleted since; then the insert was silently skipped.
        skipped = self._without_present(entity, missing)
        if skipped.num_rows:
            self._insert(entity, skipped, token=f"{content_token(skipped)}-{secrets.token_hex(8)}")
            skipped = self._without_present(entity, skipped)
        if skipped.num_rows:
            raise StoreUnavailable(
                f"{clickhouse_changes_table(entity)} still lacks {skipped.num_rows} of {missing.num_rows} rows just"
                " inserted; insert them again"
            )
        return int(missing.num_rows)

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Run a SELECT.

        Args:
            sql: One statement; bind values as `{name:Type}`.
            params: Values of the bound names.
        """
        with translated(sql):
            return self._client.query_arrow(sql, parameters=dict(params or {}), use_strings=True)

    def command(self, sql: str, params: Mapping[str, Parameter] | None = None) -> None:
        """Run a statement that returns no rows."""
        with translated(sql):
            self._client.command(sql, parameters=dict(params or {}))

    @property
    def _client(self) -> Client:
        if self._connected is None:
            self._connected = self._open(database=self._settings.database)
        return self._connected

    def _open(self, *, database: str | None) -> Client:
        settings = self._settings
        return clickhouse_connect.get_client(
            host=settings.host,
            port=settings.port,
            username=settings.user,
            password=settings.password.get_secret_value(),
            database=database or "default",
            secure=settings.secure,
            connect_timeout=settings.connect_timeout_seconds,
            send_receive_timeout=settings.answer_timeout_seconds,
            autogenerate_session_id=False,
        )

    def _insert(self, entity: str, rows: pa.Table, *, token: str) -> None:
        with translated(f"insert into {clickhouse_changes_table(entity)}"):
            self._client.insert_arrow(
                clickhouse_changes_table(entity), rows, settings={"insert_deduplication_token": token}
            )

    def _without_present(self, entity: str, rows: pa.Table) -> pa.Table:
        """Return the rows whose (epoch, source partition, position) the table lacks."""
        ranges = rows.group_by(["_epoch", "_source_partition"]).aggregate([("_position", "min"), ("_position", "max")])
        table = clickhouse_changes_table(entity)
        present: list[pa.Table] = []
        for held in ranges.to_pylist():
            found = self.query(
                f"select distinct _epoch, _source_partition, _position from {table}"
                " where _epoch = {epoch:Int32} and _source_partition = {partition:String}"
                " and _position between {first:Int64} and {last:Int64}",
                {
                    "epoch": held["_epoch"],
                    "partition": held["_source_partition"],
                    "first": held["_position_min"],
                    "last": held["_position_max"],
                },
            )
            present.append(found.cast(rows.select(_PLACE).schema))
        if not present:
            return rows
        return rows.join(pa.concat_tables(present), keys=list(_PLACE), join_type="left anti").select(rows.column_names)


def content_token(rows: pa.Table) -> str:
    """Return a hash of the rows' content; the same rows in another order have the same token."""
    ordered = rows.sort_by([(name, "ascending") for name in _PLACE]).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ordered.schema) as writer:
        writer.write_table(ordered)
    return hashlib.sha256(sink.getvalue()).hexdigest()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn driver errors into ours: those that may pass are `StoreUnavailable`, others `StoreRejected`.

    Args:
        what: The statement or deed, for the message; shortened.
    """
    shown = " ".join(what.split())[:200]
    try:
        yield
    except ClickHouseError as exc:
        code = exc.code if isinstance(exc, Error) else None
        is_transport = isinstance(exc, OperationalError) and code is None
        if is_transport or code in TRANSIENT_CODES or not isinstance(exc, DatabaseError):
            raise StoreUnavailable(f"ClickHouse did not answer ({shown}): {exc}") from exc
        raise StoreRejected(f"ClickHouse refused ({shown}): {exc}") from exc


def _in_table_columns(entity: Entity, rows: pa.Table) -> pa.Table:
    schema = arrow_schema(entity, CLICKHOUSE_CHANGE_COLUMNS)
    lacking = [name for name in schema.names if name not in rows.column_names]
    if lacking:
        raise MalformedObject("missing_column", f"changes of {entity.name} lack the columns {', '.join(lacking)}")
    chosen = rows.select(schema.names)
    for name in _PLACE:
        if pc.any(pc.is_null(chosen.column(name))).as_py():
            raise MalformedObject("null_position", f"changes of {entity.name} hold a null in {name}")
    try:
        return chosen.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise MalformedObject("wrong_type", f"changes of {entity.name} do not fit the table: {exc}") from exc
