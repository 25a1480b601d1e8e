"""How a day and a whole story are told."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from explain_facts import (
    NOW,
    a_trail,
    published,
    rejected,
    step,
)
from rich.text import Text

from slackwater.explain.assemble_day import DayFacts, day_story
from slackwater.explain.facts import DayInSpeed, DayPart, DayRow
from slackwater.explain.model import Chapter, Mark, Step, StepKind, Story, as_json
from slackwater.explain.render import render


def a_day(**changed) -> DayFacts:
    parts = [
        DayPart("orders", "batch", "object1", "small.parquet", 2),
        DayPart("orders", "batch", "object2", "large.parquet", 80),
        DayPart("users", "other", "object3", "users.parquet", 9),
    ]
    day_row = DayRow(date(2010, 12, 6), "pub1", (("total_orders", 82), ("total_revenue", Decimal("1234.50"))))
    seen = {"object2": NOW}
    made = DayFacts(
        day_row.day, day_row, parts, {"batch": a_trail()}, (published(),), first_seen=seen, speed=DayInSpeed(82, NOW)
    )
    return replace(made, **changed)


def test_a_day_tells_its_files_the_largest_first_and_its_customers_apart() -> None:
    story = day_story(a_day())
    files = step(story, StepKind.OBJECT)
    assert (files.what, files.id, files.at) == ("82 orders in 2 files, the largest share first", "object2", NOW)
    assert "object1 small.parquet (2 rows)" in str(files.detail)
    assert [chapter.title for chapter in story.chapters][1] == "Customers and products the row reads"
    assert step(story, StepKind.OBJECT, chapter=1).what == "9 users in one file"
    assert story.answer == "Published: 82 orders, revenue 1234.50; last written by pub1."


def test_a_day_names_what_may_still_change_it() -> None:
    story = day_story(a_day(waiting=[a_trail(rejected(1))], unloaded={"orders": 2}, quarantined={"order_items": 1}))
    assert story.missing == (
        "Batch batch of orders changes this day and is not published: its last refresh was rejected.",
        "2 batches of orders not loaded yet; whether they change this day shows then.",
        "1 file of order_items in quarantine: changes in them are not seen here (slackwater quarantine list).",
    )


def test_a_day_tells_later_publications_that_left_it_and_a_last_refresh_that_was_rejected() -> None:
    told = day_story(a_day(refreshes=(published(1), published(2), rejected(3)))).chapters[0].steps
    left = next(one for one in told if "left this row as it is" in one.what)
    assert (left.id, left.what) == ("pub2", "1 later publication left this row as it is")
    assert [one.id for one in told if one.kind is StepKind.REFRESH] == ["refresh1", "refresh3"]


# rendering


def lines(story: Story, *, is_all: bool = False) -> list[str]:
    return [line.plain if isinstance(line, Text) else line for line in render(story, is_all=is_all)]


A_STORY = Story(
    "orders 7",
    "Published.",
    (
        Chapter(
            "Version 2 of 2",
            (
                Step(StepKind.LOAD, Mark.DONE, "93 rows", "RAW.ORDERS", "query-1", NOW, (("rows", 1234),)),
                Step(StepKind.REFRESH, Mark.WAITING, "loaded, waits for a refresh", "the ledger"),
            ),
        ),
        Chapter("Version 1 of 2", ()),
    ),
    missing=("Version 2 is not published.",),
    notes=("ClickHouse did not answer: down",),
)


def test_a_story_reads_as_numbered_lines_with_ids_below_and_what_is_missing_first() -> None:
    assert lines(A_STORY) == [
        "orders 7",
        "Published.",
        "missing: Version 2 is not published.",
        "note: ClickHouse did not answer: down",
        "",
        "Version 2 of 2",
        "  1 ok    2026-03-01 09:00:00  load        93 rows",
        "          query-1  RAW.ORDERS",
        "          rows 1,234",
        "  2 waits -------------------  refresh     loaded, waits for a refresh",
        "          the ledger",
        "",
        "1 more: --all shows it.",
    ]


def test_all_versions_are_shown_on_request() -> None:
    assert "Version 1 of 2" in lines(A_STORY, is_all=True)
    assert "1 more: --all shows it." not in lines(A_STORY, is_all=True)


def test_the_json_form_holds_every_chapter_with_plain_values() -> None:
    told = as_json(A_STORY)
    assert [chapter["title"] for chapter in told["chapters"]] == ["Version 2 of 2", "Version 1 of 2"]  # type: ignore[index,union-attr,call-overload]
    assert told["chapters"][0]["steps"][0] == {  # type: ignore[index,call-overload]
        "kind": "load",
        "mark": "done",
        "what": "93 rows",
        "where": "RAW.ORDERS",
        "id": "query-1",
        "at": "2026-03-01T09:00:00+00:00",
        "detail": {"rows": 1234},
    }
