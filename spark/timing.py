"""How long the parts of a job took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the wall time of the enclosed block to a part's."""
    begin = time.monotonic()
    try:
        yield
    finally:
        seconds[part] = round(seconds.get(part, 0.0) + time.monotonic() - begin, 3)
