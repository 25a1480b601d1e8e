"""What each column of a select is computed from, by parsing the SQL. Pure; the only module that imports sqlglot.

A column is made of the columns its expression names, through every CTE and subquery: what its value says, not which
rows were taken, so filters, joins and groupings do not count. A count of rows is made of the key of what it counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope
from sqlglot.schema import MappingSchema

from slackwater.errors import TerminalError

DIALECT = "snowflake"


@dataclass(frozen=True, order=True)
class TableColumn:
    """A column of a table that the select reads, all lower case."""

    schema: str
    table: str
    column: str


@dataclass(frozen=True)
class KnownTable:
    """A table a select may read: its columns in any order, and those that identify a row."""

    columns: tuple[str, ...]
    key: tuple[str, ...]


Tables = Mapping[tuple[str, str], KnownTable]
"""By schema and table, lower case."""


def trace_columns(sql: str, tables: Tables) -> dict[str, tuple[TableColumn, ...]]:
    """Return per column of a select, in its order, the columns of tables it is computed from.

    Args:
        sql: One select in Snowflake's dialect.
        tables: Every table it reads.

    Raises:
        TerminalError: The select cannot be parsed, names a table or column that is not known, or has a subquery in an
            expression.
    """
    schema = MappingSchema(dialect=DIALECT)
    for (schema_name, table), known in tables.items():
        schema.add_table(exp.table_(table, db=schema_name), dict.fromkeys(known.columns, "varchar"))
    try:
        select = qualify(parse_one(sql, dialect=DIALECT), schema=schema, dialect=DIALECT)
    except SqlglotError as exc:
        raise TerminalError(f"the columns of this select cannot be followed: {exc}") from exc
    scope = build_scope(select)
    if scope is None:
        raise TerminalError(f"this is no select: {sql[:80]}")
    columns = _query(scope).named_selects
    return {name.lower(): tuple(sorted(set(_of_position(scope, at, tables)))) for at, name in enumerate(columns)}


def _query(scope: Scope) -> exp.Query:
    if not isinstance(scope.expression, exp.Query):
        raise TerminalError(f"this is no select: {scope.expression.sql()[:80]}")
    return scope.expression


def _source(scope: Scope, name: str) -> Scope | exp.Table:
    found = scope.sources.get(name)
    if not isinstance(found, Scope | exp.Table):
        raise TerminalError(
            f"the columns of this select cannot be followed: {name} is not in its `from`; join what a subquery reads"
        )
    return found


def _of_position(scope: Scope, at: int, tables: Tables) -> Iterator[TableColumn]:
    """Yield what the column at a position is made of; of a union, in each of its selects."""
    if isinstance(scope.expression, exp.SetOperation):
        for branch in scope.set_operation_scopes:
            yield from _of_position(branch, at, tables)
        return
    expression = _query(scope).selects[at]
    for column in expression.find_all(exp.Column):
        source = _source(scope, column.table)
        if isinstance(source, Scope):
            yield from _of_position(source, _query(source).named_selects.index(column.name), tables)
        else:
            yield TableColumn(source.db.lower(), source.name.lower(), column.name.lower())
    for count in expression.find_all(exp.Count):
        if isinstance(count.this, exp.Star):
            yield from _row_key(scope, tables)


def _row_key(scope: Scope, tables: Tables) -> Iterator[TableColumn]:
    """Yield the key of the table whose rows a scope begins with."""
    if isinstance(scope.expression, exp.SetOperation):
        for branch in scope.set_operation_scopes:
            yield from _row_key(branch, tables)
        return
    begin = scope.expression.find(exp.From)
    if begin is None:
        return
    source = _source(scope, begin.this.alias_or_name)
    if isinstance(source, Scope):
        yield from _row_key(source, tables)
        return
    schema, table = source.db.lower(), source.name.lower()
    yield from (TableColumn(schema, table, column) for column in tables[schema, table].key)
