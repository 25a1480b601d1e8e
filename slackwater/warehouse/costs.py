"""What a refresh costs the warehouse: rows read, rows rewritten and seconds of every table it writes.

The warehouse knows best: its query history names the statements by their query tag (dbt's by their comment), its
operator statistics say what each of them read and wrote. Both are asked after the fact, so nothing is counted twice and
nothing slows a statement down. A model's temporary relation counts with the model; what dbt's and the gate's checks
read is not counted here.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from slackwater.clients.snowflake import Scalar, Warehouse, quote_text
from slackwater.errors import TerminalError

REFRESH_COSTS_DDL = """create table if not exists OPS.REFRESH_COSTS (
        refresh_id varchar not null, step varchar not null, table_name varchar not null,
        statements number(38,0) not null, rows_deleted number(38,0) not null, rows_inserted number(38,0) not null,
        rows_scanned number(38,0) not null, warehouse_seconds number(18,3) not null,
        recorded_at timestamp_ntz(6) not null)"""

MOST_STATEMENTS = 10_000
"""What the query history gives at most; a refresh has some hundreds."""

ASKED_AT_ONCE = 50
"""Statements whose operators are asked for in one query: the function takes one id, as a literal."""

_WRITES = re.compile(
    r"(?is)^(?:\s|/\*.*?\*/|--[^\n]*\n)*"
    r"(?:create\s+(?:or\s+replace\s+)?(?:(?:temporary|transient)\s+)?table|insert\s+into|delete\s+from)"
    r"\s+(?P<name>[\w\".$]+)"
)
_TEMPORARY = re.compile(r"__DBT_TMP\w*$")


class Step(StrEnum):
    """What of a refresh a statement belongs to."""

    IMPACT = "impact"  # what the refresh touches
    BUILD = "build"  # dbt's models
    PUBLISH = "publish"  # the marts that readers see


@dataclass(frozen=True)
class Ran:
    """One statement of the query history; `execution_ms` is without waiting and compiling."""

    query_id: str
    text: str
    execution_ms: int


@dataclass(frozen=True)
class Operator:
    """One operator of one statement, with its statistics as Snowflake documents them."""

    query_id: str
    kind: str
    statistics: Mapping[str, Any]


@dataclass(frozen=True)
class TableCost:
    """What one step of a refresh cost for one table.

    Attributes:
        step: The step.
        table: `SCHEMA.TABLE` that was written.
        statements: How many statements.
        rows_deleted: Rows taken out of the table.
        rows_inserted: Rows put into it; a changed row counts in both.
        rows_scanned: Rows read from any table, temporary ones included; a block that is skipped is not read.
        seconds: Of execution.
    """

    step: Step
    table: str
    statements: int
    rows_deleted: int
    rows_inserted: int
    rows_scanned: int
    seconds: Decimal

    @property
    def rows_rewritten(self) -> int:
        """Return the rows that were deleted or inserted."""
        return self.rows_deleted + self.rows_inserted


def query_tag(step: Step, refresh_id: str) -> str:
    """Return the tag of the statements of a step that is not dbt's."""
    return f"{step}={refresh_id}"


def dbt_comment(refresh_id: str) -> str:
    """Return what the comment of every statement of dbt holds, see the macro `statement_comment`."""
    return f'"refresh_id": {json.dumps(refresh_id)}'


def written_table(text: str) -> tuple[str, bool] | None:
    """Return the `SCHEMA.TABLE` a statement writes, and whether it is dbt's temporary one of it; None for others."""
    found = _WRITES.match(text)
    if found is None:
        return None
    name = ".".join(found["name"].replace('"', "").upper().split(".")[-2:])
    model = _TEMPORARY.sub("", name)
    return model, model != name


def sum_costs(step: Step, ran: Iterable[Ran], operators: Iterable[Operator]) -> tuple[TableCost, ...]:
    """Add up what a step's statements did, by table, in order of names; statements that write no table are left out."""
    by_query: dict[str, list[Operator]] = defaultdict(list)
    for operator in operators:
        by_query[operator.query_id].append(operator)
    by_table: dict[str, list[TableCost]] = defaultdict(list)
    for one in ran:
        if (written := written_table(one.text)) is not None:
            table, is_temporary = written
            by_table[table].append(_cost(step, table, one, by_query[one.query_id], is_temporary=is_temporary))
    return tuple(_sum(costs) for _, costs in sorted(by_table.items()))


def _cost(step: Step, table: str, ran: Ran, operators: Sequence[Operator], *, is_temporary: bool) -> TableCost:
    dml = [operator.statistics.get("dml", {}) for operator in operators]
    made = [o.statistics.get("input_rows", 0) for o in operators if o.kind == "CreateTableAsSelect"]
    inserted = sum(int(each.get("number_of_rows_inserted", 0)) for each in dml) + sum(map(int, made))
    return TableCost(
        step=step,
        table=table,
        statements=1,
        rows_deleted=sum(int(each.get("number_of_rows_deleted", 0)) for each in dml),
        rows_inserted=0 if is_temporary else inserted,
        rows_scanned=sum(int(o.statistics.get("output_rows", 0)) for o in operators if o.kind == "TableScan"),
        seconds=Decimal(ran.execution_ms) / 1000,
    )


