"""The rule of the gate: what rejects a refresh and what only shows."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from slackwater.errors import AcceptanceRefused, NotKnown
from slackwater.quality.results import Acceptance, CheckResult, FailingRow, Layer, Outcome, Severity
from slackwater.quality.verdict import decide_verdict, plan_acceptance, with_acceptances

GOOD = CheckResult("id is filled", Layer.RAW, "RAW.ORDERS", "ID", Outcome.PASSED, Severity.ERROR, "0", "= 0", "")
ALL_LAYERS = tuple(replace(GOOD, layer=layer) for layer in Layer)


def test_refresh_passes_when_every_layer_was_checked_and_nothing_failed():
    assert decide_verdict(ALL_LAYERS).is_passed


@pytest.mark.parametrize(
    ("outcome", "severity", "is_passed"),
    [
        (Outcome.PASSED, Severity.ERROR, True),
        (Outcome.WARNED, Severity.ERROR, True),
        (Outcome.WARNED, Severity.WARN, True),
        (Outcome.FAILED, Severity.WARN, True),
        (Outcome.FAILED, Severity.ERROR, False),
        (Outcome.NOT_EVALUATED, Severity.ERROR, False),
        (Outcome.NOT_EVALUATED, Severity.WARN, False),
    ],
)
def test_one_check_rejects_only_when_an_error_failed_or_nobody_knows(outcome, severity, is_passed):
    decision = decide_verdict([*ALL_LAYERS, replace(GOOD, outcome=outcome, severity=severity)])
    assert decision.is_passed is is_passed
    assert bool(decision.reasons) is not is_passed


@pytest.mark.parametrize("layer", list(Layer))
def test_layer_without_any_check_rejects(layer):
    decision = decide_verdict([check for check in ALL_LAYERS if check.layer is not layer])
    assert decision.reasons == (f"no check looked at the {layer.value} layer",)


def test_reason_names_dataset_check_and_message():
    bad = replace(GOOD, outcome=Outcome.FAILED, message="3 rows are null")
    assert decide_verdict([*ALL_LAYERS, bad]).reasons == ("RAW.ORDERS: id is filled failed: 3 rows are null",)


def test_files_of_a_check_are_distinct_sorted_and_never_empty_names():
    rows = (FailingRow("2", "b2", "f2"), FailingRow("1", "b1", "f1"), FailingRow("3", "b2", "f2"), FailingRow("4"))
    check = replace(GOOD, failing_rows=rows)
    assert check.files == ("f1", "f2")
    assert check.failing_keys == ("2", "1", "3", "4")


NOW = datetime(2026, 5, 10, 23, 59, tzinfo=UTC)
TODAY = NOW.date()
FAILED = replace(GOOD, name="volume", outcome=Outcome.FAILED, measured="-3")
ACCEPTED = Acceptance(
    acceptance_id="a1",
    dataset="RAW.ORDERS",
    check_name="volume",
    refresh_id="r1",
    measured="-3",
    reason="the source lost them",
    accepted_by="cli:ada",
    accepted_at=NOW,
    expires_on=date(2026, 5, 12),
)


def _covered(check: CheckResult, *acceptances: Acceptance, today: date = TODAY) -> CheckResult:
    (found,) = with_acceptances([check], acceptances, today=today)
    return found


@pytest.mark.parametrize(
    ("today", "is_passed"), [(date(2026, 5, 10), True), (date(2026, 5, 12), True), (date(2026, 5, 13), False)]
)
def test_accepted_failure_does_not_reject_up_to_and_including_its_last_day(today, is_passed):
    check = _covered(FAILED, ACCEPTED, today=today)
    assert check.outcome is Outcome.FAILED  # it is shown as what it is
    assert decide_verdict([*ALL_LAYERS, check]).is_passed is is_passed


@pytest.mark.parametrize(
    "check",
    [
        replace(FAILED, dataset="RAW.USERS"),
        replace(FAILED, name="volume of yesterday"),
        replace(FAILED, outcome=Outcome.NOT_EVALUATED),
    ],
    ids=["another dataset", "another check", "not evaluated"],
)
def test_decision_covers_the_failure_of_its_own_check_alone(check):
    assert _covered(check, ACCEPTED).acceptance is None
    assert not decide_verdict([*ALL_LAYERS, _covered(check, ACCEPTED)]).is_passed


def test_check_that_passed_carries_no_decision():
    assert _covered(replace(FAILED, outcome=Outcome.PASSED), ACCEPTED).acceptance is None


def test_newest_decision_counts_even_when_it_ends_sooner():
    newer = replace(ACCEPTED, acceptance_id="a2", accepted_at=NOW + timedelta(hours=1), expires_on=date(2026, 5, 10))
    assert _covered(FAILED, newer, ACCEPTED).acceptance == newer
    assert _covered(FAILED, newer, ACCEPTED, today=date(2026, 5, 11)).acceptance is None


def _planned(asked: str, *checks: CheckResult, **changed) -> Acceptance:
    arguments = {
        "acceptance_id": "a1",
        "refresh_id": "r1",
        "reason": "the source lost them",
        "expires_on": date(2026, 5, 12),
        "actor": "cli:ada",
        "now": NOW,
    }
    return plan_acceptance(checks, asked, **(arguments | changed))


@pytest.mark.parametrize("asked", ["volume", "RAW.ORDERS: volume"])
def test_failing_check_is_accepted_by_its_name_or_id(asked):
    assert _planned(asked, *ALL_LAYERS, FAILED) == ACCEPTED


def test_name_of_several_checks_means_the_one_that_fails():
    assert _planned("volume", replace(FAILED, dataset="RAW.USERS", outcome=Outcome.PASSED), FAILED) == ACCEPTED


@pytest.mark.parametrize(
    ("checks", "changed", "message"),
    [
        ([replace(FAILED, outcome=Outcome.PASSED)], {}, "passed and rejects nothing"),
        ([replace(FAILED, outcome=Outcome.WARNED)], {}, "warned and rejects nothing"),
        ([replace(FAILED, severity=Severity.WARN)], {}, "severity warn"),
        ([replace(FAILED, outcome=Outcome.NOT_EVALUATED)], {}, "not evaluated"),
        ([FAILED, replace(FAILED, dataset="RAW.USERS")], {}, '"RAW.ORDERS: volume", "RAW.USERS: volume"'),
        ([FAILED], {"expires_on": date(2026, 5, 9)}, "2026-05-09 is over"),
        ([FAILED], {"reason": " "}, "needs a reason"),
    ],
    ids=["passed", "warned", "warning", "not evaluated", "several", "past", "no reason"],
)
def test_what_cannot_be_accepted_is_refused_with_the_reason(checks, changed, message):
    with pytest.raises(AcceptanceRefused, match=message):
        _planned("volume", *checks, **changed)


def test_day_that_is_not_over_may_be_the_last():
    assert _planned("volume", FAILED, expires_on=NOW.date()).expires_on == NOW.date()


def test_unknown_check_is_refused_with_those_that_could_be_meant():
    with pytest.raises(NotKnown, match=r'no check "volum".*"RAW\.ORDERS: volume"'):
        _planned("volum", *ALL_LAYERS, FAILED)
