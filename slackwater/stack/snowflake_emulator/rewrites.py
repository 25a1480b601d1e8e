"""Rewrites of one parsed statement, each for one way in which DuckDB or fakesnow differs from Snowflake.

Every function takes a sqlglot tree and changes or returns it; none touches a connection.
"""

import sqlglot
from sqlglot import Expr, exp

_DECLARATIVE_COLUMN = (exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.Reference)
_DECLARATIVE_TABLE = (exp.PrimaryKey, exp.UniqueColumnConstraint, exp.ForeignKey, exp.Constraint)
_COPY_OPTIONS_WHEN_FALSE = {"PURGE", "FORCE", "TRUNCATECOLUMNS", "RETURN_FAILED_ONLY", "LOAD_UNCERTAIN_FILES"}
_STAGED_SUFFIX = "__SLACKWATER_STAGED"


def prepare(statement: Expr, *, warehouse: str | None, role: str | None) -> Expr:
    """Apply every rewrite that keeps one statement one statement."""
    if isinstance(statement, exp.Create) and statement.kind in ("TABLE", "VIEW"):
        drop_temporary_when_qualified(statement)
        strip_declarative_constraints(statement)
    elif isinstance(statement, exp.Copy):
        drop_copy_options_that_say_no(statement)
        unquote_stage_reference(statement)
    return answer_session_functions(statement, warehouse=warehouse, role=role)


def drop_temporary_when_qualified(create: exp.Create) -> None:
    """Make `CREATE TEMPORARY TABLE db.schema.t` an ordinary table: DuckDB allows temporary ones in its own schema only.

    dbt names its temporary tables with their schema and drops them itself.
    """
    table, properties = create.find(exp.Table), create.args.get("properties")
    if table is None or not table.db or properties is None:
        return
    kept = [item for item in properties.expressions if not isinstance(item, exp.TemporaryProperty)]
    properties.set("expressions", kept)
    if not kept:
        create.set("properties", None)


def strip_declarative_constraints(create: exp.Create) -> None:
    """Remove PRIMARY KEY, UNIQUE and FOREIGN KEY: Snowflake records them without enforcing, DuckDB would enforce."""
    schema = create.this
    if not isinstance(schema, exp.Schema):
        return
    for column in schema.expressions:
        if isinstance(column, exp.ColumnDef):
            constraints = column.args.get("constraints") or []
            column.set("constraints", [item for item in constraints if not isinstance(item.kind, _DECLARATIVE_COLUMN)])
    schema.set("expressions", [item for item in schema.expressions if not isinstance(item, _DECLARATIVE_TABLE)])


def drop_copy_options_that_say_no(copy: exp.Copy) -> None:
    """Drop `PURGE = FALSE` and the like: fakesnow reads the mere presence of the option as TRUE (it deleted files)."""

    def is_kept(option: Expr) -> bool:
        name = option.this.name.upper()
        value = option.expression.sql().upper() if option.expression is not None else ""
        return not (
            (name in _COPY_OPTIONS_WHEN_FALSE and value == "FALSE") or (name == "ENFORCE_LENGTH" and value == "TRUE")
        )

    copy.set("params", [option for option in copy.args.get("params") or [] if is_kept(option)])


def unquote_stage_reference(copy: exp.Copy) -> None:
    """Turn `FROM (SELECT ... FROM '@"STAGE"')`, as write_pandas sends it, into the unquoted form fakesnow expects."""
    source = copy.args["files"][0].this
    if not isinstance(source, exp.Select) or (origin := source.args.get("from_")) is None:
        return
    table = origin.this
    name = table.this if isinstance(table, exp.Table) else None
    if isinstance(name, exp.Literal | exp.Identifier) and name.name.startswith("@"):
        table.set("this", exp.Var(this=name.name))


def answer_session_functions(statement: Expr, *, warehouse: str | None, role: str | None) -> Expr:
    """Replace CURRENT_WAREHOUSE() and CURRENT_ROLE(), which DuckDB lacks, by what the client gave at login."""

    def replaced(node: Expr) -> Expr:
        if isinstance(node, exp.CurrentWarehouse):
            return exp.Literal.string(warehouse) if warehouse else exp.Null()
        if isinstance(node, exp.CurrentRole):
            return exp.Literal.string(role) if role else exp.Null()
        return node

    return statement.transform(replaced, copy=False)


def exact_sum(node: Expr) -> Expr | None:
    """Return the node for SUM, unchanged but named as Snowflake names it; None for any other node.

    fakesnow wraps the argument in TRY_CAST(.. AS DOUBLE), which makes exact decimals floats and bad text NULL.
    DuckDB's SUM of a DECIMAL is exact.
    """
    if not isinstance(node, exp.Sum):
        return None
    if isinstance(node.parent, exp.Select):
        return exp.alias_(node, f"SUM({node.this.sql(dialect='snowflake').upper()})", quoted=True)
    return node


def split_typed_ctas(create: Expr) -> list[Expr]:
    """Split `CREATE TABLE t (columns) AS SELECT` into statements that keep its types and NOT NULL.

    fakesnow turns the columns into casts and loses NOT NULL. With OR REPLACE the new table is filled under another name
    first, so the select may read the table it replaces and a failure keeps the old one (the caller runs all in one
    transaction).

    Returns:
        The statements in order, or an empty list when `create` is something else.
    """
    if not (isinstance(create, exp.Create) and create.kind == "TABLE" and isinstance(create.this, exp.Schema)):
        return []
    select = create.expression
    if not isinstance(select, exp.Query):
        return []
    select = select.unnest() if isinstance(select, exp.Subquery) else select
    target = create.this.this.copy()
    create.set("expression", None)
    if not create.args.get("replace"):
        return [create, exp.Insert(this=target, expression=select)]
    staged = target.copy()
    staged.this.set("this", target.name + _STAGED_SUFFIX)
    create.this.set("this", staged)
    return [
        create,
        exp.Insert(this=staged.copy(), expression=select),
        _parsed(f"DROP TABLE IF EXISTS {target.sql(dialect='snowflake')}"),
        _parsed(f"ALTER TABLE {staged.sql(dialect='snowflake')} RENAME TO {target.this.sql(dialect='snowflake')}"),
    ]


def final_name(table: str) -> str:
    """Return the name a table of `split_typed_ctas` has in the end."""
    return table.removesuffix(_STAGED_SUFFIX)


def _parsed(sql: str) -> Expr:
    return sqlglot.parse_one(sql, read="snowflake")
