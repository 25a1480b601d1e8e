"""Which loopback ports the services take, and whether they are free. No service is started here."""

import errno
import random
import socket
from collections.abc import Iterable, Mapping

from slackwater.errors import ConfigurationError

PORT_OFFSETS: Mapping[str, int] = {"prefect": 0, "postgres": 1, "ministack": 2, "snowflake": 3, "clickhouse": 4}
"""Port of a service = port base + offset. A contiguous block, so one setting moves the whole stack."""

LOOPBACK = "127.0.0.1"


def assign_ports(port_base: int) -> dict[str, int]:
    """Return the port of every service for a port base."""
    return {service: port_base + offset for service, offset in PORT_OFFSETS.items()}


def is_port_free(port: int) -> bool:
    """Tell whether a server could listen on the loopback port now.

    Raises:
        ConfigurationError: Listening on it is not permitted at all.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return False
            raise ConfigurationError(
                f"cannot listen on {LOOPBACK}:{port}: {exc.strerror}; "
                "set SLACKWATER_STACK_PORT_BASE to a port above 1024"
            ) from exc
    return True


def taken_ports(ports: Mapping[str, int], services: Iterable[str]) -> dict[str, int]:
    """Return those of the services' ports that something listens on already, by service."""
    return {service: ports[service] for service in services if service in ports and not is_port_free(ports[service])}


def find_free_port_base(*, low: int = 20_000, high: int = 32_000, attempts: int = 200) -> int:
    """Return a port base whose whole block is free now (for tests and second stacks).

    Args:
        low: Smallest base, inclusive.
        high: Greatest base, exclusive; below the kernel's ephemeral range.
        attempts: How many random blocks to try.

    Raises:
        ConfigurationError: No free block was found.
    """
    chooser = random.SystemRandom()
    for _ in range(attempts):
        base = chooser.randrange(low, high, 10)
        ports = assign_ports(base)
        if not taken_ports(ports, ports):
            return base
    raise ConfigurationError(f"no free block of {len(PORT_OFFSETS)} ports between {low} and {high}")
