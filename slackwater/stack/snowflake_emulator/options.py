"""What the emulator can be told on its command line."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EmulatorOptions:
    """Everything one emulator process needs besides the S3 settings.

    Attributes:
        port: TCP port on 127.0.0.1.
        data_dir: Folder of databases, stages and spill files; one process may own it.
        memory_limit: DuckDB's limit, such as `512MB`; queries spill to disk above it.
        threads: DuckDB's worker threads.
        conflict_wait_seconds: How long a statement waits for a row another transaction holds.
        idle_transaction_seconds: An open transaction idle for so long is rolled back when it blocks somebody.
        disconnect_grace_seconds: An open transaction is rolled back so long after its client's connection closed.
    """

    port: int
    data_dir: Path
    memory_limit: str = "512MB"
    threads: int = 2
    conflict_wait_seconds: float = 10.0
    idle_transaction_seconds: float = 60.0
    disconnect_grace_seconds: float = 2.0

    @property
    def databases_dir(self) -> Path:
        """Folder with one DuckDB file per Snowflake database."""
        return self.data_dir / "databases"

    @property
    def account_file(self) -> Path:
        """DuckDB file of what spans databases: stages, file formats, comments, text lengths."""
        return self.data_dir / "account.db"

    @property
    def stages_dir(self) -> Path:
        """Folder of the files that were PUT to internal stages."""
        return self.data_dir / "stages"

    @property
    def spill_dir(self) -> Path:
        """Folder DuckDB spills to when a query exceeds the memory limit."""
        return self.data_dir / "spill"


def parse_options(argv: list[str] | None = None) -> EmulatorOptions:
    """Return the options in `argv` (default: the process's own arguments)."""
    parser = argparse.ArgumentParser(prog="slackwater.stack.snowflake_emulator", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--memory-limit", default=EmulatorOptions.memory_limit)
    parser.add_argument("--threads", type=int, default=EmulatorOptions.threads)
    parser.add_argument("--conflict-wait-seconds", type=float, default=EmulatorOptions.conflict_wait_seconds)
    parser.add_argument("--idle-transaction-seconds", type=float, default=EmulatorOptions.idle_transaction_seconds)
    parser.add_argument("--disconnect-grace-seconds", type=float, default=EmulatorOptions.disconnect_grace_seconds)
    given = parser.parse_args(argv)
    return EmulatorOptions(
        port=given.port,
        data_dir=given.data.resolve(),
        memory_limit=given.memory_limit,
        threads=given.threads,
        conflict_wait_seconds=given.conflict_wait_seconds,
        idle_transaction_seconds=given.idle_transaction_seconds,
        disconnect_grace_seconds=given.disconnect_grace_seconds,
    )
