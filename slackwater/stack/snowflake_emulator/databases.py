"""Databases as files: where they lie, how they are reopened, and how one is dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import snowflake.connector.errors as sf
from sqlglot import Expr, exp

if TYPE_CHECKING:
    from slackwater.stack.snowflake_emulator.session import EmulatedSession

_ACCOUNT_TABLES = {
    "_fs_stages": "database_name",
    "_fs_file_formats": "database_name",
    "_fs_tables_ext": "ext_table_catalog",
    "_fs_columns_ext": "ext_table_catalog",
}


def database_names(folder: Path) -> list[str]:
    """Return the names of the databases whose files lie in `folder`, sorted."""
    return sorted(path.stem for path in folder.glob("*.db"))


def drop_database(session: EmulatedSession, drop: exp.Drop) -> Expr:
    """Detach a database, delete its file and what the account knows of it; return the select of Snowflake's answer."""
    name = drop.find(exp.Identifier)
    if name is None:
        raise ValueError("DROP DATABASE without a name")
    database = name.name if name.quoted else name.name.upper()
    file = session.options.databases_dir / f"{database}.db"
    if not file.exists():
        if drop.args.get("exists"):
            return exp.select(exp.alias_(exp.Literal.string("Drop statement executed successfully."), "status"))
        raise sf.ProgrammingError(
            msg=f"SQL compilation error:\nDatabase '{database}' does not exist or not authorized.",
            errno=2003,
            sqlstate="02000",
        )
    duck = session.own_cursor()
    duck.execute(f'DETACH "{database}"')
    for table, column in _ACCOUNT_TABLES.items():
        duck.execute(f"DELETE FROM _fs_global._fs_information_schema.{table} WHERE {column} = ?", [database])
    for path in (file, file.with_name(file.name + ".wal")):
        path.unlink(missing_ok=True)
    session.forget_database(database)
    return exp.select(exp.alias_(exp.Literal.string(f"{database} successfully dropped."), "status"))
