"""Comparing the sides: exact, named by day, metric and values."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from slackwater.errors import ReconciliationFailed
from slackwater.reconciliation.compare import Cause, PartitionCoverage, compare_days
from slackwater.reconciliation.report import html_report, json_report, markdown_summary, write_reports
from slackwater.reconciliation.results import ReconciliationReport
from slackwater.reconciliation.run import require_equal

DAY = date(2010, 12, 1)
METRICS = ("total_orders", "total_revenue")
SIDE = {DAY: {"total_orders": Decimal(3), "total_revenue": Decimal("18.05")}}
WHOLE = PartitionCoverage("orders", "shop.orders+0", 9, 10, 10, 9, 0, 0)


def _side(**changed: str):
    return {DAY: SIDE[DAY] | {name: Decimal(value) for name, value in changed.items()}}


def _report(tmp_path: Path, **changed) -> ReconciliationReport:
    report = ReconciliationReport(
        report_id="r1",
        compared_at=datetime(2026, 1, 1, tzinfo=UTC),
        frontier={("orders", "shop.orders+0"): 9},
        days=(DAY,),
        metrics=METRICS,
        differences=(),
        coverage=(WHOLE,),
        marts_note="",
        html=tmp_path / "reconciliation" / "r1.html",
        json=tmp_path / "reconciliation" / "r1.json",
    )
    return replace(report, **changed)


def _differences(**changed: str):
    return compare_days(METRICS, clickhouse=_side(**changed), snowflake=SIDE, marts=None)


def test_equal_sides_have_no_difference():
    assert compare_days(METRICS, clickhouse=SIDE, snowflake=SIDE, marts=SIDE) == ()


def test_one_cent_is_a_difference_that_names_day_metric_and_both_values():
    (found,) = _differences(total_revenue="18.04")
    assert str(found) == "2010-12-01 total_revenue: ClickHouse 18.04, Snowflake 18.05"


def test_scale_alone_is_no_difference():
    assert _differences(total_revenue="18.050") == ()


def test_day_that_only_one_side_has_differs_in_every_metric():
    found = compare_days(METRICS, clickhouse={}, snowflake=SIDE, marts=None)
    assert [(d.metric, d.clickhouse, d.snowflake) for d in found] == [
        ("total_orders", None, Decimal(3)),
        ("total_revenue", None, Decimal("18.05")),
    ]
    assert "ClickHouse no such day" in str(found[0])


def test_published_mart_that_differs_from_raw_is_named_though_both_stores_agree():
    (found,) = compare_days(METRICS, clickhouse=SIDE, snowflake=SIDE, marts=_side(total_orders="4"))
    assert (found.metric, found.clickhouse, found.snowflake, found.marts) == (
        "total_orders",
        Decimal(3),
        Decimal(3),
        Decimal(4),
    )


def test_mart_without_a_day_of_raw_is_a_difference():
    assert len(compare_days(METRICS, clickhouse=SIDE, snowflake=SIDE, marts={})) == len(METRICS)


@pytest.mark.parametrize(
    ("coverage", "cause"),
    [
        (WHOLE, Cause.UNKNOWN),
        (replace(WHOLE, clickhouse_rows=9), Cause.UNKNOWN),
        (replace(WHOLE, clickhouse_rows=7, clickhouse_last=6), Cause.IN_FLIGHT),
        (replace(WHOLE, clickhouse_rows=0, clickhouse_last=None), Cause.IN_FLIGHT),
    ],
    ids=["nothing missing", "a row in the middle missing", "the end missing", "everything missing"],
)
def test_only_a_feed_that_ends_early_is_in_flight(coverage, cause):
    (found,) = compare_days(
        METRICS, clickhouse=_side(total_orders="2"), snowflake=SIDE, marts=None, coverage=[coverage]
    )
    assert found.cause is cause


def test_missing_row_that_changes_no_metric_is_still_not_equal(tmp_path):
    report = _report(tmp_path, coverage=(replace(WHOLE, clickhouse_rows=9),))
    assert not report.is_equal
    assert "shop.orders+0: up to position 9 ClickHouse holds 9 rows, Snowflake 10" in report.summary


def test_rows_beyond_the_frontier_are_in_flight_and_not_a_difference(tmp_path):
    report = _report(tmp_path, coverage=(replace(WHOLE, clickhouse_beyond=5, snowflake_beyond=2),))
    assert report.is_equal
    assert report.in_flight == 5
    assert "5 changes are in flight" in report.headline


def test_failure_names_the_first_differences_and_the_report(tmp_path):
    report = _report(tmp_path, differences=_differences(total_orders="2"))
    with pytest.raises(ReconciliationFailed, match=r"2010-12-01 total_orders: ClickHouse 2, Snowflake 3") as caught:
        require_equal(report)
    assert str(report.html) in str(caught.value)


def test_equal_report_raises_nothing(tmp_path):
    report = _report(tmp_path)
    require_equal(report)
    assert report.is_equal


def test_nothing_published_is_said_and_not_called_equal_values(tmp_path):
    report = _report(tmp_path, frontier={}, days=(), coverage=())
    assert report.headline == "Nothing to compare: nothing is published yet"


def test_reports_hold_numbers_as_exact_text_and_replace_the_latest(tmp_path):
    report = _report(tmp_path, differences=_differences(total_revenue="18.04"))
    write_reports(report)
    data = json.loads((tmp_path / "reconciliation" / "latest.json").read_text(encoding="utf-8"))
    assert data == json.loads(json_report(report))
    assert (data["differences"][0]["clickhouse"], data["differences"][0]["snowflake"]) == ("18.04", "18.05")
    page = (tmp_path / "reconciliation" / "latest.html").read_text(encoding="utf-8")
    assert page == html_report(report)
    assert "18.04" in page
    assert "Different: 1 of 2 values" in page


def test_markdown_summary_names_the_difference(tmp_path):
    text = markdown_summary(_report(tmp_path, differences=_differences(total_revenue="18.04")))
    assert "| 2010-12-01 | total\\_revenue | 18.04 | 18.05 | - | unknown |" in text
