"""The rule of the gate: what rejects a refresh and what only shows."""

from dataclasses import replace

import pytest

from slackwater.quality.results import CheckResult, FailingRow, Layer, Outcome, Severity
from slackwater.quality.verdict import decide_verdict

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
