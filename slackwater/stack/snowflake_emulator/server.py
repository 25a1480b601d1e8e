"""The HTTP side: fakesnow's routes, with our login, health, cancellation and one answer per request id."""

import asyncio
import gzip
import json
import logging
import secrets
import time
from typing import Any

import fakesnow.server as upstream
from fakesnow.expr import normalise_ident
from fakesnow.transforms import SERVER_VERSION
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from slackwater.stack.snowflake_emulator.engine import EmulatedSnowflake
from slackwater.stack.snowflake_emulator.parsing import parse_to_hand_on
from slackwater.stack.snowflake_emulator.request_guard import RequestGuard, session_token
from slackwater.stack.snowflake_emulator.session import EmulatedSession

logger = logging.getLogger(__name__)

SESSION_IDLE_SECONDS = 4 * 3600.0
_KEPT_ROUTES = {
    "/session/heartbeat",
    "/queries/v1/query-request",
    "/fs_bucket/{path:path}",
    "/monitoring/queries/{sfqid}",
}


def build_app(account: EmulatedSnowflake) -> ASGIApp:
    """Return the ASGI application that serves `account`."""
    upstream.shared_fs = account
    upstream.parse_one = parse_to_hand_on  # type: ignore[assignment,attr-defined]  # it looks the function up by name
    upstream.sessions = account.sessions  # type: ignore[assignment]  # ours are subclasses
    own = [
        Route("/health", _health, methods=["GET"]),
        Route("/session/v1/login-request", _login(account), methods=["POST"]),
        Route("/session", _session(account), methods=["POST"]),
        Route("/queries/v1/abort-request", _abort(account), methods=["POST"]),
    ]
    kept = [route for route in upstream.routes if route.path in _KEPT_ROUTES]
    if len(kept) != len(_KEPT_ROUTES):
        raise RuntimeError("fakesnow changed its routes")
    return RequestGuard(Starlette(routes=[*own, *kept]), sessions=account.sessions)


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _login(account: EmulatedSnowflake) -> Any:
    async def login(request: Request) -> Response:
        """Open a session; any user and password pass, and what the client asked for is remembered."""
        body = await request.body()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        parameters = json.loads(body)["data"].get("SESSION_PARAMETERS") or {}
        query = request.query_params
        database, schema = (
            normalise_ident(name) if name else None for name in (query.get("databaseName"), query.get("schemaName"))
        )
        autocommit = parameters.get("AUTOCOMMIT", True)
        _forget_idle_sessions(account)
        session = await run_in_threadpool(account.connect, database, schema, autocommit=autocommit)
        session.query_tag = str(parameters.get("QUERY_TAG") or "")
        session.warehouse, session.role = _upper(query.get("warehouse")), _upper(query.get("roleName"))
        token = secrets.token_urlsafe(32)
        account.sessions[token] = session
        return JSONResponse({"data": _login_data(session, token, autocommit=autocommit), "success": True})

    return login


def _login_data(session: EmulatedSession, token: str, *, autocommit: bool) -> dict[str, object]:
    return {
        "token": token,
        "masterToken": token,
        "serverVersion": SERVER_VERSION,
        "parameters": [
            {"name": "AUTOCOMMIT", "value": autocommit},
            {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": 3600},
            {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0},  # arrays inline, no PUT
            {"name": "TIMEZONE", "value": "Etc/UTC"},
        ],
        "sessionInfo": {
            "databaseName": session.database,
            "schemaName": session.schema,
            "warehouseName": session.warehouse,
            "roleName": session.role,
        },
    }


def _session(account: EmulatedSnowflake) -> Any:
    async def session(request: Request) -> Response:
        """Close the session when `delete` is given: its open transaction is rolled back at once."""
        token = session_token(request.headers.get("Authorization"))
        if request.query_params.get("delete") and (closed := account.sessions.pop(token, None)) is not None:
            await run_in_threadpool(closed.close)
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    return session


def _abort(account: EmulatedSnowflake) -> Any:
    async def abort(request: Request) -> Response:
        """Interrupt the session's running statement."""
        session = account.sessions.get(session_token(request.headers.get("Authorization")))
        if session is not None:
            session.interrupt()
        return JSONResponse({"data": None, "success": session is not None})

    return abort


def _forget_idle_sessions(account: EmulatedSnowflake) -> None:
    limit = time.monotonic() - SESSION_IDLE_SECONDS
    for token, session in tuple(account.sessions.items()):
        if session.last_used < limit and account.sessions.pop(token, None) is not None:
            session.close()


def _upper(name: str | None) -> str | None:
    return normalise_ident(name) if name else None


async def roll_back_after_disconnect(account: EmulatedSnowflake, peer: tuple[str, int]) -> None:
    """Roll back the open transaction of the client whose TCP connection closed, unless it came back on another one.

    Otherwise a killed loader would hold its rows until the emulator restarts.
    """
    for session in [known for known in account.sessions.values() if known.peer == peer]:
        while session.peer == peer:
            await asyncio.sleep(session.options.disconnect_grace_seconds)
            if session.peer != peer:
                break
            session.roll_back_for("the client's connection was lost")
            if not session.is_busy:
                break
