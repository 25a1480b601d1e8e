"""A stack of the bench's own: free ports, a temporary folder, torn down with its data whatever happens."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.commands.waiting import Progress, wait_until_quiet
from slackwater.ledger.store import Ledger
from slackwater.settings import StackSettings
from slackwater.stack.control import start_stack, stop_stack
from slackwater.stack.environment import full_environment
from slackwater.stack.ports import find_free_port_base
from slackwater.stack.profile import Profile
from slackwater.stack.programs import SERVICES
from slackwater.stack.systems import Systems

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class BenchStack:
    """A running stack and what it took to start.

    Attributes:
        profile: The stack.
        systems: Its settings.
        start_seconds: Wall time until everything was healthy.
    """

    profile: Profile
    systems: Systems
    start_seconds: float

    @property
    def env(self) -> dict[str, str]:
        """Return the environment of a command of this stack's user."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLACKWATER_")}
        return kept | full_environment(self.profile) | {"PYTHONPATH": str(REPOSITORY)}

    def ledger(self) -> Ledger:
        """Open the ledger."""
        return Ledger(self.systems.ledger.dsn, lease_seconds=self.systems.ledger.lease_seconds)

    def store(self) -> ObjectStore:
        """Open the object store."""
        return ObjectStore(self.systems.s3)

    def settle(self, *, timeout_seconds: float) -> Progress:
        """Wait until nothing is in flight, from the landing bucket to the marts."""
        with self.ledger() as ledger:
            return wait_until_quiet(self.systems, ledger, timeout_seconds=timeout_seconds)

    def count_publications(self) -> int:
        """Return how often the marts were published."""
        with Warehouse(self.systems.warehouse, query_tag="bench") as warehouse:
            return int(str(warehouse.scalar("select count(*) from MARTS.PUBLICATION")))


@contextmanager
def bench_stack(*, services: Sequence[str] = SERVICES) -> Iterator[BenchStack]:
    """Start services in a new folder and remove them with their data afterwards."""
    # PostgreSQL may run as another account, which must be able to pass through the folder.
    folder = Path(tempfile.mkdtemp(prefix="slackwater-bench-"))
    folder.chmod(0o711)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = StackSettings(home=folder / "stack", port_base=find_free_port_base())
    try:
        report = start_stack(settings, services=services, project_dir=REPOSITORY)
        systems = Systems.from_environment(full_environment(report.profile))
        yield BenchStack(report.profile, systems, report.seconds)
    finally:
        stop_stack(settings.home, delete=True)
        shutil.rmtree(folder, ignore_errors=True)
