"""The HTTP server: threads with limits, credentials, and every failure as ClickHouse would word it."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from chdb.state.sqlitelike import Connection

from slackwater.stack.clickhouse_front.body import FormPart, decompress, parse_form, read_raw
from slackwater.stack.clickhouse_front.engine import Engine
from slackwater.stack.clickhouse_front.execution import Reply, execute
from slackwater.stack.clickhouse_front.failures import code_of, status_of
from slackwater.stack.clickhouse_front.options import FrontOptions
from slackwater.stack.clickhouse_front.requests import QueryRequest, check_credentials, parse_request

logger = logging.getLogger(__name__)


class FrontServer(ThreadingHTTPServer):
    """Server on 127.0.0.1 with a bounded number of connections and of queries at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Engine, options: FrontOptions) -> None:
        super().__init__(("127.0.0.1", options.port), FrontHandler)
        self.engine = engine
        self.options = options
        self.query_slots = threading.BoundedSemaphore(options.max_queries)
        self._connection_slots = threading.BoundedSemaphore(options.max_connections)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection in a thread, once there is room for it."""
        self._connection_slots.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve all requests of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connection_slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that went away."""
        logger.debug("connection %s of %s ended badly", request, client_address)

    def drain(self, timeout_seconds: float) -> bool:
        """Wait until no query runs; return whether that is so."""
        return all(self.query_slots.acquire(timeout=timeout_seconds) for _ in range(self.options.max_queries))


class FrontHandler(BaseHTTPRequestHandler):
    """One client connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: FrontServer

    def setup(self) -> None:
        """Close the connection when it is idle too long."""
        self.request.settimeout(self.server.options.idle_seconds)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Write no access log."""

    def do_GET(self) -> None:
        """Answer /ping, / and queries in the URL."""
        url = urlsplit(self.path)
        if url.path == "/ping" or (url.path == "/" and not url.query):
            self._send(200, b"Ok.\n", {})
        else:
            self.do_POST()

    def do_POST(self) -> None:
        """Run one statement."""
        body = self._body()
        try:
            url = urlsplit(self.path)
            check_credentials(
                self.headers, url.query, user=self.server.options.user, password=self.server.options.password
            )
            form, body = self._form(body)
            request = parse_request(url.query, form, header_format=self.headers.get("X-ClickHouse-Format"))
            with self.server.query_slots, self._connection_for(request) as connection:
                reply = execute(connection, request, body)
        except ConnectionError:
            self.close_connection = True
        except Exception as exc:  # noqa: BLE001  # the border: every failure becomes an answer with a code
            self._fail(exc, body)
        else:
            self._send(200, reply.content, _reply_headers(request, reply))

    def _connection_for(self, request: QueryRequest) -> AbstractContextManager[Connection]:
        engine = self.server.engine
        if request.session_id is None:
            return engine.connection(request.settings, database=request.database)
        return engine.session(
            request.session_id,
            request.settings,
            database=request.database,
            timeout_seconds=request.session_timeout_seconds,
            must_exist=request.must_session_exist,
        )

    def _body(self) -> Iterator[bytes]:
        encoding = (self.headers.get("Content-Encoding") or "").lower()
        return decompress(read_raw(self.rfile, self.headers), encoding)

    def _form(self, body: Iterator[bytes]) -> tuple[tuple[FormPart, ...], Iterator[bytes]]:
        content_type = self.headers.get("Content-Type") or ""
        if content_type.startswith("multipart/form-data"):
            return parse_form(content_type, b"".join(body)), iter(())
        return (), body

    def _fail(self, error: Exception, body: Iterator[bytes]) -> None:
        code = code_of(error)
        headers = {"X-ClickHouse-Exception-Code": str(code)}
        status = status_of(code)
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        try:
            for _ in body:  # the rest of the request must be read, or it would be taken for the next one
                pass
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True
        self._send(status, f"{error}\n".encode(errors="replace"), headers)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def _reply_headers(request: QueryRequest, reply: Reply) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "X-ClickHouse-Server-Display-Name": "slackwater-embedded",
        "X-ClickHouse-Query-Id": request.query_id,
        "X-ClickHouse-Timezone": "UTC",
        **reply.headers,
    }
