"""What people and programs are told about a pass of the run reconciler."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from slackwater.runs.decide import decide
from slackwater.runs.model import Infrastructure, LeaseView, Life, ObservedRun, Outcome, RunsReport, RunState, Situation
from slackwater.runs.report import as_document, line, markdown, noteworthy, summary

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = ObservedRun(
    id="r-1",
    name="ingest-a|b",
    root_id="r-1",
    flow="ingest-batch",
    deployment="ingest-batch/on-batch",
    state=RunState.RUNNING,
    state_name="Running",
    state_id="s",
    since=NOW - timedelta(hours=1),
    parameters={"batch_id": "b"},
    infrastructure_pid="17",
    worker_name="w",
)
GONE = Infrastructure(Life.GONE, "its process 17 is gone")
DEAD = Outcome(decide(Situation(RUN, GONE, (), NOW)), is_done=True, note="set to Crashed")
ALIVE = Outcome(
    decide(Situation(replace(RUN, id="r-2", name="sweep"), Infrastructure(Life.ALIVE, "process 18"), (), NOW)),
    is_done=False,
)
LEASED = Outcome(decide(Situation(RUN, GONE, (LeaseView("batch b", "r-1", 2, 30.0),), NOW)), is_done=False)
REPORT = RunsReport((DEAD, ALIVE, LEASED), ("Pods were not looked at: no answer",))


def test_the_summary_counts_what_was_done_and_says_what_was_not_seen() -> None:
    assert summary(REPORT) == "3 runs looked at, 1 freed, Pods were not looked at: no answer"


def test_the_artifact_shows_every_run_with_its_reason_and_keeps_its_table_whole() -> None:
    text = markdown(REPORT)
    rows = [row for row in text.splitlines() if row.startswith("| ") and "| why |" not in row]
    assert len(rows) == 3
    assert {row.replace("\\|", "").count("|") for row in rows} == {7}
    assert DEAD.decision.reason in rows[0]
    assert "live lease on batch b" in rows[2]
    assert "`running_dead` (crash)" in text


def test_a_log_tells_acts_and_oddities_but_not_what_is_well() -> None:
    assert noteworthy(REPORT) == (DEAD, LEASED)
    assert line(DEAD).startswith("crash ingest-a|b: Its process 17 is gone")
    assert line(DEAD).endswith("(set to Crashed)")


def test_the_document_is_json_with_everything_a_decision_rests_on() -> None:
    document = json.loads(json.dumps(as_document(REPORT)))
    first = document["runs"][0]
    assert (first["run_id"], first["rule"], first["action"], first["is_done"]) == ("r-1", "running_dead", "crash", True)
    assert (first["holds_slot"], first["life"], first["parameters"]) == (True, "gone", {"batch_id": "b"})
    assert document["runs"][2]["leases"] == [{"subject": "batch b", "attempt": 2, "seconds_left": 30.0}]
