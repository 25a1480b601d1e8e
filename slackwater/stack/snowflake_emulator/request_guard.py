"""What stands before every query request: one run per request id, and no HTTP 500.

The connector repeats a request after 60 s without an answer, with the same request id; without this the statement would
run twice. It also repeats after HTTP 500, for minutes; so a defect becomes a normal SQL error.
"""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slackwater.stack.snowflake_emulator import answers
from slackwater.stack.snowflake_emulator.session import EmulatedSession

logger = logging.getLogger(__name__)

KEPT_ANSWERS = 16
MAX_KEPT_BYTES = 4 * 2**20


def session_token(authorization: str | None) -> str:
    """Return the token in `Snowflake Token="..."`, or an empty string."""
    return authorization.partition('"')[2].rstrip('"') if authorization else ""


@dataclass(frozen=True)
class Answer:
    """One finished HTTP response."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class RequestGuard:
    """ASGI wrapper around the application; only query requests are touched."""

    def __init__(self, app: ASGIApp, *, sessions: Mapping[str, EmulatedSession]) -> None:
        self._app = app
        self._sessions = sessions
        self._answers: OrderedDict[str, asyncio.Task[Answer]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != "/queries/v1/query-request":
            await self._app(scope, receive, send)
            return
        token = session_token(Headers(scope=scope).get("authorization"))
        if session := self._sessions.get(token):
            session.peer = scope["client"]
        key = token + parse_qs(scope["query_string"].decode()).get("requestId", [""])[0]
        task = self._answers.get(key)
        if task is None:
            task = asyncio.create_task(self._run(scope, await _body(receive)))
            self._answers[key] = task
            self._forget_oldest()
        answer = await asyncio.shield(task)  # the client's disconnect must not cancel what already runs
        if len(answer.body) > MAX_KEPT_BYTES:
            self._answers.pop(key, None)
        await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})
        await send({"type": "http.response.body", "body": answer.body})

    def _forget_oldest(self) -> None:
        finished = [key for key, task in self._answers.items() if task.done()]
        for key in finished[: max(0, len(finished) - KEPT_ANSWERS)]:
            del self._answers[key]

    async def _run(self, scope: Scope, body: bytes) -> Answer:
        parts: list[bytes] = []
        start: Message = {"status": 500, "headers": []}

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                parts.append(message.get("body", b""))

        try:
            await self._app(scope, receive, send)
        except Exception:  # the border: the client must get an answer it does not repeat
            logger.exception("request failed")
        content = b"".join(parts)
        if start["status"] >= 500:
            return _as_sql_error(content)
        return Answer(start["status"], tuple((bytes(k), bytes(v)) for k, v in start["headers"]), content)


def _as_sql_error(content: bytes) -> Answer:
    """Return a failed statement instead of a server error."""
    try:
        message = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        message = content[:500].decode("utf-8", "replace")
    code = f"{answers.ERRNO_INTERNAL:06d}"
    body = json.dumps(
        {
            "data": {"errorCode": code, "sqlState": "XX000"},
            "code": code,
            "message": f"Snowflake emulator failed: {message[:1500]}",
            "success": False,
        }
    ).encode()
    headers = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    return Answer(200, headers, body)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)
