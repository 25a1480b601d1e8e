"""MERGE as one DuckDB statement: atomic, any expression, and an error when two source rows match one target row.

fakesnow emulates MERGE with a temporary table and several statements: not atomic, and blind to duplicates.
"""

from collections import Counter
from typing import Any

import duckdb
import snowflake.connector.errors as sf
from fakesnow.transforms.merge import operations
from sqlglot import Expr, exp

from slackwater.stack.snowflake_emulator import answers

_ACTIONS = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}


def run_merge(
    connection: duckdb.DuckDBPyConnection, merge: exp.Merge, params: list[Any] | dict[Any, Any] | None
) -> Expr:
    """Run a transformed MERGE and return the select of its counts, shaped like Snowflake's answer.

    Raises:
        ProgrammingError: Two source rows match one target row (errno 100090), as Snowflake raises by default.
    """
    performed = operations(merge)
    _unqualify_assignments(merge)
    try:
        rows = connection.execute(merge.sql(dialect="duckdb") + " RETURNING merge_action", params).fetchall()
    except duckdb.InvalidInputException as exc:
        if "MERGE" not in str(exc).upper():
            raise
        raise sf.ProgrammingError(
            msg=f"Duplicate row detected during DML action: {exc}"[:500],
            errno=answers.ERRNO_DUPLICATE_ROW_IN_MERGE,
            sqlstate="42P18",
        ) from exc
    counts = Counter(row[0] for row in rows)
    select = exp.select(
        *[
            exp.alias_(exp.Literal.number(counts[_ACTIONS[name]]), f"number of rows {name}", quoted=True)
            for name, clauses in performed.items()
            if clauses
        ]
    )
    select.set("merge_counts", True)
    return select


def _unqualify_assignments(merge: exp.Merge) -> None:
    """Remove the target's alias from `UPDATE SET t.col = ..`, which DuckDB does not accept."""
    whens = merge.args["whens"]
    for when in whens.expressions if isinstance(whens, exp.Whens) else whens:
        then = when.args.get("then")
        if isinstance(then, exp.Update):
            for assignment in then.expressions:
                if isinstance(assignment.this, exp.Column):
                    for part in ("table", "db", "catalog"):
                        assignment.this.set(part, None)
