"""The gate's report: one HTML page for people, one JSON file for programs, one Markdown summary for the flow run.

Rendering only. Holds ids, batch ids and file names, never a value of a row.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from slackwater.quality.results import CheckResult, GateVerdict, Layer, Outcome
from slackwater.quality.standing import check_document

KEYS_IN_SUMMARY = 5

OUTCOME_ORDER = (Outcome.FAILED, Outcome.NOT_EVALUATED, Outcome.WARNED, Outcome.PASSED)


def write_reports(verdict: GateVerdict) -> None:
    """Write both files and replace `latest.html` and `latest.json` beside them; repeating overwrites."""
    folder = verdict.report_html.parent
    folder.mkdir(parents=True, exist_ok=True)
    page, data = html_report(verdict), json_report(verdict)
    for path, text in (
        (verdict.report_html, page),
        (verdict.report_json, data),
        (folder / "latest.html", page),
        (folder / "latest.json", data),
    ):
        replace_text(path, text)


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never half of one."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def html_report(verdict: GateVerdict) -> str:
    """Return one self-contained page: the verdict, then the checks by layer, the bad ones first."""
    environment = Environment(
        loader=PackageLoader("slackwater.quality", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    layers = [(layer.value, _bad_first([c for c in verdict.checks if c.layer is layer])) for layer in Layer]
    return environment.get_template("scan.html.j2").render(
        verdict=verdict, layers=layers, counts=outcome_counts(verdict.checks)
    )


def json_report(verdict: GateVerdict) -> str:
    """Return the same content as one JSON object."""
    document = {
        "refresh_id": verdict.refresh_id,
        "is_passed": verdict.is_passed,
        "checked_at": verdict.checked_at.isoformat(),
        "reasons": list(verdict.reasons),
        "counts": outcome_counts(verdict.checks),
        "checks": [check_document(check) for check in verdict.checks],
    }
    return json.dumps(document, indent=2) + "\n"


def markdown_summary(verdict: GateVerdict) -> str:
    """Return a short summary: the verdict, counts, and every check that did not pass."""
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in outcome_counts(verdict.checks).items())
    lines = [
        f"## Refresh {verdict.refresh_id}: {'passed' if verdict.is_passed else 'REJECTED'}",
        "",
        f"{len(verdict.checks)} checks: {counts}. Report: `{verdict.report_html}`",
    ]
    noteworthy = [check for check in _bad_first(verdict.checks) if check.outcome is not Outcome.PASSED]
    if noteworthy:
        lines += ["", "| outcome | dataset | check | measured | wanted | failing keys | files |", "|---" * 7 + "|"]
    for check in noteworthy:
        cells = (
            check.outcome.value.replace("_", " "),
            check.dataset,
            check.name,
            check.measured,
            check.threshold,
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


def outcome_counts(checks: Sequence[CheckResult]) -> Mapping[str, int]:
    """Return how many checks had which outcome, worst first, outcomes without a check left out."""
    counted = Counter(check.outcome for check in checks)
    return {outcome.value: counted[outcome] for outcome in OUTCOME_ORDER if counted[outcome]}


def _bad_first(checks: Sequence[CheckResult]) -> list[CheckResult]:
    return sorted(checks, key=lambda c: (not c.is_rejecting, OUTCOME_ORDER.index(c.outcome), c.dataset, c.name))
