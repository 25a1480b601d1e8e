"""What people and programs are told of the completeness."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from slackwater.completeness.model import StoredClock, StoredDay
from slackwater.completeness.report import as_document, complete_up_to, headline, markdown_summary, summarize

FIRST = date(2010, 12, 1)
COUNTED_AT = datetime(2026, 1, 1, 8)  # noqa: DTZ001 - naive UTC as the warehouse keeps it
ROW = StoredDay(
    "orders", FIRST, None, 4, 4, 4, 4, None, 0, 0, 0, 4, Decimal("100.00"), True, "", COUNTED_AT, "r1"
)  # fmt: skip


def _row(number, entity="orders", **changed):
    is_final = not changed.get("reasons")
    return replace(ROW, day=FIRST + timedelta(days=number - 1), entity=entity, is_final=is_final, **changed)


def test_a_day_is_final_when_every_entity_is_and_its_percent_is_of_all_rows():
    rows = [_row(2), _row(1), _row(1, "users", published_rows=1, expected_rows=3, reasons="gone")]
    first, second = summarize(rows)
    assert (first.day, first.is_final, first.percent) == (FIRST, False, Decimal("71.42"))
    assert [row.entity for row in first.entities] == ["users", "orders"]
    assert (second.is_final, second.percent, second.reasons) == (True, Decimal("100.00"), "")


def test_entities_that_wait_for_the_same_are_named_together():
    rows = [_row(1, "users", reasons="open"), _row(1, reasons="gap; open"), _row(1, "products", reasons="open")]
    assert summarize(rows)[0].reasons == "users, products: open; orders: gap; open"


def test_complete_is_a_day_with_no_unfinished_one_before_it():
    days = summarize([_row(1), _row(2, reasons="gap"), _row(3)])
    assert complete_up_to(days) == FIRST
    assert headline(days) == "Complete up to 2010-12-01. The next day, 2010-12-02, waits: orders: gap."
    assert headline(summarize([_row(1)])) == "Complete up to 2010-12-01, the last day there is."
    assert headline(days[1:]) == "No day is complete yet; the first, 2010-12-02, waits: orders: gap."
    assert headline(()) == "Nothing has been counted yet."


def test_the_document_has_counts_as_numbers_and_percentages_as_text():
    days = summarize([_row(1, source_rows=4, published_rows=3, percent=Decimal("75.00"), reasons="gap")])
    found = json.loads(json.dumps(as_document(days, clock=StoredClock(COUNTED_AT, "r2"), up_to=None)))
    assert (found["computed_at"], found["refresh_id"], found["complete_up_to"]) == ("2026-01-01T08:00:00", "r2", None)
    (day,) = found["days"]
    assert (day["day"], day["is_final"], day["percent"]) == ("2010-12-01", False, "75.00")
    (entity,) = day["entities"]
    assert (entity["source_rows"], entity["published_rows"], entity["percent"]) == (4, 3, "75.00")
    assert (entity["clickhouse_rows"], entity["is_final"], entity["reasons"]) == (None, False, "gap")


def test_the_artifact_shows_the_last_days_newest_first_and_says_that_there_are_more():
    text = markdown_summary(summarize([*(_row(number) for number in range(1, 20)), _row(20, reasons="a | b")]))
    shown = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| 2010")]
    assert (len(shown), shown[0], shown[-1]) == (14, "| 2010-12-20", "| 2010-12-07")
    assert "orders: a \\| b" in text
    assert "The last 14 of 20 days" in text
