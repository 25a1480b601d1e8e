"""One parsing per statement: fakesnow's server parses what its cursor then parses again.

The server's tree is handed on to the cursor that runs the statement, once: running changes a tree.
"""

from contextvars import ContextVar

from fakesnow.dialect import parse_one
from sqlglot import Expr

_handed: ContextVar[list[tuple[str, Expr]]] = ContextVar("handed")


def parse_to_hand_on(sql: str) -> Expr:
    """Parse for the server, and keep the tree for the cursor that works in this request's context."""
    tree = parse_one(sql)
    _handed.set([(sql, tree)])
    return tree


def parse(sql: str) -> Expr:
    """Return the tree of a statement: the one handed on, if it is of the same text and nobody took it."""
    handed = _handed.get([])
    if handed and handed[0][0] == sql:
        return handed.pop()[1]
    return parse_one(sql)
