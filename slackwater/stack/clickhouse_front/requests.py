"""One HTTP request as a query: parameters, settings, credentials and where its bytes come from."""

import base64
import binascii
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl

from slackwater.stack.clickhouse_front.body import FormPart
from slackwater.stack.clickhouse_front.engine import DEFAULT_SESSION_SECONDS
from slackwater.stack.clickhouse_front.failures import AUTHENTICATION_FAILED, BAD_ARGUMENTS, FrontFailure

_NOT_SETTINGS = {
    "query",
    "database",
    "default_format",
    "session_id",
    "session_timeout",
    "session_check",
    "query_id",
    "quota_key",
    "compress",
    "decompress",
    "user",
    "password",
    "role",
    "buffer_size",
    "wait_end_of_query",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "enable_http_compression",
    "cancel_http_readonly_queries_on_client_close",
}


@dataclass(frozen=True)
class ExternalTable:
    """A table sent along with a query, visible to it alone."""

    name: str
    structure: str
    format: str
    content: bytes


@dataclass(frozen=True)
class QueryRequest:
    """What a client asks, apart from the data of an insert."""

    query: str
    query_id: str
    database: str | None
    default_format: str
    session_id: str | None
    session_timeout_seconds: float
    must_session_exist: bool
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    external_tables: tuple[ExternalTable, ...]


def parse_request(url_query: str, form: tuple[FormPart, ...], *, header_format: str | None) -> QueryRequest:
    """Return the request in a URL's query string and a form's fields (fields win)."""
    fields = dict(parse_qsl(url_query, keep_blank_values=True))
    fields.update({part.name: part.content.decode() for part in form if not part.is_file})
    tables = tuple(_external_table(part, fields) for part in form if part.is_file)
    skipped = _NOT_SETTINGS | {f"{t.name}_{kind}" for t in tables for kind in ("structure", "types", "format")}
    return QueryRequest(
        query=fields.get("query", ""),
        query_id=fields.get("query_id") or str(uuid.uuid4()),
        database=fields.get("database") or None,
        default_format=header_format or fields.get("default_format") or "TabSeparated",
        session_id=fields.get("session_id") or None,
        session_timeout_seconds=float(fields.get("session_timeout") or DEFAULT_SESSION_SECONDS),
        must_session_exist=fields.get("session_check") == "1",
        settings={k: v for k, v in fields.items() if k not in skipped and not k.startswith("param_")},
        parameters={k.removeprefix("param_"): v for k, v in fields.items() if k.startswith("param_")},
        external_tables=tables,
    )


def _external_table(part: FormPart, fields: Mapping[str, str]) -> ExternalTable:
    structure = fields.get(f"{part.name}_structure")
    if structure is None and (types := fields.get(f"{part.name}_types")) is not None:
        structure = ", ".join(f"_{n} {kind}" for n, kind in enumerate(types.split(","), start=1))
    if structure is None:
        raise FrontFailure(BAD_ARGUMENTS, f"external table {part.name} has no structure")
    return ExternalTable(part.name, structure, fields.get(f"{part.name}_format") or "TabSeparated", part.content)


def check_credentials(headers: Mapping[str, str] | Message, url_query: str, *, user: str, password: str | None) -> None:
    """Compare the request's user and password, from whichever place a client puts them.

    Raises:
        FrontFailure: They are missing or wrong (code 516). Nothing is checked when `password` is None.
    """
    if password is None:
        return
    given_user, given_password = _credentials(headers, url_query)
    is_user = hmac.compare_digest(given_user.encode(), user.encode())
    is_password = hmac.compare_digest(given_password.encode(), password.encode())
    if not (is_user and is_password):
        raise FrontFailure(AUTHENTICATION_FAILED, f"{given_user}: Authentication failed: password is incorrect")


def _credentials(headers: Mapping[str, str] | Message, url_query: str) -> tuple[str, str]:
    if (key := headers.get("X-ClickHouse-Key")) is not None or headers.get("X-ClickHouse-User"):
        return headers.get("X-ClickHouse-User") or "default", key or ""
    kind, _, encoded = (headers.get("Authorization") or "").partition(" ")
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    fields = dict(parse_qsl(url_query, keep_blank_values=True))
    return fields.get("user") or "default", fields.get("password") or ""
