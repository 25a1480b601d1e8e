"""What the run reconciler asks Prefect's REST API, and the one thing it changes there: a run's state.

The answers are records without judgement; the rules are in `slackwater/runs`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from slackwater.clients.prefect_api import PrefectApi

_PAGE_RUNS = 200
"""Prefect's own limit of one answer."""

_UNFINISHED = ("PENDING", "RUNNING", "CANCELLING")


@dataclass(frozen=True)
class RunRecord:
    """One run with everything that tells whether it lives; names of flow and deployment are not in Prefect's answer.

    Attributes:
        state_at: When it came into its state.
        parent_task_run_id: Set for a subflow: the task run of its parent that stands for it.
        labels: Prefect's, such as `prefect.worker.name`.
    """

    id: str
    name: str
    flow_id: str
    deployment_id: str | None
    state_type: str
    state_name: str
    state_id: str
    state_at: datetime
    expected_start_at: datetime | None
    infrastructure_pid: str | None
    parent_task_run_id: str | None
    parameters: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StateAnswer:
    """What Prefect made of a proposed state: ACCEPT, REJECT, ABORT or WAIT, and why."""

    status: str
    reason: str

    @property
    def is_accepted(self) -> bool:
        """Tell whether the run is in the proposed state now."""
        return self.status == "ACCEPT"


class PrefectRuns(PrefectApi):
    """The runs of a Prefect server; use as a context manager."""

    def unfinished_runs(self, work_pool: str) -> list[RunRecord]:
        """Return the pending, running and cancelling runs of a work pool."""
        states = {"state": {"type": {"any_": list(_UNFINISHED)}}}
        return self._runs(states, work_pools={"name": {"any_": [work_pool]}})

    def unfinished_subflows(self) -> list[RunRecord]:
        """Return the pending, running and cancelling subflows; they have no work pool of their own."""
        return self._runs({"state": {"type": {"any_": list(_UNFINISHED)}}, "parent_task_run_id": {"is_null_": False}})

    def late_runs(self, work_pool: str, flow: str, *, before: datetime) -> list[RunRecord]:
        """Return the scheduled runs of a flow that should have started before a time."""
        late = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": before.isoformat()}}
        return self._runs(late, work_pools={"name": {"any_": [work_pool]}}, flows={"name": {"any_": [flow]}})

    def waiting_runs(self, flow: str) -> list[RunRecord]:
        """Return the scheduled and pending runs of a flow."""
        waiting = {"state": {"type": {"any_": ["SCHEDULED", "PENDING"]}}}
        return self._runs(waiting, flows={"name": {"any_": [flow]}})

    def runs_by_id(self, run_ids: Sequence[str], *, work_pool: str) -> list[RunRecord]:
        """Return those of the runs that are in the work pool; an id this server does not know is left out."""
        if not run_ids:
            return []
        return self._runs({"id": {"any_": list(run_ids)}}, work_pools={"name": {"any_": [work_pool]}})

    def silent_workers(self, work_pool: str) -> frozenset[str]:
        """Return the workers of a pool whose heartbeats the server has missed several times; it keeps their names."""
        found = self._request("POST", f"work_pools/{work_pool}/workers/filter", {"limit": _PAGE_RUNS})
        online = {str(item["name"]) for item in found if item.get("status") == "ONLINE"}
        return frozenset(str(item["name"]) for item in found) - online

    def parent_runs(self, task_run_ids: Sequence[str]) -> dict[str, str]:
        """Return per task run the flow run it belongs to."""
        if not task_run_ids:
            return {}
        found = self._request("POST", "task_runs/filter", {"task_runs": {"id": {"any_": list(task_run_ids)}}})
        return {str(item["id"]): str(item["flow_run_id"]) for item in found if item.get("flow_run_id")}

    def flow_names(self, flow_ids: Sequence[str]) -> dict[str, str]:
        """Return the names of flows by id."""
        return self._names("flows", flow_ids)

    def deployment_names(self, deployment_ids: Sequence[str]) -> dict[str, str]:
        """Return the names of deployments by id."""
        return self._names("deployments", deployment_ids)

    def state_of(self, run_id: str) -> tuple[str, str]:
        """Return the id and the type of a run's present state; the id changes with every change of state."""
        document = self._request("GET", f"flow_runs/{run_id}", None)
        return str(document.get("state_id")), str(document.get("state_type"))

    def propose_state(self, run_id: str, state_type: str, *, name: str, message: str) -> StateAnswer:
        """Propose a state, with Prefect's rules in force.

        Never forced: under its rules, and the lock of the run's row, the server refuses to crash a run that has ended,
        and gives back the slot of the deployment's limit.
        """
        body = {"state": {"type": state_type, "name": name, "message": message}, "force": False}
        answer = self._request("POST", f"flow_runs/{run_id}/set_state", body)
        return StateAnswer(str(answer.get("status")), str((answer.get("details") or {}).get("reason") or ""))

    def _runs(self, flow_runs: Mapping[str, object], **filters: Mapping[str, object]) -> list[RunRecord]:
        found: list[RunRecord] = []
        while True:
            page = {"limit": _PAGE_RUNS, "offset": len(found), "sort": "ID_DESC"}
            items = self._request("POST", "flow_runs/filter", {"flow_runs": flow_runs, **filters, **page})
            found += [_run_record(item) for item in items]
            if len(items) < _PAGE_RUNS:
                return found

    def _names(self, kind: str, ids: Sequence[str]) -> dict[str, str]:
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        found = self._request("POST", f"{kind}/filter", {kind: {"id": {"any_": wanted}}})
        return {str(item["id"]): str(item["name"]) for item in found}


def _run_record(document: Mapping[str, Any]) -> RunRecord:
    state = document.get("state") or {}
    return RunRecord(
        id=str(document["id"]),
        name=str(document.get("name", "")),
        flow_id=str(document["flow_id"]),
        deployment_id=document.get("deployment_id"),
        state_type=str(document.get("state_type") or "SCHEDULED"),
        state_name=str(document.get("state_name") or document.get("state_type") or ""),
        state_id=str(document.get("state_id")),
        state_at=_time(state.get("timestamp")) or datetime.fromtimestamp(0, UTC),
        expected_start_at=_time(document.get("expected_start_time")),
        infrastructure_pid=document.get("infrastructure_pid") or None,
        parent_task_run_id=document.get("parent_task_run_id"),
        parameters={str(name): str(value) for name, value in (document.get("parameters") or {}).items()},
        labels={str(name): str(value) for name, value in (document.get("labels") or {}).items()},
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
