"""Which tests go to the same worker of xdist: those that share what is dear to start."""

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

REPOSITORY = Path(__file__).resolve().parent.parent.parent


class ByStack(LoadScopeScheduling):
    """Keeps together what needs the whole system, what needs Spark, and the tests of one file."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path.startswith("tests/e2e/"):
            return "e2e"
        return "spark" if _uses_spark(path) else path


@cache
def _uses_spark(path: str) -> bool:
    return "pytest.mark.spark" in (REPOSITORY / path).read_text(encoding="utf-8")
