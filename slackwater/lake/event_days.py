"""Counts the rows of changelog tables per object and event day. Pure."""

from collections import defaultdict
from datetime import date

import pyarrow as pa

from slackwater.ledger.object_days import ObjectDays

OBJECT_DAY_COLUMNS = ("_object_id", "date")
"""The changelog columns the count needs."""


def rows_per_object_day(rows: pa.Table) -> ObjectDays:
    """Return how many rows of which event day each object has.

    Args:
        rows: Changelog rows with `OBJECT_DAY_COLUMNS`, in any order; further columns are ignored.
    """
    counted = rows.select(OBJECT_DAY_COLUMNS).group_by(list(OBJECT_DAY_COLUMNS)).aggregate([([], "count_all")])
    found: dict[str, dict[date, int]] = defaultdict(dict)
    for row in counted.to_pylist():
        found[row["_object_id"]][row["date"]] = row["count_all"]
    return dict(found)
