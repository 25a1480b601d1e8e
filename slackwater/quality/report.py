"""The gate's reports: pages for people, JSON for programs, JUnit XML for build servers, Markdown for the flow run.

Rendering only. Holds ids, batch ids and file names, never a value of a row. A page needs no other file and no script.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from slackwater.quality.history import History, build_history, tone_counts
from slackwater.quality.junit import junit_report
from slackwater.quality.results import CheckResult, GateVerdict, Layer, Outcome
from slackwater.quality.sparkline import sparkline
from slackwater.quality.standing import check_document
from slackwater.quality.stored import StoredScan

KEYS_IN_SUMMARY = 5
KEYS_IN_PAGE = 20

SUMMARY_HEAD = "| outcome | dataset | check | measured | wanted | who acts and how | failing keys | files |"

OUTCOME_ORDER = (Outcome.FAILED, Outcome.NOT_EVALUATED, Outcome.WARNED, Outcome.PASSED)


def write_reports(verdict: GateVerdict, scans: Sequence[StoredScan] = ()) -> None:
    """Write the scan's files, replace the `latest` ones, and write the index over all scans; repeating overwrites.

    Args:
        verdict: What the gate says of one refresh.
        scans: The newest scans for the index, newest first; the verdict's own alone when there are none.
    """
    folder = verdict.report_html.parent
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (verdict.report_html, html_report(verdict)),
        (verdict.report_json, json_report(verdict)),
        (verdict.report_junit, junit_report(verdict)),
    ):
        replace_text(path, text)
        replace_text(folder / f"latest{path.suffix}", text)
    history = build_history(scans or [StoredScan(verdict.refresh_id, verdict.checked_at, verdict.checks)])
    pages = {scan.refresh_id for scan in history.scans if (folder / f"{scan.refresh_id}.html").exists()}
    replace_text(verdict.report_index, html_index(history, pages=pages))
    replace_text(verdict.report_index.with_suffix(".json"), json_index(history))


def report_link(page: Path, *, reports_dir: Path, reports_url: str) -> str:
    """Return where a page is found: at the address the folder is served at, or as a file when there is none."""
    if reports_url:
        return f"{reports_url.rstrip('/')}/{quote(page.relative_to(reports_dir).as_posix())}"
    return page.absolute().as_uri()


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never half of one."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def html_report(verdict: GateVerdict) -> str:
    """Return one self-contained page: the verdict, then the checks by layer, the bad ones first."""
    layers = [(layer.value, _bad_first([c for c in verdict.checks if c.layer is layer])) for layer in Layer]
    return (
        _environment()
        .get_template("scan.html.j2")
        .render(verdict=verdict, layers=layers, counts=tone_counts(verdict.checks), keys_shown=KEYS_IN_PAGE)
    )


def html_index(history: History, *, pages: set[str]) -> str:
    """Return one self-contained page: the last scans, and the trend of every check over them.

    Args:
        history: At least one scan.
        pages: Refreshes whose own page lies beside the index.
    """
    return _environment().get_template("index.html.j2").render(history=history, pages=pages, sparkline=sparkline)


def json_index(history: History) -> str:
    """Return the same content as one JSON object."""
    return json.dumps(asdict(history), indent=2, default=str) + "\n"


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("slackwater.quality", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def json_report(verdict: GateVerdict) -> str:
    """Return the same content as one JSON object."""
    document = {
        "refresh_id": verdict.refresh_id,
        "is_passed": verdict.is_passed,
        "checked_at": verdict.checked_at.isoformat(),
        "reasons": list(verdict.reasons),
        "counts": tone_counts(verdict.checks),
        "checks": [check_document(check) for check in verdict.checks],
    }
    return json.dumps(document, indent=2) + "\n"


def markdown_summary(verdict: GateVerdict) -> str:
    """Return a short summary: the verdict, counts, and every check that did not pass."""
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in tone_counts(verdict.checks).items())
    lines = [
        f"## Refresh {verdict.refresh_id}: {'passed' if verdict.is_passed else 'REJECTED'}",
        "",
        f"{len(verdict.checks)} checks: {counts}. Report: `{verdict.report_html}`",
    ]
    noteworthy = [check for check in _bad_first(verdict.checks) if check.outcome is not Outcome.PASSED]
    if noteworthy:
        lines += ["", SUMMARY_HEAD, "|---" * SUMMARY_HEAD.count(" | ") + "|---|"]
    for check in noteworthy:
        cells = (
            f"{check.outcome.value.replace('_', ' ')}{f', {check.acceptance}' if check.acceptance else ''}",
            check.dataset,
            check.name,
            check.measured,
            check.threshold,
            f"{check.owner}: {check.remedy}" if check.remedy else "",
            ", ".join(check.failing_keys[:KEYS_IN_SUMMARY]),
            ", ".join(check.files[:KEYS_IN_SUMMARY]),
        )
        lines.append("| " + " | ".join(markdown_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def markdown_cell(text: str) -> str:
    """Return text that cannot break out of a Markdown table cell."""
    flat = " ".join(text.split())
    for character in "\\`*_<>[]|":
        flat = flat.replace(character, f"\\{character}")
    return flat


def _bad_first(checks: Sequence[CheckResult]) -> list[CheckResult]:
    return sorted(checks, key=lambda c: (not c.is_rejecting, OUTCOME_ORDER.index(c.outcome), c.dataset, c.name))
