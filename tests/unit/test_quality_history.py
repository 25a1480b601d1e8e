"""The last scans side by side, their pictures, and the report for build servers."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from slackwater.quality.history import Point, build_history
from slackwater.quality.junit import junit_report
from slackwater.quality.report import html_index, write_reports
from slackwater.quality.results import Acceptance, CheckResult, FailingRow, GateVerdict, Layer, Outcome, Severity
from slackwater.quality.sparkline import sparkline
from slackwater.quality.stored import StoredScan

AT = datetime(2026, 1, 30, 8, tzinfo=UTC)
GOOD = CheckResult("volume", Layer.RAW, "RAW.ORDERS", "", Outcome.PASSED, Severity.ERROR, "0", "= 0", "")
LAYERS = tuple(replace(GOOD, name="schema", layer=layer, measured="") for layer in Layer)
DECISION = Acceptance("a1", "RAW.ORDERS", "volume", "r1", "5", "known", "cli:ada", AT, date(2026, 2, 1))
FAILED = replace(
    GOOD,
    outcome=Outcome.FAILED,
    measured="5",
    message="5 rows too many <&\x00>",
    owner="ingestion",
    remedy="Load it again.",
    failing_rows=(FailingRow("7", "b1", "f1"),),
)


def _scans(*newest_first: CheckResult | None) -> list[StoredScan]:
    return [
        StoredScan(f"r{number}", AT - timedelta(hours=number), (*LAYERS, check) if check else LAYERS)
        for number, check in enumerate(newest_first)
    ]


def _verdict(*checks: CheckResult, folder: Path = Path()) -> GateVerdict:
    return GateVerdict("r0", False, (), checks, AT, folder / "r0.html", folder / "r0.json")


def test_trend_has_a_point_per_scan_oldest_first_and_a_gap_where_the_check_was_not():
    history = build_history(_scans(FAILED, None, replace(FAILED, acceptance=DECISION), GOOD))
    trend = next(one for one in history.trends if one.name == "volume")
    assert trend.points == (
        Point("passed", "0", Decimal(0)),
        Point("accepted", "5", Decimal(5)),
        Point("", "", None),
        Point("failed", "5", Decimal(5)),
    )
    assert (trend.trouble_count, trend.seen_count) == (2, 3)


def test_scan_is_told_with_its_verdict_and_worst_counts_first():
    history = build_history(_scans(FAILED, replace(FAILED, acceptance=DECISION), GOOD))
    assert [(scan.refresh_id, scan.is_passed) for scan in history.scans] == [("r0", False), ("r1", True), ("r2", True)]
    assert [list(scan.counts.items()) for scan in history.scans] == [
        [("failed", 1), ("passed", 3)],
        [("accepted", 1), ("passed", 3)],
        [("passed", 4)],
    ]


def test_what_fails_now_comes_first_then_what_failed_most():
    scans = _scans(GOOD, FAILED)
    scans[0] = replace(scans[0], checks=(*scans[0].checks, replace(FAILED, name="now")))
    assert [trend.name for trend in build_history(scans).trends] == ["now", "volume", "schema"]


@pytest.mark.parametrize("measured", ["", "many", "NaN", "Infinity"])
def test_what_is_no_number_is_no_number(measured):
    (trend,) = [one for one in build_history(_scans(replace(GOOD, measured=measured))).trends if one.name == "volume"]
    assert trend.points[0].value is None


def _drawn(*points: Point) -> ET.Element:
    return ET.fromstring(str(sparkline(points)))  # noqa: S314 - our own text


def test_picture_rises_with_the_number_and_ends_at_the_right_edge():
    picture = _drawn(*(Point("passed", "", Decimal(value)) for value in (0, 1, 3)))
    xs = [float(dot.attrib["cx"]) for dot in picture.iter("circle")]
    ys = [float(dot.attrib["cy"]) for dot in picture.iter("circle")]
    assert xs == [4.0, 90.0, 176.0]
    assert ys == [28.0, 20.0, 4.0]
    (path,) = picture.iter("path")
    assert path.attrib["d"] == "M4.0 28.0L90.0 20.0L176.0 4.0"


def test_picture_has_no_dot_for_a_scan_without_the_check_and_the_line_starts_anew_after_it():
    picture = _drawn(Point("passed", "1", Decimal(1)), Point("", "", None), Point("failed", "2", Decimal(2)))
    assert [dot.attrib["class"] for dot in picture.iter("circle")] == ["passed", "failed"]
    (path,) = picture.iter("path")
    assert path.attrib["d"].count("M") == 2


@pytest.mark.parametrize("values", [[], [None], [Decimal(0)], [Decimal(2), Decimal(2)]])
def test_picture_of_nothing_one_or_equal_numbers_can_be_drawn(values):
    points = [Point("passed", "", value) for value in values]
    assert len(list(_drawn(*points).iter("circle"))) == len(points)


def test_index_links_the_pages_that_are_there_and_needs_nothing_from_elsewhere():
    page = html_index(build_history(_scans(FAILED, GOOD)), pages={"r0"})
    assert 'href="r0.html"' in page
    assert 'href="r1.html"' not in page
    assert "The newest scan was rejected" in page
    assert not [word for word in ("http://", "https://", "<script", "<img", "url(") if word in page]


def test_files_of_a_scan_are_written_with_the_index_over_all(tmp_path):
    write_reports(_verdict(*LAYERS, FAILED, folder=tmp_path), _scans(FAILED, GOOD))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("index.html", "index.json", "latest.html", "latest.json", "latest.xml"),
        *("r0.html", "r0.json", "r0.xml"),
    ]
    assert 'href="r0.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_xml_says_for_every_check_what_a_build_server_has_to_know():
    accepted = replace(FAILED, name="accepted", acceptance=DECISION)
    unknown = replace(FAILED, name="unknown", outcome=Outcome.NOT_EVALUATED)
    flagged = replace(FAILED, name="flagged", outcome=Outcome.WARNED)
    other = replace(GOOD, dataset="RAW.USERS")

    text = junit_report(_verdict(GOOD, replace(FAILED, name="bad"), accepted, unknown, flagged, other))

    root = ET.fromstring(text)  # noqa: S314 - our own text

    assert root.attrib == {"name": "refresh r0", "tests": "6", "failures": "1", "errors": "1", "skipped": "1"}
    assert [suite.attrib["name"] for suite in root] == ["RAW.ORDERS", "RAW.USERS"]
    kinds = {case.attrib["name"]: [child.tag for child in case] for case in root.iter("testcase")}
    assert kinds == {
        "volume": [],
        "bad": ["failure"],
        "accepted": ["skipped"],
        "unknown": ["error"],
        "flagged": ["system-out"],
    }
    failure = next(root.iter("failure"))
    assert failure.attrib["message"] == "5 rows too many <&>"  # what XML cannot hold is left out, the rest escaped
    assert failure.text == "ingestion: Load it again.\n7 b1 f1"
