"""What the front can be told on its command line."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FrontOptions:
    """Everything one front process needs.

    Attributes:
        port: TCP port on 127.0.0.1.
        data_dir: Folder of the chDB database; one process may own it.
        user: The only user; checked with the password.
        password: Password to check, or None to accept everybody.
        max_memory_bytes: Engine-wide memory limit; a query above it fails with code 241.
        max_threads: Threads of one query.
        max_queries: Queries that run at once; others wait their turn.
        max_connections: Client connections served at once; others wait in the backlog.
        idle_seconds: An idle keep-alive connection is closed after so long.
    """

    port: int
    data_dir: Path
    user: str = "default"
    password: str | None = None
    max_memory_bytes: int = 768 * 2**20
    max_threads: int = 2
    max_queries: int = 8
    max_connections: int = 128
    idle_seconds: float = 60.0


def parse_options(argv: list[str] | None = None) -> FrontOptions:
    """Return the options in `argv` (default: the process's own arguments)."""
    parser = argparse.ArgumentParser(prog="slackwater.stack.clickhouse_front", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--user", default=FrontOptions.user)
    parser.add_argument("--password-env", metavar="NAME", help="Environment variable that holds the password to check.")
    parser.add_argument("--max-memory-bytes", type=int, default=FrontOptions.max_memory_bytes)
    parser.add_argument("--max-threads", type=int, default=FrontOptions.max_threads)
    parser.add_argument("--max-queries", type=int, default=FrontOptions.max_queries)
    given = parser.parse_args(argv)
    password = None
    if given.password_env:
        password = os.environ.get(given.password_env)
        if password is None:
            parser.error(f"environment variable {given.password_env} is not set")
    return FrontOptions(
        port=given.port,
        data_dir=given.data.resolve(),
        user=given.user,
        password=password,
        max_memory_bytes=given.max_memory_bytes,
        max_threads=given.max_threads,
        max_queries=given.max_queries,
    )
