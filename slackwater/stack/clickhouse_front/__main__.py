"""Process entry point of the ClickHouse front; supervised, stops within seconds on SIGTERM."""

import logging
import os
import signal
import sys
import threading

from slackwater.stack.clickhouse_front.engine import Engine
from slackwater.stack.clickhouse_front.options import parse_options
from slackwater.stack.clickhouse_front.server import FrontServer

DRAIN_SECONDS = 2.0


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    options = parse_options()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    server = FrontServer(Engine(options), options)
    stopping = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopping.set())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="accept", daemon=True).start()
    stopping.wait()
    server.shutdown()
    if server.drain(DRAIN_SECONDS):
        server.engine.close()
    sys.stdout.flush()
    os._exit(0)  # threads inside the engine must not outlive the interpreter's teardown


if __name__ == "__main__":
    main()
