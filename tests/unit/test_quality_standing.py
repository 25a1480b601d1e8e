"""Where a judged refresh stands: what is shown of it, and what a person is told to do next."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from slackwater.ledger.model import RefreshState
from slackwater.quality.results import Acceptance, CheckResult, FailingRow, Layer, Outcome, Severity
from slackwater.quality.standing import DRIVE_AGAIN, Standing, describe_standing, standing_document

GOOD = CheckResult("id is filled", Layer.RAW, "RAW.ORDERS", "ID", Outcome.PASSED, Severity.ERROR, "0", "= 0", "")
CHECKS = tuple(replace(GOOD, layer=layer) for layer in Layer)
FAILED = replace(
    GOOD,
    name="volume",
    outcome=Outcome.FAILED,
    measured="-3",
    owner="ingestion",
    remedy="Load the missing file.",
    failing_rows=(FailingRow("7", "b1", "f1"),),
)
UNKNOWN = replace(GOOD, name="schema", outcome=Outcome.NOT_EVALUATED)
WARNED = replace(GOOD, name="email", outcome=Outcome.WARNED)
ACCEPTANCE = Acceptance(
    acceptance_id="a1",
    dataset="RAW.ORDERS",
    check_name="volume",
    refresh_id="r1",
    measured="-3",
    reason="the source lost them",
    accepted_by="cli:ada",
    accepted_at=datetime(2026, 5, 10, tzinfo=UTC),
    expires_on=date(2026, 5, 12),
)
ACCEPTED = replace(FAILED, acceptance=ACCEPTANCE)


def _standing(*failing: CheckResult, now=None, state=RefreshState.REJECTED) -> Standing:
    return describe_standing(
        "0123456789abcdef",
        state=state,
        checked_at="2026-05-10T00:00:00+00:00",
        report="scans/r1.html",
        judged=(*CHECKS, *failing),
        now=(*CHECKS, *(failing if now is None else now)),
    )


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (_standing(FAILED), 'slackwater gate accept 0123456789ab "RAW.ORDERS: volume" --reason'),
        (_standing(UNKNOWN), "Repair what could not be evaluated"),
        (_standing(FAILED, now=[ACCEPTED]), f"accepted now. Drive it again: {DRIVE_AGAIN}"),
        (_standing(ACCEPTED, state=RefreshState.PUBLISHED), "Nothing: it is published"),
        (_standing(WARNED, state=RefreshState.TESTED), "Nothing: it passed"),
    ],
    ids=["rejected", "not evaluated", "accepted since", "published", "passed"],
)
def test_next_step_follows_from_what_is_left(standing, told):
    assert told in standing.next_step


def test_verdict_is_that_of_the_moment_it_was_judged():
    assert not _standing(FAILED, now=[ACCEPTED]).is_passed
    assert _standing(ACCEPTED).is_passed


def test_what_rejects_comes_first_then_what_was_accepted_then_what_is_only_shown():
    shown = _standing(WARNED, ACCEPTED, replace(FAILED, name="zero"))
    assert [check.name for check in shown.failing] == ["zero", "volume", "email"]


def test_document_names_owner_remedy_decision_and_keys_with_their_files():
    document = json.loads(json.dumps(standing_document(_standing(FAILED, now=[ACCEPTED]))))
    (check,) = document["failing"]
    assert (document["is_passed"], document["state"], document["check_count"]) == (False, "rejected", 4)
    assert (check["id"], check["owner"], check["remedy"]) == (
        "RAW.ORDERS: volume",
        "ingestion",
        "Load the missing file.",
    )
    assert check["failing_rows"] == [{"key": "7", "batch_id": "b1", "file_name": "f1"}]
    assert (check["acceptance"]["accepted_by"], check["acceptance"]["expires_on"]) == ("cli:ada", "2026-05-12")
