"""Process entry point of the Snowflake emulator; supervised, stops within seconds on SIGTERM."""

import asyncio
import logging
import signal
import socket
import sys
import warnings

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from slackwater.settings import S3Settings
from slackwater.stack.snowflake_emulator.engine import EmulatedSnowflake, install_rewrites
from slackwater.stack.snowflake_emulator.options import EmulatorOptions, parse_options
from slackwater.stack.snowflake_emulator.server import build_app, roll_back_after_disconnect

logger = logging.getLogger("slackwater.snowflake_emulator")

KEEP_ALIVE_SECONDS = 3600
"""The server must not close idle connections itself: a closed one counts as a client that died."""


def main() -> None:
    """Serve until SIGTERM."""
    options = parse_options()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns at every statement it keeps as text
    logging.getLogger("fakesnow.server").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")  # how fakesnow fetches every result
    install_rewrites()
    account = EmulatedSnowflake(options)
    s3 = S3Settings()
    if s3.endpoint_url:
        account.register_s3(s3)
    serve(account, options)


def serve(account: EmulatedSnowflake, options: EmulatorOptions) -> None:
    """Serve `account` on 127.0.0.1 and close it at the end."""
    loop_tasks: set[asyncio.Task[None]] = set()

    class WatchedProtocol(H11Protocol):
        """HTTP protocol that tells when a client's connection closes."""

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self.client is not None and any(s.peer == self.client for s in account.sessions.values()):
                task = self.loop.create_task(roll_back_after_disconnect(account, self.client))
                loop_tasks.add(task)
                task.add_done_callback(loop_tasks.discard)

    config = uvicorn.Config(
        build_app(account),
        host="127.0.0.1",
        port=options.port,
        http=WatchedProtocol,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )

    class InterruptingServer(uvicorn.Server):
        """Server that stops running statements before it waits for their requests."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            account.interrupt_all()
            await super().shutdown(sockets)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            signum, lambda *_: None
        )  # uvicorn raises the signal again at its end; then we still have to close
    server = InterruptingServer(config)
    server.run()
    account.close()
    sys.exit(0 if server.started else 1)


if __name__ == "__main__":
    main()
