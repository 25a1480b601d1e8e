"""The gate's pages in a real browser, at phone and desk width: nothing sticks out, nothing is too small."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from slackwater.quality.report import write_reports
from slackwater.quality.results import (
    Acceptance,
    CheckResult,
    FailingRow,
    GateVerdict,
    Layer,
    Outcome,
    Severity,
)
from slackwater.quality.stored import StoredScan

pytestmark = pytest.mark.contract

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (390, 1280)
SMALLEST_TEXT_PX = 12
AT = datetime(2026, 1, 30, 8, tzinfo=UTC)
LONG_FILE = "cdc/order_items/date=2010-12-01/hour=08/shop.order_items+0+1201-1400.parquet"

MEASURE = """
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument, view = page.defaultView;
  for (const each of page.querySelectorAll("details")) each.open = true;
  const seen = [...page.body.querySelectorAll("*")].filter((each) => each.getClientRects().length);
  const texts = seen.filter((each) => [...each.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  document.title = JSON.stringify({
    width: view.innerWidth,
    page: page.documentElement.scrollWidth,
    sticking: seen.filter((each) => each.getBoundingClientRect().right > view.innerWidth + 1)
      .map((each) => each.outerHTML.slice(0, 90)),
    smallest: Math.min(...texts.map((each) => parseFloat(view.getComputedStyle(each).fontSize))),
    heads: seen.filter((each) => each.tagName === "TH").length,
    trends: seen.filter((each) => each.matches("svg.trend")).map((each) => each.getBoundingClientRect().width),
    verdict: view.getComputedStyle(page.querySelector(".verdict")).borderLeftColor,
  });
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: how the gate's pages look at phone and desk width stays unverified")
    return found


def _run(browser: str, profile: Path, *arguments: str) -> str:
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """A rejected scan with every kind of outcome, long names and many keys, after 29 others."""
    sound = CheckResult("ID is filled", Layer.RAW, "RAW.ORDERS", "ID", Outcome.PASSED, Severity.ERROR, "0", "= 0", "")
    rows = tuple(FailingRow(str(536365 + number), "5b3f0c7d9a11", LONG_FILE) for number in range(40))
    failed = replace(
        sound,
        name="has_parent_stg_order_items_order_id__ref_stg_orders_and_a_name_that_never_ends",
        layer=Layer.STAGING,
        dataset="STAGING.STG_ORDER_ITEMS",
        outcome=Outcome.FAILED,
        measured="40",
        message="Got 40 results, configured to fail if != 0",
        failing_rows=rows,
        owner="ingestion",
        remedy="The parent is missing: look for its file with `slackwater quarantine list`.",
    )
    decision = Acceptance(
        "a1", failed.dataset, "volume", "r1", "40", "known", "cli:ada", AT - timedelta(days=1), date(2026, 2, 1)
    )
    checks = (
        sound,
        failed,
        replace(failed, name="volume", acceptance=decision, failing_rows=rows[:2]),
        replace(failed, name="email", outcome=Outcome.WARNED, measured="1.25", failing_rows=()),
        replace(sound, layer=Layer.MARTS, dataset="CANDIDATE.DAILY_BUSINESS_METRICS", outcome=Outcome.NOT_EVALUATED),
    )
    scans = tuple(
        StoredScan(f"{number:032x}", AT - timedelta(hours=number), checks if number % 3 == 0 else checks[:1])
        for number in range(30)
    )
    folder = tmp_path_factory.mktemp("reports")
    verdict = GateVerdict(
        scans[0].refresh_id, False, (f"{failed.id} failed: {failed.message}",), checks, AT,
        folder / "scan.html", folder / "scan.json",
    )  # fmt: skip
    write_reports(verdict, scans)
    return folder


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["scan.html", "index.html"])
def test_page_fits_its_width_and_can_be_read(browser, pages, tmp_path, page, width):
    inner = html.escape((pages / page).read_text(encoding="utf-8"), quote=True)
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{inner}"></iframe>'
    (tmp_path / "measure.html").write_text(f"<!doctype html><title></title>{frame}{MEASURE}", encoding="utf-8")
    text = _run(browser, tmp_path / "profile", "--dump-dom", str(tmp_path / "measure.html"))
    title = re.search(r"<title>(.*?)</title>", text)
    assert title is not None
    seen = json.loads(html.unescape(title[1]))

    assert seen["width"] == width
    assert (seen["sticking"], seen["page"] <= width) == ([], True)
    assert seen["smallest"] >= SMALLEST_TEXT_PX
    assert seen["verdict"] == "rgb(198, 40, 40)"
    assert bool(seen["heads"]) is (width > 640)  # cards on a phone, a table on a desk
    assert len(seen["trends"]) == (0 if page == "scan.html" else 5)
    assert all(each > 100 for each in seen["trends"])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["scan.html", "index.html"])
def test_page_is_painted(browser, pages, tmp_path, page, width):
    picture = tmp_path / "page.png"
    _run(
        browser,
        tmp_path / "profile",
        f"--window-size={width},1200",
        "--hide-scrollbars",
        f"--screenshot={picture}",
        str(pages / page),
    )
    head = picture.read_bytes()
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(head[16:20], "big") == width
    assert len(head) > 20_000  # an empty page of this size has a tenth of it
