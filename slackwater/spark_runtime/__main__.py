"""`python -m slackwater.spark_runtime`: fetch what the Spark jobs need, once; `make setup` runs it.

Without a Java that runs Spark it says so and ends well: everything but the upkeep of the lake works without.
"""

import sys

from slackwater.errors import SlackwaterError, SparkMissing
from slackwater.settings import ProjectSettings, SparkSettings
from slackwater.spark_runtime.machine import prepare_machine


def main() -> int:
    """Fetch the jars that are missing; 1 when that failed."""
    try:
        prepare_machine(SparkSettings(), ProjectSettings(), say=lambda text: print(f"  {text}", flush=True))
    except SparkMissing as exc:
        print(f"The lake's upkeep will be skipped: {exc}")
    except SlackwaterError as exc:
        print(f"The Spark jars are not there yet: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
