"""When a whole mart is compared with its candidate, and which rows of it a refresh touches."""

from datetime import date, datetime, timedelta

import pytest

from slackwater.warehouse.marts import load_marts
from slackwater.warehouse.refresh import Refresh
from slackwater.warehouse.touched_rows import touched_rows
from slackwater.warehouse.whole_marts import is_in_doubt

NOW = datetime.fromisoformat("2010-12-09 12:00:00")
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("built_at", "compared_at", "expected"),
    [
        (None, None, True),
        (NOW - HOUR, None, True),
        (None, NOW - HOUR, False),
        (NOW - 2 * HOUR, NOW - HOUR, False),
        (NOW - HOUR, NOW - HOUR, True),
        (NOW - HOUR, NOW - 2 * HOUR, True),
        (None, NOW - 24 * HOUR, False),
        (None, NOW - 25 * HOUR, True),
    ],
    ids=["never", "never compared", "compared", "built before", "at once", "built since", "a day ago", "longer ago"],
)
def test_a_mart_is_in_doubt_until_it_was_compared_after_it_was_built(built_at, compared_at, expected):
    assert is_in_doubt(built_at, compared_at, now=NOW) is expected


def test_touched_rows_are_what_the_project_builds_by():
    refresh = Refresh("r'1", "core", {}, None, (), {}, date(2010, 12, 9))
    found = {mart.name: touched_rows(mart, refresh) for mart in load_marts() if mart.impact}
    assert set(found) == {"daily_business_metrics", "fct_order_lines", "order_fulfilment", "product_performance"}
    assert (
        found["fct_order_lines"]
        == "order_id in (select key_id from OPS.IMPACT where refresh_id = 'r''1' and scope = 'order')"
    )
    assert "date >= '2010-12-09'::date" in found["product_performance"]
    assert all("OPS.IMPACT where refresh_id = 'r''1'" in condition for condition in found.values())
