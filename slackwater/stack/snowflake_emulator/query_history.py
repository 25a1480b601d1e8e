"""What was run and what it cost: `INFORMATION_SCHEMA.QUERY_HISTORY` and `GET_QUERY_OPERATOR_STATS`.

DuckDB profiles every statement; the newest statements of the process are kept. A few documented columns and arguments
are answered, all others are errors. Where DuckDB filters inside a scan, the rows it read are given, not those it kept:
in Snowflake a filter is an operator of its own.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import snowflake.connector.errors as sf

from slackwater.stack.snowflake_emulator import answers

KEPT_STATEMENTS = 5_000
MOST_RESULTS = 10_000
LONGEST_TEXT = 100_000
ERRNO_UNKNOWN_QUERY = 709

HISTORY_VIEW, OPERATORS_VIEW = "_EMULATED_QUERY_HISTORY", "_EMULATED_OPERATOR_STATS"
REGISTERED_IN = "temp.main"

_HISTORY = re.compile(
    r"(?is)\btable\s*\(\s*(?:\"?\w+\"?\s*\.\s*)?information_schema\s*\.\s*query_history\s*\(((?:[^()]|\([^()]*\))*)\)\s*\)"
)
_STATS = re.compile(r"(?is)\btable\s*\(\s*get_query_operator_stats\s*\(\s*'([^']*)'\s*\)\s*\)")
_ARGUMENT = re.compile(
    r"(?is)\s*,?\s*(?:result_limit\s*=>\s*(?P<limit>\d+)"
    r"|end_time_range_start\s*=>\s*to_timestamp_ltz\s*\(\s*'(?P<start>[^']+)'\s*\))\s*"
)
_CTAS = {"CREATE_TABLE_AS", "INSERT"}
_WRITES = {"INSERT": ("Insert", "inserted"), "DELETE_OPERATOR": ("Delete", "deleted"), "UPDATE": ("Update", "updated")}


@dataclass(frozen=True)
class Operator:
    """One operator of a statement's plan, with what Snowflake's documentation calls its statistics."""

    kind: str
    statistics: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class RanStatement:
    """One statement that succeeded.

    Attributes:
        query_id: As the client was told.
        text: As the client sent it, shortened to what Snowflake keeps.
        kind: `SELECT`, `INSERT`, `CREATE_TABLE_AS_SELECT` ...
        started_at: UTC.
        ended_at: UTC.
        execution_ms: In DuckDB; the rest of the time is translation, Snowflake's compilation.
    """

    query_id: str
    text: str
    kind: str
    query_tag: str
    started_at: datetime
    ended_at: datetime
    execution_ms: int
    operators: tuple[Operator, ...]


class QueryHistory:
    """The newest statements of an account; sessions of several threads add to it."""

    def __init__(self, *, kept: int = KEPT_STATEMENTS) -> None:
        self._ran: deque[RanStatement] = deque(maxlen=kept)

    def add(self, statement: RanStatement) -> None:
        """Keep a statement; the oldest is forgotten when there are too many."""
        self._ran.append(statement)

    def answer(self, command: str, connection: duckdb.DuckDBPyConnection) -> str:
        """Return a command in which the two table functions are views that exist on the connection now.

        Raises:
            ProgrammingError: An argument the emulator does not know, or a query it does not remember.
        """
        known = tuple(self._ran)
        if found := _HISTORY.search(command):
            connection.register(HISTORY_VIEW, _history_table(_chosen(known, found.group(1))))
            command = _HISTORY.sub(f"{REGISTERED_IN}.{HISTORY_VIEW}", command)
        if wanted := set(_STATS.findall(command)):
            chosen = [statement for statement in known if statement.query_id in wanted]
            if missing := wanted - {statement.query_id for statement in chosen}:
                raise sf.ProgrammingError(
                    msg=f"Statement {min(missing)} not found", errno=ERRNO_UNKNOWN_QUERY, sqlstate="02000"
                )
            connection.register(OPERATORS_VIEW, _operators_table(chosen))
            command = _STATS.sub(_operators_of, command)
        return command


class ProfiledConnection:
    """A DuckDB connection for one statement, which keeps the profile of the first thing it runs.

    fakesnow runs small statements of its own after the client's; they are not the client's cost.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._executions = 0
        self.profile: dict[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, parameters: Any = None) -> Any:
        """Run a statement."""
        self.note()
        self._executions += 1
        return self._connection.execute(sql, parameters)

    def note(self) -> None:
        """Read the profile of the first statement, when that is over."""
        if self._executions == 1 and self.profile is None:
            self.profile = json.loads(self._connection.get_profiling_information(format="json"))


