"""Databases as files: where they lie, how they are reopened, and how one is dropped or cloned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import snowflake.connector.errors as sf
from fakesnow import info_schema
from sqlglot import Expr, exp

from slackwater.stack.snowflake_emulator import answers

if TYPE_CHECKING:
    from slackwater.stack.snowflake_emulator.session import EmulatedSession

_ACCOUNT_TABLES = {
    "_fs_stages": "database_name",
    "_fs_file_formats": "database_name",
    "_fs_tables_ext": "ext_table_catalog",
    "_fs_columns_ext": "ext_table_catalog",
}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def database_names(folder: Path) -> list[str]:
    """Return the names of the databases whose files lie in `folder`, sorted."""
    return sorted(path.stem for path in folder.glob("*.db"))


def replacing_views(script: str) -> str:
    """Let a script of fakesnow's replace the views it makes."""
    return re.sub("(?i)create view if not exists", "CREATE OR REPLACE VIEW", script)


def drop_database(session: EmulatedSession, drop: exp.Drop) -> Expr:
    """Detach a database, delete its file and what the account knows of it; return the select of Snowflake's answer."""
    database = _database_named(drop)
    file = _file(session, database)
    if not file.exists():
        if drop.args.get("exists"):
            return _told("Drop statement executed successfully.")
        raise _missing(database)
    duck = session.own_cursor()
    _forget(duck, file)
    session.forget_database(database)
    return _told(f"{database} successfully dropped.")


def clone_database(session: EmulatedSession, create: exp.Create) -> Expr:
    """Make a database that holds what another one holds now: tables with rows, views, stages, declared lengths.

    Returns:
        The select of Snowflake's answer.

    Raises:
        snowflake.connector.errors.ProgrammingError: There is no such source, or the new one is there already.
    """
    clone = create.args["clone"]
    if create.args.get("replace") or clone.this.args.get("when"):
        raise answers.unsupported("CREATE OR REPLACE DATABASE .. CLONE, and CLONE of a time in the past")
    source, database = _database_named(clone), _database_named(create)
    if not _file(session, source).exists():
        raise _missing(source)
    file = _file(session, database)
    if file.exists():
        if create.args.get("exists"):
            return _told(f"{database} already exists, statement succeeded.")
        raise sf.ProgrammingError(
            msg=f"SQL compilation error:\nObject '{database}' already exists.", errno=2002, sqlstate="42710"
        )
    duck = session.own_cursor()
    duck.execute(f"ATTACH '{file}' AS \"{database}\"")
    try:
        duck.execute(f'COPY FROM DATABASE "{source}" TO "{database}"')
        duck.execute(replacing_views(info_schema.per_db_creation_sql(database)))
        duck.execute(f'DELETE FROM "{database}"._fs_information_schema._fs_load_history')  # its tables are new
        for table, column in _ACCOUNT_TABLES.items():
            known = f"_fs_global._fs_information_schema.{table}"
            duck.execute(
                f"INSERT INTO {known} SELECT * REPLACE (? AS {column}) FROM {known} WHERE {column} = ?",
                [database, source],
            )
    except BaseException:
        _forget(duck, file)
        raise
    return _told(f"Database {database} successfully created.")


def _forget(duck: duckdb.DuckDBPyConnection, file: Path) -> None:
    database = file.stem
    duck.execute(f'DETACH "{database}"')
    for table, column in _ACCOUNT_TABLES.items():
        duck.execute(f"DELETE FROM _fs_global._fs_information_schema.{table} WHERE {column} = ?", [database])
    for path in (file, file.with_name(file.name + ".wal")):
        path.unlink(missing_ok=True)


def _database_named(statement: Expr) -> str:
    name = statement.find(exp.Identifier)
    if name is None:
        raise ValueError("a statement about a database without its name")
    database = name.name if name.quoted else name.name.upper()
    if not _PLAIN_NAME.fullmatch(database):
        raise answers.unsupported(f"a database named {database!r}")
    return database


def _file(session: EmulatedSession, database: str) -> Path:
    return session.options.databases_dir / f"{database}.db"


def _told(status: str) -> Expr:
    return exp.select(exp.alias_(exp.Literal.string(status), "status"))


def _missing(database: str) -> sf.ProgrammingError:
    return sf.ProgrammingError(
        msg=f"SQL compilation error:\nDatabase '{database}' does not exist or not authorized.",
        errno=2003,
        sqlstate="02000",
    )
