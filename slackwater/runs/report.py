"""A pass of the reconciler for people and programs: JSON documents, one-line summary, Markdown. Pure."""

from slackwater.runs.decide import NOTEWORTHY, RULES
from slackwater.runs.model import Action, Outcome, RunsReport

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def as_document(report: RunsReport) -> dict[str, Json]:
    """Return the whole pass, JSON-able."""
    return {
        "is_dry": report.is_dry,
        "notes": list(report.notes),
        "runs": [_run_document(outcome) for outcome in report.outcomes],
    }


def summary(report: RunsReport) -> str:
    """Return one sentence: how many runs were looked at and what was done."""
    parts = [f"{len(report.outcomes)} runs looked at"]
    words = {Action.CRASH: "freed", Action.CANCEL: "cancelled", Action.END: "ended for good"}
    parts += [f"{len(done)} {word}" for action, word in words.items() if (done := report.done(action))]
    return ", ".join([*parts, *report.notes])


def markdown(report: RunsReport) -> str:
    """Return the pass as Markdown: a table of every run with its decision, and the rules that spoke."""
    lines = ["# Runs", "", f"{summary(report)}.", ""]
    lines += ["| run | state | seen | decision | why | done |", "|---|---|---|---|---|---|"]
    for one in report.outcomes:
        run, situation = one.decision.run, one.decision.situation
        seen = situation.infrastructure.detail
        if situation.live_lease:
            seen += f"; live lease on {situation.live_lease.subject}"
        cells = (run.name, run.state_name, seen, one.decision.action.value, one.decision.reason, one.note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    spoken = {one.decision.rule for one in report.outcomes}
    lines += ["", "Rules that spoke:", ""]
    lines += [f"- `{rule.name}` ({rule.action.value}): {rule.summary}" for rule in RULES if rule.name in spoken]
    return "\n".join(lines) + "\n"


def noteworthy(report: RunsReport) -> tuple[Outcome, ...]:
    """Return what a log should tell: acts that were carried out or failed, and runs left although they look odd."""
    return tuple(
        one for one in report.outcomes if one.decision.action is not Action.LEAVE or one.decision.rule in NOTEWORTHY
    )


def line(outcome: Outcome) -> str:
    """Return one outcome as one line."""
    decision = outcome.decision
    done = f" ({outcome.note})" if outcome.note else ""
    return f"{decision.action.value} {decision.run.name}: {decision.reason}{done}"


def _run_document(outcome: Outcome) -> dict[str, Json]:
    decision, run = outcome.decision, outcome.decision.run
    leases: list[Json] = [
        {"subject": one.subject, "attempt": one.attempt, "seconds_left": round(one.seconds_left, 1)}
        for one in decision.situation.leases
    ]
    return {
        "run_id": run.id,
        "name": run.name,
        "flow": run.flow,
        "deployment": run.deployment,
        "parameters": dict(run.parameters),
        "state": run.state.value,
        "state_name": run.state_name,
        "since": run.since.isoformat(),
        "holds_slot": run.holds_slot,
        "worker": run.worker_name,
        "infrastructure_pid": run.infrastructure_pid,
        "infrastructure": decision.situation.infrastructure.detail,
        "life": decision.situation.infrastructure.life.value,
        "leases": leases,
        "action": decision.action.value,
        "rule": decision.rule,
        "reason": decision.reason,
        "is_done": outcome.is_done,
        "note": outcome.note,
    }