def operators_of(profile: Mapping[str, Any], *, is_ctas: bool, affected: int | None) -> tuple[Operator, ...]:
    """Return a profile's operators that read or write tables.

    Args:
        profile: From DuckDB; an empty one has no operators.
        is_ctas: Whether it belongs to a CREATE TABLE AS SELECT.
        affected: Rows a DML statement told its client; None for other statements.
    """
    found: list[Operator] = []
    for node in _nodes(profile.get("operator", [])):
        kind = str(node.get("type", "")).removeprefix("BATCH_")
        children = sum(_rows_given(child) for child in node.get("children", []))
        if "rows_scanned" in node:
            pruning = {
                "partitions_scanned": node.get("row_groups_scanned", 0),
                "partitions_total": node.get("total_row_groups_to_scan", 0),
            }
            table = node.get("extra_info", {}).get("Table", "")
            statistics = {"output_rows": int(node["rows_scanned"]), "pruning": pruning}
            found.append(Operator("TableScan", statistics, {"table_name": table}))
        elif kind in _CTAS and is_ctas:
            found.append(Operator("CreateTableAsSelect", {"input_rows": children}, {}))
        elif kind in _WRITES and affected is not None:
            name, done = _WRITES[kind]
            found.append(Operator(name, {"input_rows": children, "dml": {f"number_of_rows_{done}": affected}}, {}))
    return tuple(found)


def execution_ms(profile: Mapping[str, Any]) -> float:
    """Return how long DuckDB worked on the statement of a profile."""
    return 1000.0 * float(profile.get("query", {}).get("total_time", 0.0))


def _rows_given(node: Mapping[str, Any]) -> int:
    """Return the rows an operator gives; a CTE gives those of the last of its children, which reads the others."""
    if node.get("type") == "CTE" and node.get("children"):
        return _rows_given(node["children"][-1])
    return int(node.get("intermediate_rows", 0))


def _nodes(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from _nodes(node.get("children", []))


def _chosen(known: tuple[RanStatement, ...], arguments: str) -> list[RanStatement]:
    """Return the newest statements that the arguments of QUERY_HISTORY ask for, newest first."""
    limit, start, place = 100, datetime.min.replace(tzinfo=UTC), 0
    while place < len(arguments.rstrip()):
        found = _ARGUMENT.match(arguments, place)
        if found is None:
            raise answers.unsupported(f"QUERY_HISTORY({arguments.strip()[:80]})")
        if found["limit"]:
            limit = min(int(found["limit"]), MOST_RESULTS)
        if found["start"]:
            given = datetime.fromisoformat(found["start"])
            start = given if given.tzinfo else given.replace(tzinfo=UTC)
        place = found.end()
    return [statement for statement in reversed(known) if statement.ended_at >= start][:limit]


def _history_table(statements: list[RanStatement]) -> pa.Table:
    rows = [
        {
            "QUERY_ID": one.query_id,
            "QUERY_TEXT": one.text,
            "QUERY_TYPE": one.kind,
            "QUERY_TAG": one.query_tag,
            "EXECUTION_STATUS": "SUCCESS",
            "START_TIME": one.started_at,
            "END_TIME": one.ended_at,
            "TOTAL_ELAPSED_TIME": round(1000 * (one.ended_at - one.started_at).total_seconds()),
            "EXECUTION_TIME": one.execution_ms,
        }
        for one in statements
    ]
    return pa.Table.from_pylist(rows, schema=_HISTORY_SCHEMA)


def _operators_table(statements: list[RanStatement]) -> pa.Table:
    rows = [
        {
            "QUERY_ID": one.query_id,
            "STEP_ID": 1,
            "OPERATOR_ID": number,
            "OPERATOR_TYPE": operator.kind,
            "OPERATOR_STATISTICS": json.dumps(operator.statistics),
            "OPERATOR_ATTRIBUTES": json.dumps(operator.attributes),
        }
        for one in statements
        for number, operator in enumerate(one.operators)
    ]
    return pa.Table.from_pylist(rows, schema=_OPERATORS_SCHEMA)


def _operators_of(found: re.Match[str]) -> str:
    variants = ", ".join(f"parse_json({name}) as {name}" for name in ("OPERATOR_STATISTICS", "OPERATOR_ATTRIBUTES"))
    return (
        f"(select query_id, step_id, operator_id, operator_type, {variants} from {REGISTERED_IN}.{OPERATORS_VIEW}"
        f" where query_id = '{found.group(1)}')"
    )


_MOMENT = pa.timestamp("us", tz="UTC")
_HISTORY_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("QUERY_ID", "QUERY_TEXT", "QUERY_TYPE", "QUERY_TAG", "EXECUTION_STATUS")),
        *((name, _MOMENT) for name in ("START_TIME", "END_TIME")),
        *((name, pa.int64()) for name in ("TOTAL_ELAPSED_TIME", "EXECUTION_TIME")),
    ]
)
_OPERATORS_SCHEMA = pa.schema(
    [
        ("QUERY_ID", pa.string()),
        *((name, pa.int64()) for name in ("STEP_ID", "OPERATOR_ID")),
        *((name, pa.string()) for name in ("OPERATOR_TYPE", "OPERATOR_STATISTICS", "OPERATOR_ATTRIBUTES")),
    ]
)
