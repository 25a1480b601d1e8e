"""`python -m slackwater.spark_runtime`: fetch what the Spark jobs need, once; `make setup` runs it.

Without a Java that runs Spark it says so and ends well: everything but the upkeep of the lake works without.
"""

import os
import sys

from slackwater.errors import SlackwaterError, SparkMissing
from slackwater.settings import ProjectSettings, SparkSettings
from slackwater.spark_runtime.jars import ensure_jars
from slackwater.spark_runtime.java import find_java


def main() -> int:
    """Fetch the jars that are missing; 1 when that failed."""
    settings = SparkSettings()
    try:
        java = find_java(named_home=settings.java_home, cache_dir=settings.kept_dir, environment=os.environ)
        ensure_jars(
            ProjectSettings().jars_lock,
            settings.kept_dir / "jars",
            java=java,
            say=lambda text: print(f"  {text}", flush=True),
        )
    except SparkMissing as exc:
        print(f"The lake's upkeep will be skipped: {exc}")
    except SlackwaterError as exc:
        print(f"The Spark jars are not there yet: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
