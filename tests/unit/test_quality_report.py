"""The gate's report: readable, self-contained, safe."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from slackwater.quality.report import html_report, markdown_summary, report_link, write_reports
from slackwater.quality.results import Acceptance, CheckResult, FailingRow, GateVerdict, Layer, Outcome, Severity

CHECK = CheckResult("id is filled", Layer.RAW, "RAW.ORDERS", "ID", Outcome.PASSED, Severity.ERROR, "0", "= 0", "")
BAD = replace(
    CHECK,
    name="amount is <b>not</b> negative",
    layer=Layer.STAGING,
    dataset="STAGING.STG_ORDERS",
    outcome=Outcome.FAILED,
    measured="30",
    threshold="<= 1 | percent",
    message="3 of 10 rows",
    failing_rows=(FailingRow("17", "batch-1", "cdc/orders/date=2010-12-01/a b.parquet"),),
)

DECISION = Acceptance(
    "a1",
    BAD.dataset,
    BAD.name,
    "r0",
    "30",
    "finance <knows>",
    "cli:ada",
    datetime(2026, 1, 1, tzinfo=UTC),
    date(2026, 2, 1),
)


@pytest.fixture
def rejected(tmp_path) -> GateVerdict:
    return GateVerdict(
        refresh_id="r1",
        is_passed=False,
        reasons=("STAGING.STG_ORDERS: amounts are negative",),
        checks=(CHECK, BAD),
        checked_at=datetime(2026, 1, 1, tzinfo=UTC),
        report_html=tmp_path / "scans" / "r1.html",
        report_json=tmp_path / "scans" / "r1.json",
    )


def test_page_says_the_verdict_first_and_names_failing_keys_with_their_file(rejected):
    page = html_report(rejected)
    assert (
        page.index("Rejected: marts are unchanged") < page.index("RAW.ORDERS") < page.index("STAGING.STG_ORDERS</code>")
    )
    for shown in ("<code>17</code>", "<code>batch-1</code>", "cdc/orders/date=2010-12-01/a b.parquet"):
        assert shown in page


def test_page_says_who_acts_how_and_what_was_accepted_until_when(rejected):
    told = replace(BAD, owner="shop", remedy="Correct it in the shop.")
    page = html_report(replace(rejected, checks=(CHECK, told)))
    assert "<b>shop:</b> Correct it in the shop." in page
    assert "<small>rejects</small>" in page

    accepted = replace(told, acceptance=DECISION)
    page = html_report(replace(rejected, is_passed=True, reasons=(), checks=(CHECK, accepted)))
    assert "failed and does not reject: accepted by cli:ada on 2026-01-01" in page
    assert "until 2026-02-01: finance &lt;knows&gt;" in page
    assert "<small>rejects</small>" not in page


def test_page_shows_the_first_keys_and_says_how_many_there_are(rejected):
    many = replace(BAD, failing_rows=tuple(FailingRow(f"key-{number}") for number in range(50)))
    page = html_report(replace(rejected, checks=(CHECK, many)))
    assert "50 failing keys, the first 20 shown" in page
    assert "key-19<" in page
    assert "key-20<" not in page


def test_page_escapes_what_comes_from_outside(rejected):
    page = html_report(rejected)
    assert "<b>not</b>" not in page
    assert "amount is &lt;b&gt;not&lt;/b&gt; negative" in page


def test_page_needs_nothing_from_elsewhere(rejected):
    page = html_report(rejected)
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_page_of_a_passed_refresh_says_so(rejected):
    page = html_report(replace(rejected, is_passed=True, reasons=(), checks=(CHECK,)))
    assert "Passed: may be published" in page
    assert "Rejected" not in page


def test_json_holds_every_check_and_latest_is_replaced(rejected):
    write_reports(rejected)
    write_reports(replace(rejected, refresh_id="r2", report_json=rejected.report_json.with_name("r2.json")))
    folder = rejected.report_json.parent
    assert json.loads((folder / "latest.json").read_text())["refresh_id"] == "r2"
    stored = json.loads((folder / "r1.json").read_text())
    assert stored["is_passed"] is False
    assert stored["counts"] == {"failed": 1, "passed": 1}
    assert stored["checks"][1]["failing_rows"] == [
        {"key": "17", "batch_id": "batch-1", "file_name": "cdc/orders/date=2010-12-01/a b.parquet"}
    ]
    assert not list(folder.glob("*.part"))


def test_summary_lists_what_did_not_pass_and_keeps_its_table_whole(rejected):
    text = markdown_summary(rejected)
    assert text.startswith("## Refresh r1: REJECTED")
    assert "1 failed, 1 passed" in text
    rows = [line for line in text.splitlines() if "STG\\_ORDERS" in line]
    assert len(rows) == 1
    assert "\\<b\\>" in rows[0]
    assert "<= 1 \\| percent".replace("<", "\\<") in rows[0]
    assert "RAW.ORDERS" not in text


def test_summary_says_what_was_accepted(rejected):
    text = markdown_summary(replace(rejected, is_passed=True, reasons=(), checks=(replace(BAD, acceptance=DECISION),)))
    assert "1 accepted" in text
    assert "failed, accepted by cli:ada" in text


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("", "file:///reports/scans/r%201.html"),
        ("https://reports.example/", "https://reports.example/scans/r%201.html"),
    ],
)
def test_link_leads_to_where_the_folder_is_served_or_to_the_file(url, link):
    page = Path("/reports/scans/r 1.html")
    assert report_link(page, reports_dir=Path("/reports"), reports_url=url) == link
