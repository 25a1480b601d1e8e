"""`slackwater doctor`: what may keep the stack from working here."""

import typer

from slackwater.commands.context import EXIT_PROBLEM, out, plain_errors
from slackwater.settings import StackSettings
from slackwater.stack.doctor import Verdict, examine

_MARKS = {Verdict.OK: "[green]ok     [/]", Verdict.NOTE: "[yellow]note   [/]", Verdict.PROBLEM: "[red]PROBLEM[/]"}


def doctor() -> None:
    """Check ports, versions, rights, disk, memory and Java, and say what to do. Exit status 1 on a problem."""
    with plain_errors():
        findings = examine(StackSettings())
    for finding in findings:
        out.print(f"{_MARKS[finding.verdict]} {finding.name}: ", end="")
        out.print(finding.found, markup=False)
        if finding.advice:
            out.print(f"        -> {finding.advice}", markup=False)
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        raise typer.Exit(EXIT_PROBLEM)
