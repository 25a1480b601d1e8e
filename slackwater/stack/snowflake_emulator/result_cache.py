"""The result cache of the emulator, bounded by bytes.

fakesnow keeps every result for RESULT_SCAN and asynchronous fetches in a plain dict, so memory grows with every query.
"""

import threading
from collections import OrderedDict
from typing import Any

DEFAULT_MAX_ENTRIES = 128
DEFAULT_MAX_BYTES = 64 * 2**20


class BoundedResultCache(OrderedDict[str, tuple[Any, ...]]):
    """A dict of results that forgets the oldest beyond a number of entries or bytes; the newest always stays."""

    def __init__(self, *, max_entries: int = DEFAULT_MAX_ENTRIES, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        super().__init__()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._guard = threading.RLock()

    def __setitem__(self, query_id: str, result: tuple[Any, ...]) -> None:
        """Keep one result (its first item is an Arrow table or None) and drop the oldest ones that no longer fit."""
        with self._guard:
            if query_id in self:
                del self[query_id]
            super().__setitem__(query_id, result)
            self._held_bytes += _size_bytes(result)
            while len(self) > 1 and (len(self) > self._max_entries or self._held_bytes > self._max_bytes):
                del self[next(iter(self))]

    def __delitem__(self, query_id: str) -> None:
        """Forget one result."""
        with self._guard:
            self._held_bytes -= _size_bytes(self[query_id])
            super().__delitem__(query_id)


def _size_bytes(result: tuple[Any, ...]) -> int:
    return int(result[0].nbytes) if result and result[0] is not None else 0
