"""`slackwater sql`: one statement against one store of the stack."""

import contextlib
import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import pyarrow as pa
import typer
from rich.table import Table

from slackwater.commands.context import EXIT_PROBLEM, current_systems, out, plain_errors, problems
from slackwater.errors import ConfigurationError, StoreRejected
from slackwater.naming import ENTITIES, changelog_table
from slackwater.stack.systems import Systems

_SHOWN_ROWS = 200

Value = object


class Store(StrEnum):
    """Stores a statement can be sent to."""

    SHOP = "shop"
    LAKE = "lake"
    WAREHOUSE = "warehouse"
    CLICKHOUSE = "clickhouse"
    LEDGER = "ledger"


@dataclass(frozen=True)
class Answer:
    """Column names and rows of one statement; no columns when it returns none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def sql(
    store: Annotated[Store, typer.Argument(help="Where: shop, lake, warehouse, clickhouse or ledger.")],
    query: Annotated[str, typer.Argument(help='The statement, for example "select count(*) from raw.orders".')],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header line.")] = False,
) -> None:
    """Send one SQL statement to a store and print its rows.

    shop and ledger speak PostgreSQL, warehouse speaks Snowflake, clickhouse speaks ClickHouse. lake takes SELECT over
    changes.users, changes.products, changes.orders and changes.order_items (DuckDB, embedded stack only).
    """
    if as_json and as_csv:
        problems.print("Choose one of --json and --csv.")
        raise typer.Exit(EXIT_PROBLEM)
    systems = current_systems()
    with plain_errors():
        answer = _READERS[store](systems, query)
        if as_json:
            print(json.dumps([dict(zip(answer.columns, row, strict=True)) for row in answer.rows], default=_json_value))
        elif as_csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(answer.columns)
            writer.writerows(answer.rows)
        else:
            print_rows(answer.columns, answer.rows)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
    """Print rows as a table, the first 200 at most."""
    table = Table()
    for number, column in enumerate(columns):
        is_number = bool(rows) and isinstance(rows[0][number], int | float | Decimal)
        table.add_column(column, justify="right" if is_number else "left")
    for row in rows[:_SHOWN_ROWS]:
        table.add_row(*("" if value is None else str(value) for value in row))
    if columns:
        out.print(table, markup=False)
    hidden = len(rows) - _SHOWN_ROWS
    out.print(f"{len(rows)} rows" + (f" ({hidden} not shown; use --csv or --json)" if hidden > 0 else ""))


def _read_postgres(dsn: str, query: str) -> Answer:
    from slackwater.clients.postgres import connect, translated

    with contextlib.closing(connect(dsn, autocommit=True)) as connection, translated():
        cursor = connection.execute(query.encode())
        if cursor.description is None:
            return Answer((), ())
        return Answer(
            tuple(column.name for column in cursor.description), tuple(tuple(row) for row in cursor.fetchall())
        )


def _read_shop(systems: Systems, query: str) -> Answer:
    return _read_postgres(systems.shop.dsn.get_secret_value(), query)


def _read_ledger(systems: Systems, query: str) -> Answer:
    return _read_postgres(systems.ledger.dsn.get_secret_value(), query)


def _read_warehouse(systems: Systems, query: str) -> Answer:
    from slackwater.clients.snowflake import Warehouse

    with Warehouse(systems.warehouse, query_tag="slackwater sql") as warehouse:
        names, rows = warehouse.select(query)
    return Answer(names, tuple(rows))


def _read_clickhouse(systems: Systems, query: str) -> Answer:
    from slackwater.clients.clickhouse import SpeedStore

    with SpeedStore(systems.clickhouse) as store:
        if re.match(r"\s*(select|with|show|describe|desc|explain|exists)\b", query, re.IGNORECASE):
            return _from_arrow(store.query(query))
        store.command(query)
        return Answer((), ())


def _read_lake(systems: Systems, query: str) -> Answer:
    try:
        import duckdb
    except ImportError as exc:
        raise ConfigurationError(
            "SQL over the lake needs DuckDB, which belongs to the embedded stack; in production ask your Iceberg engine"
        ) from exc
    from slackwater.clients.iceberg import Lake

    with contextlib.closing(Lake(systems.lake, systems.s3)) as lake, contextlib.closing(duckdb.connect()) as engine:
        engine.execute("create schema changes")
        for entity in ENTITIES:
            if re.search(rf"\b{re.escape(changelog_table(entity))}\b", query, re.IGNORECASE):
                engine.register(f"scan_{entity}", lake.scan(entity))
                engine.execute(f'create view {changelog_table(entity)} as select * from "scan_{entity}"')
        try:
            found = engine.execute(query)
            return Answer(tuple(column[0] for column in found.description or ()), tuple(found.fetchall()))
        except duckdb.Error as exc:
            raise StoreRejected(f"the lake's engine refused the statement: {exc}") from exc


def _from_arrow(table: pa.Table) -> Answer:
    columns: list[Sequence[Value]] = [column.to_pylist() for column in table.columns]
    rows: Iterator[tuple[Value, ...]] = zip(*columns, strict=True) if columns else iter(())
    return Answer(tuple(table.column_names), tuple(rows))


def _json_value(value: Value) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


_READERS: Mapping[Store, Callable[[Systems, str], Answer]] = {
    Store.SHOP: _read_shop,
    Store.LAKE: _read_lake,
    Store.WAREHOUSE: _read_warehouse,
    Store.CLICKHOUSE: _read_clickhouse,
    Store.LEDGER: _read_ledger,
}