def _sum(costs: Sequence[TableCost]) -> TableCost:
    return TableCost(
        step=costs[0].step,
        table=costs[0].table,
        statements=len(costs),
        rows_deleted=sum(one.rows_deleted for one in costs),
        rows_inserted=sum(one.rows_inserted for one in costs),
        rows_scanned=sum(one.rows_scanned for one in costs),
        seconds=sum((one.seconds for one in costs), Decimal(0)),
    )


def read_costs(warehouse: Warehouse, refresh_id: str) -> tuple[TableCost, ...]:
    """Ask the warehouse what every step of a refresh has cost so far.

    Raises:
        TerminalError: The refresh was never started, or the history does not answer.
    """
    started_at = warehouse.scalar("select started_at from OPS.REFRESH where refresh_id = ?", (refresh_id,))
    if not isinstance(started_at, datetime):
        raise TerminalError(f"refresh {refresh_id} is not in OPS.REFRESH: its statements have no beginning")
    costs: list[TableCost] = []
    for step in Step:
        ran = _read_history(warehouse, step, refresh_id, since=started_at.replace(tzinfo=UTC))
        writing = [one for one in ran if written_table(one.text) is not None]
        costs += sum_costs(step, writing, _read_operators(warehouse, [one.query_id for one in writing]))
    return tuple(costs)


def record_costs(warehouse: Warehouse, refresh_id: str) -> tuple[TableCost, ...]:
    """Write what a refresh has cost so far to OPS.REFRESH_COSTS and return it; a second call replaces the first."""
    costs = read_costs(warehouse, refresh_id)
    with warehouse.transaction():
        warehouse.execute("delete from OPS.REFRESH_COSTS where refresh_id = ?", (refresh_id,))
        if costs:
            rows = " union all ".join(["select ?, ?, ?, ?, ?, ?, ?, cast(? as number(18,3)), sysdate()"] * len(costs))
            warehouse.execute(
                "insert into OPS.REFRESH_COSTS (refresh_id, step, table_name, statements, rows_deleted,"
                f" rows_inserted, rows_scanned, warehouse_seconds, recorded_at) {rows}",
                [value for one in costs for value in _values(refresh_id, one)],
            )
    return costs


def _values(refresh_id: str, one: TableCost) -> tuple[Scalar, ...]:
    counts = (one.statements, one.rows_deleted, one.rows_inserted, one.rows_scanned)
    return (refresh_id, one.step.value, one.table, *counts, str(one.seconds))


def _read_history(warehouse: Warehouse, step: Step, refresh_id: str, *, since: datetime) -> list[Ran]:
    found_by, value = (
        ("contains(query_text, ?)", dbt_comment(refresh_id))
        if step is Step.BUILD
        else ("query_tag = ?", query_tag(step, refresh_id))
    )
    rows = warehouse.query(
        "select query_id, query_text, execution_time from table(information_schema.query_history("
        f"end_time_range_start => to_timestamp_ltz({quote_text(since.isoformat(sep=' '))}),"
        f" result_limit => {MOST_STATEMENTS})) where {found_by} and execution_status = 'SUCCESS'",
        (value,),
    )
    return [Ran(str(query_id), str(text), int(str(took))) for query_id, text, took in rows]


def _read_operators(warehouse: Warehouse, query_ids: Sequence[str]) -> list[Operator]:
    found: list[Operator] = []
    for first in range(0, len(query_ids), ASKED_AT_ONCE):
        asked = " union all ".join(
            "select query_id, operator_type, operator_statistics from"
            f" table(get_query_operator_stats({quote_text(query_id)}))"
            for query_id in query_ids[first : first + ASKED_AT_ONCE]
        )
        found += [
            Operator(str(query_id), str(kind), json.loads(str(statistics or "{}")))
            for query_id, kind, statistics in warehouse.query(asked)
        ]
    return found


def costs_markdown(refresh_id: str, costs: Sequence[TableCost]) -> str:
    """Return the costs of a refresh as Markdown, the slowest table first, with a line of totals per step."""
    by_step = [(step, [one for one in costs if one.step is step]) for step in Step]
    lines = [
        f"## Costs of refresh `{refresh_id}`\n",
        "| step | table | rows rewritten | rows scanned | seconds |",
        "|---|---|---:|---:|---:|",
        *(_line(step, "**all**", chosen) for step, chosen in by_step if chosen),
        *(_line(one.step, one.table, [one]) for one in sorted(costs, key=lambda cost: -cost.seconds)),
    ]
    return "\n".join(lines) + "\n"


def _line(step: Step, table: str, costs: Sequence[TableCost]) -> str:
    rewritten, scanned = sum(one.rows_rewritten for one in costs), sum(one.rows_scanned for one in costs)
    return f"| {step} | {table} | {rewritten:,} | {scanned:,} | {sum(one.seconds for one in costs):.3f} |"
