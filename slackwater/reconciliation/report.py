"""The reconciliation's report: one HTML page, one JSON file, one Markdown summary. Rendering only."""

import json
from collections.abc import Mapping
from decimal import Decimal

from jinja2 import Environment, PackageLoader, StrictUndefined

from slackwater.quality.report import markdown_cell, replace_text
from slackwater.reconciliation.compare import Difference
from slackwater.reconciliation.results import ReconciliationReport

DIFFERENCES_IN_SUMMARY = 20


def write_reports(report: ReconciliationReport) -> None:
    """Write both files and replace `latest.html` and `latest.json` beside them."""
    folder = report.html.parent
    folder.mkdir(parents=True, exist_ok=True)
    page, data = html_report(report), json_report(report)
    for path, text in (
        (report.html, page),
        (report.json, data),
        (folder / "latest.html", page),
        (folder / "latest.json", data),
    ):
        replace_text(path, text)


def html_report(report: ReconciliationReport) -> str:
    """Return one self-contained page: the verdict, the differences, what each store holds."""
    environment = Environment(
        loader=PackageLoader("slackwater.reconciliation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("reconciliation.html.j2").render(report=report)


def json_report(report: ReconciliationReport) -> str:
    """Return the same content as one JSON object; numbers are text, so that no reader makes floats of them."""
    document = {
        "report_id": report.report_id,
        "compared_at": report.compared_at.isoformat(),
        "is_equal": report.is_equal,
        "days": [day.isoformat() for day in report.days],
        "metrics": list(report.metrics),
        "marts_note": report.marts_note,
        "in_flight": report.in_flight,
        "differences": [_difference_document(difference) for difference in report.differences],
        "coverage": [
            {
                "entity": p.entity,
                "source_partition": p.source_partition,
                "frontier": p.frontier,
                "snowflake_rows": p.snowflake_rows,
                "clickhouse_rows": p.clickhouse_rows,
                "snowflake_beyond": p.snowflake_beyond,
                "clickhouse_beyond": p.clickhouse_beyond,
                "is_equal": p.is_equal,
            }
            for p in report.coverage
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def markdown_summary(report: ReconciliationReport) -> str:
    """Return a short summary: the verdict, the first differences, rows in flight."""
    lines = [f"## {report.headline}", "", f"Report: `{report.html}`"]
    if report.marts_note:
        lines.append(f"\nPublished marts were not compared: {markdown_cell(report.marts_note)}.")
    if report.differences:
        lines += ["", "| day | metric | ClickHouse | Snowflake | marts | cause |", "|---|---|---:|---:|---:|---|"]
    for difference in report.differences[:DIFFERENCES_IN_SUMMARY]:
        numbers = (difference.clickhouse, difference.snowflake, difference.marts)
        cells = (str(difference.day), difference.metric, *map(_text, numbers), difference.cause.value)
        lines.append("| " + " | ".join(markdown_cell(cell) for cell in cells) + " |")
    left = len(report.differences) - DIFFERENCES_IN_SUMMARY
    if left > 0:
        lines.append(f"\n{left} more in the report.")
    for p in report.missing:
        lines.append(f"\n{markdown_cell(str(p))}.")
    return "\n".join(lines) + "\n"


def _difference_document(difference: Difference) -> Mapping[str, str | None]:
    return {
        "day": difference.day.isoformat(),
        "metric": difference.metric,
        "clickhouse": _number(difference.clickhouse),
        "snowflake": _number(difference.snowflake),
        "marts": _number(difference.marts),
        "cause": difference.cause.value,
    }


def _number(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _text(value: Decimal | None) -> str:
    return _number(value) or "-"
