"""Where a judged refresh stands, for people: verdict, what failed, what was accepted since, the next step. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from slackwater.ledger.model import RefreshState
from slackwater.quality.results import Acceptance, CheckResult, FailingRow, Outcome
from slackwater.quality.verdict import decide_verdict

DRIVE_AGAIN = "prefect deployment run refresh-marts/on-due --param force=true"
"""Tries the rejected set again although nothing new was loaded."""

ID_SHOWN = 12


@dataclass(frozen=True)
class Standing:
    """One judged refresh.

    Attributes:
        refresh_id: Its id.
        state: In the ledger: `rejected`, `published`, or where it is on the way there.
        checked_at: When the gate judged it, ISO with zone.
        report: Where its page lies, empty when the ledger does not say.
        reasons: Why it was rejected, one sentence per check; empty when it passed.
        check_count: All checks of the gate run.
        failing: Every check that did not pass, those that reject first, with the decision that counts now.
        next_step: What to do, one sentence.
    """

    refresh_id: str
    state: str
    checked_at: str
    report: str
    reasons: tuple[str, ...]
    check_count: int
    failing: tuple[CheckResult, ...]
    next_step: str

    @property
    def is_passed(self) -> bool:
        """Return whether the gate let the refresh through."""
        return not self.reasons


def describe_standing(
    refresh_id: str,
    *,
    state: RefreshState,
    checked_at: str,
    report: str,
    judged: tuple[CheckResult, ...],
    now: tuple[CheckResult, ...],
) -> Standing:
    """Return where a refresh stands.

    Args:
        refresh_id: Its id.
        state: In the ledger.
        checked_at: When it was judged.
        report: Where its page lies.
        judged: Its checks with the decisions that counted when it was judged.
        now: The same checks with the decisions that count now.
    """
    decision = decide_verdict(judged)
    failing = sorted(
        (check for check in now if check.outcome is not Outcome.PASSED),
        key=lambda check: (not check.is_rejecting, check.acceptance is None, check.dataset, check.name),
    )
    return Standing(
        refresh_id=refresh_id,
        state=state.value,
        checked_at=checked_at,
        report=report,
        reasons=decision.reasons,
        check_count=len(judged),
        failing=tuple(failing),
        next_step=_next_step(refresh_id, state, bool(decision.reasons), decide_verdict(now).reasons, failing),
    )


def standing_document(standing: Standing) -> Mapping[str, object]:
    """Return a standing as a JSON object."""
    return {
        "refresh_id": standing.refresh_id,
        "state": standing.state,
        "is_passed": standing.is_passed,
        "checked_at": standing.checked_at,
        "report": standing.report,
        "reasons": list(standing.reasons),
        "check_count": standing.check_count,
        "failing": [check_document(check) for check in standing.failing],
        "next_step": standing.next_step,
    }


def check_document(check: CheckResult) -> Mapping[str, object]:
    """Return a check as a JSON object, the same in every output of the gate."""
    return {
        "id": check.id,
        "name": check.name,
        "layer": check.layer.value,
        "dataset": check.dataset,
        "column": check.column,
        "outcome": check.outcome.value,
        "severity": check.severity.value,
        "is_rejecting": check.is_rejecting,
        "measured": check.measured,
        "threshold": check.threshold,
        "message": check.message,
        "owner": check.owner,
        "remedy": check.remedy,
        "acceptance": acceptance_document(check.acceptance) if check.acceptance else None,
        "failing_rows": [_row_document(row) for row in check.failing_rows],
    }


def acceptance_document(one: Acceptance) -> Mapping[str, str]:
    """Return a decision as a JSON object."""
    return {
        "acceptance_id": one.acceptance_id,
        "check": f"{one.dataset}: {one.check_name}",
        "refresh_id": one.refresh_id,
        "measured": one.measured,
        "reason": one.reason,
        "accepted_by": one.accepted_by,
        "accepted_at": one.accepted_at.isoformat(),
        "expires_on": one.expires_on.isoformat(),
    }


def _row_document(row: FailingRow) -> Mapping[str, str]:
    return {"key": row.key, "batch_id": row.batch_id, "file_name": row.file_name}


def _next_step(
    refresh_id: str, state: RefreshState, was_rejected: bool, open_reasons: tuple[str, ...], failing: list[CheckResult]
) -> str:
    if state is RefreshState.PUBLISHED:
        return "Nothing: it is published."
    if not was_rejected:
        return "Nothing: it passed and is about to be published."
    if not open_reasons:
        return f"Every check that rejected it is accepted now. Drive it again: {DRIVE_AGAIN}"
    first = next((check for check in failing if check.is_rejecting and check.outcome is Outcome.FAILED), None)
    if first is None:
        return f"Repair what could not be evaluated, then drive it again: {DRIVE_AGAIN}"
    return (
        "Do what the remedy says, or decide that it may be published:"
        f' slackwater gate accept {refresh_id[:ID_SHOWN]} "{first.id}" --reason "..." --expires YYYY-MM-DD'
    )
