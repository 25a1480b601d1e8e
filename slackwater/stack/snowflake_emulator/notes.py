"""What the account remembers beside the tables: comments and declared text lengths.

They lie in another DuckDB file than the table, and a DuckDB transaction can write one file only. So they are taken off
the statement and written after it.
"""

import threading
from collections.abc import Sequence

import duckdb
from fakesnow import info_schema
from sqlglot import Expr, exp

from slackwater.stack.snowflake_emulator import rewrites

_WRITING = threading.Lock()
"""Held while notes are written, so that two sessions never conflict over one."""


def take_notes(transformed: Expr, *, database: str | None, schema: str | None) -> list[str]:
    """Remove the notes from a transformed statement and return the SQL that writes them.

    fakesnow notes the comment `None` for every table with a property such as TRANSIENT; that one is dropped.
    """
    noted: list[str] = []
    lengths = transformed.args.pop("text_lengths", None)
    commented, comment = transformed.args.pop("table_comment", None) or (None, None)
    if lengths and (table := transformed.find(exp.Table)) is not None:
        noted.append(info_schema.insert_text_lengths_sql(*_full_name(table, database, schema), lengths))
    if commented is not None and comment is not None:
        text = str(comment).replace("'", "''")
        noted.append(info_schema.insert_table_comment_sql(*_full_name(commented, database, schema), text))
    return noted


def write_notes(connection: duckdb.DuckDBPyConnection, noted: Sequence[str]) -> None:
    """Write notes outside any transaction; the same note again replaces itself."""
    if noted:
        with _WRITING:
            for sql in noted:
                connection.execute(sql)


def _full_name(table: exp.Table, database: str | None, schema: str | None) -> tuple[str, str, str]:
    return table.catalog or database or "", table.db or schema or "", rewrites.final_name(table.name)
