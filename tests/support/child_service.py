"""A service that a test starts as its own process, kills and starts again."""

import socket
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field

START_SECONDS = 60.0


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(kw_only=True)
class ChildService:
    """What such services share: a port of their own and how they are stopped."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def stop(self, with_signal: int) -> float:
        """Send a signal and return the seconds until the process was gone."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(with_signal)
        self.process.wait(timeout=15)
        return time.monotonic() - began
