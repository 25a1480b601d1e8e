"""The verdict as JUnit XML, which test viewers of build servers read. Pure."""

import re
from itertools import groupby
from xml.etree import ElementTree as ET

from slackwater.quality.results import CheckResult, GateVerdict, Outcome

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_report(verdict: GateVerdict) -> str:
    """Return one suite per dataset and one case per check.

    A failure that rejects is `failure`, a check nobody could evaluate is `error`. One that a person accepted is
    `skipped` with the decision; one that only warns passes with a note, because it stops nothing.
    """
    root = ET.Element("testsuites", name=f"refresh {verdict.refresh_id}")
    by_dataset = sorted(verdict.checks, key=lambda check: check.dataset)
    for dataset, found in groupby(by_dataset, key=lambda check: check.dataset):
        checks = list(found)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_text(dataset or "models"),
            timestamp=verdict.checked_at.isoformat(timespec="seconds"),
        )
        cases = [_case(suite, check) for check in checks]
        suite.set("tests", str(len(cases)))
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
    for attribute in ("tests", "failures", "errors", "skipped"):
        root.set(attribute, str(sum(int(suite.get(attribute, "0")) for suite in root)))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, check: CheckResult) -> ET.Element:
    case = ET.SubElement(suite, "testcase", name=_text(check.name), classname=_text(f"{check.layer}.{check.dataset}"))
    if check.outcome is Outcome.PASSED:
        return case
    if check.acceptance is not None:
        ET.SubElement(case, "skipped", message=_text(str(check.acceptance)))
    elif check.is_rejecting:
        kind = "error" if check.outcome is Outcome.NOT_EVALUATED else "failure"
        ET.SubElement(case, kind, message=_text(check.message), type=check.outcome.value).text = _detail(check)
    else:
        ET.SubElement(case, "system-out").text = _text(f"{check.outcome.value}: {check.message}\n{_detail(check)}")
    return case


def _detail(check: CheckResult) -> str:
    lines = [f"{check.owner}: {check.remedy}"] if check.remedy else []
    lines += [f"{row.key} {row.batch_id} {row.file_name}".rstrip() for row in check.failing_rows]
    return _text("\n".join(lines))


def _text(text: str) -> str:
    """Return text without the characters XML cannot hold."""
    return _NOT_XML.sub("", text)
