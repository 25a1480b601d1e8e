"""Running one request on a chDB connection: a streamed insert, or a query whose result is returned whole."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from chdb.state.sqlitelike import Connection, InsertResult

from slackwater.stack.clickhouse_front.failures import NOT_IMPLEMENTED, FrontFailure
from slackwater.stack.clickhouse_front.requests import ExternalTable, QueryRequest
from slackwater.stack.clickhouse_front.statements import (
    InsertHead,
    NeedMoreBytes,
    find_insert_head,
    output_format,
    refusal,
)

_RETURNS_ROWS = re.compile(
    r"(?is)^(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS|CHECK)\b"
)


class Inserter(Protocol):
    """What the engine gives for a streamed insert; its own class is not typed."""

    def append(self, data: bytes) -> None:
        """Hand over the next bytes of data."""

    def finish(self) -> InsertResult:
        """Store the rows and return their number."""

    def close(self) -> None:
        """Give up; nothing is stored."""


@dataclass(frozen=True)
class Reply:
    """A successful answer."""

    content: bytes
    headers: Mapping[str, str]


def execute(connection: Connection, request: QueryRequest, body: Iterator[bytes]) -> Reply:
    """Run the request's statement; an INSERT's data is streamed into the engine as it arrives.

    Returns:
        The reply; for an INSERT it is made only after the engine has stored the rows.

    Raises:
        FrontFailure: The statement is refused.
        chdb.ChdbError: The engine refuses or fails.
    """
    began = time.monotonic()
    head, seen = _read_head(request.query, body)
    if head is not None:
        return _insert(connection, head, seen[head.data_offset :], body, began=began)
    text = (seen + b"".join(body)).strip(b"\n").decode("utf-8", "surrogateescape")
    if reason := refusal(text):
        raise FrontFailure(NOT_IMPLEMENTED, reason)
    for table in request.external_tables:
        _create_external(connection, table)
    try:
        return _query(connection, text, request, began=began)
    finally:
        for table in request.external_tables:
            connection.query(f"DROP TEMPORARY TABLE IF EXISTS `{table.name}`")


def _read_head(query: str, body: Iterator[bytes]) -> tuple[InsertHead | None, bytes]:
    """Read as much of the body as it takes to know whether this is an INSERT with data."""
    seen = query.encode("utf-8", "surrogateescape") + (b"\n" if query else b"")
    while True:
        try:
            return find_insert_head(seen, is_complete=False), seen
        except NeedMoreBytes:
            more = next(body, None)
        if more is None:
            return find_insert_head(seen, is_complete=True), seen
        seen += more


def _insert(connection: Connection, head: InsertHead, first: bytes, body: Iterator[bytes], *, began: float) -> Reply:
    inserter: Inserter = connection.send_insert(head.sql, head.format)
    try:
        if first:
            inserter.append(first)
        for piece in body:
            if piece:
                inserter.append(piece)
        result = inserter.finish()
    except BaseException:
        inserter.close()
        raise
    return Reply(b"", {"X-ClickHouse-Summary": _summary(began, written=(result.rows_written, result.bytes_written))})


def _query(connection: Connection, text: str, request: QueryRequest, *, began: float) -> Reply:
    result_format = output_format(text) or request.default_format
    result = connection.query(text, result_format, params=dict(request.parameters))
    content = result.bytes() if result.size() else b""
    headers = {
        "X-ClickHouse-Summary": _summary(
            began,
            read=(result.storage_rows_read(), result.storage_bytes_read()),
            written=(result.rows_written(), result.bytes_written()),
        )
    }
    if content or _RETURNS_ROWS.match(text):
        headers["X-ClickHouse-Format"] = result_format
    return Reply(content, headers)


def _create_external(connection: Connection, table: ExternalTable) -> None:
    connection.query(f"CREATE TEMPORARY TABLE `{table.name}` ({table.structure})")
    inserter: Inserter = connection.send_insert(f"INSERT INTO `{table.name}`", table.format)
    try:
        inserter.append(table.content)
        inserter.finish()
    except BaseException:
        inserter.close()
        raise


def _summary(began: float, *, read: tuple[int, int] = (0, 0), written: tuple[int, int] = (0, 0)) -> str:
    figures = {
        "read_rows": read[0],
        "read_bytes": read[1],
        "written_rows": written[0],
        "written_bytes": written[1],
        "total_rows_to_read": 0,
        "result_rows": 0,
        "result_bytes": 0,
        "elapsed_ns": int((time.monotonic() - began) * 1e9),
    }
    return json.dumps({name: str(value) for name, value in figures.items()})
