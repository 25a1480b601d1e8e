"""Has libraries believe that pandas is not installed: they would import it for functions nobody here calls.

The Snowflake driver imports it at once, PyArrow at the first timestamp that becomes a Python value: half a second of
CPU and 54 MB in every process.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType

_HIDDEN = "pandas"


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        if name == _HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


_FINDER = _Finder()


def hide_pandas() -> None:
    """Hide pandas until this process ends; does nothing to one that has been imported."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


@contextmanager
def hidden_pandas() -> Iterator[None]:
    """Hide pandas while the block runs."""
    was_hidden = _FINDER in sys.meta_path
    hide_pandas()
    try:
        yield
    finally:
        if not was_hidden:
            sys.meta_path.remove(_FINDER)
