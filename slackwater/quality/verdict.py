"""From checks to a verdict: the rule of the gate and of its exceptions, pure.

A refresh passes when every check was evaluated and none of severity `error` failed, but for those a person accepted
until a day that is not over. Bad single rows are flagged by their check (`warned`) and published; set-level rules
(share of bad rows, broken keys, volume) fail and reject.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from slackwater.errors import AcceptanceRefused, NotKnown
from slackwater.quality.results import Acceptance, CheckResult, Layer, Outcome, Severity


@dataclass(frozen=True)
class Decision:
    """Whether a refresh may be published, and if not, why: one sentence per rejecting check."""

    is_passed: bool
    reasons: tuple[str, ...]


REQUIRED_LAYERS = (Layer.RAW, Layer.STAGING, Layer.MARTS)
"""A gate run that looked at none of a layer's data has proved nothing."""


def decide_verdict(checks: Sequence[CheckResult]) -> Decision:
    """Decide whether a refresh may be published.

    Args:
        checks: Every check of the gate run, dbt's and Soda's, in any order.

    Returns:
        Not passed when a check rejects, or when a layer has no check at all.
    """
    reasons = [
        f"{check.dataset}: {check.name} {check.outcome.value.replace('_', ' ')}: {check.message}"
        for check in sorted(checks, key=lambda check: (check.layer, check.dataset, check.name))
        if check.is_rejecting
    ]
    unseen = [layer for layer in REQUIRED_LAYERS if not any(check.layer is layer for check in checks)]
    reasons += [f"no check looked at the {layer.value} layer" for layer in unseen]
    return Decision(not reasons, tuple(reasons))


def with_acceptances(
    checks: Iterable[CheckResult], acceptances: Iterable[Acceptance], *, today: date
) -> tuple[CheckResult, ...]:
    """Return the checks, each failure with the decision that covers it.

    Args:
        checks: Checks of a gate run.
        acceptances: Every recorded decision; of several about one check the newest counts.
        today: UTC date; a decision counts up to and including the day it expires on.
    """
    newest = {(one.dataset, one.check_name): one for one in sorted(acceptances, key=lambda one: one.accepted_at)}
    return tuple(replace(check, acceptance=_covering(check, newest, today)) for check in checks)


def plan_acceptance(
    checks: Sequence[CheckResult],
    asked: str,
    *,
    acceptance_id: str,
    refresh_id: str,
    reason: str,
    expires_on: date,
    actor: str,
    now: datetime,
) -> Acceptance:
    """Return the decision to record when a person accepts a failing check.

    Args:
        checks: Every check of the refresh.
        asked: A check's id, or its name where only one check that rejects has it.
        acceptance_id: Id of the decision.
        refresh_id: The refresh the person looked at.
        reason: Why the failure may be published.
        expires_on: Last day (UTC) the decision counts.
        actor: Who decides.
        now: Present moment (UTC).

    Raises:
        NotKnown: The refresh has no such check.
        AcceptanceRefused: The check does not reject, several have the name, the day is over, or no reason is given.
    """
    check = _asked(checks, asked, refresh_id)
    if not _can_be_accepted(check):
        raise AcceptanceRefused(f"{check.id}: {_why_not(check)}")
    if expires_on < now.astimezone(UTC).date():
        raise AcceptanceRefused(f"{expires_on} is over; name the last day the decision counts (UTC)")
    if not reason.strip():
        raise AcceptanceRefused("a decision needs a reason: it is what the next reader of the report sees")
    return Acceptance(
        acceptance_id=acceptance_id,
        dataset=check.dataset,
        check_name=check.name,
        refresh_id=refresh_id,
        measured=check.measured,
        reason=reason.strip(),
        accepted_by=actor,
        accepted_at=now,
        expires_on=expires_on,
    )


def _covering(check: CheckResult, newest: dict[tuple[str, str], Acceptance], today: date) -> Acceptance | None:
    found = newest.get((check.dataset, check.name))
    return found if found and _can_be_accepted(check) and today <= found.expires_on else None


def _can_be_accepted(check: CheckResult) -> bool:
    return check.outcome is Outcome.FAILED and check.severity is Severity.ERROR


def _why_not(check: CheckResult) -> str:
    if check.outcome is Outcome.NOT_EVALUATED:
        return "it was not evaluated, so nobody knows what would be accepted; repair the check"
    if check.outcome is Outcome.FAILED:
        return "it failed with severity warn and rejects nothing; there is nothing to accept"
    return f"it {check.outcome.value} and rejects nothing; there is nothing to accept"


def _asked(checks: Sequence[CheckResult], asked: str, refresh_id: str) -> CheckResult:
    found = [check for check in checks if asked in (check.id, check.name)]
    if len(found) > 1:
        found = [check for check in found if _can_be_accepted(check)] or found
    if not found:
        failing = ", ".join(f'"{check.id}"' for check in checks if _can_be_accepted(check)) or "none"
        raise NotKnown(f'refresh {refresh_id} has no check "{asked}"; checks that can be accepted: {failing}')
    if len(found) > 1:
        names = ", ".join(f'"{check.id}"' for check in found)
        raise AcceptanceRefused(f'several checks are called "{asked}"; name one of {names}')
    return found[0]
