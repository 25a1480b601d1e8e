"""Prefect's REST API as the stack and the CLI use it: work pools, limits, deployments, runs, alerts.

Plain HTTP, because nothing under `slackwater/` imports Prefect's package. Events go through `events.py`; what the run
reconciler asks is in `prefect_runs.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from slackwater.errors import ConfigurationError, StoreRejected, StoreUnavailable
from slackwater.settings import EventSettings

_HTTP_NOT_FOUND = 404
_HTTP_CONFLICT = 409
_HTTP_SERVER_ERROR = 500


@dataclass(frozen=True)
class FlowRun:
    """One run: `state_type` is Prefect's, such as RUNNING, COMPLETED, FAILED."""

    id: str
    name: str
    deployment_id: str | None
    state_type: str
    state_message: str

    @property
    def is_finished(self) -> bool:
        """Tell whether the run has ended, well or not."""
        return self.state_type in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class PrefectApi:
    """A Prefect server at the configured address; use as a context manager."""

    def __init__(self, settings: EventSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else None
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=settings.api_url.rstrip("/") + "/",
            timeout=settings.timeout_seconds,
            headers=headers,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ensure_work_pool(
        self, name: str, *, pool_type: str, concurrency_limit: int, job_template: Mapping[str, object]
    ) -> None:
        """Create the work pool or bring its limit and its job template in line."""
        wanted = {"concurrency_limit": concurrency_limit, "base_job_template": job_template}
        made = {"name": name, "type": pool_type, **wanted}
        if self._request("POST", "work_pools/", made, tolerated=(_HTTP_CONFLICT,)) is None:
            self._request("PATCH", f"work_pools/{name}", wanted)

    def ensure_webhook(self, name: str, url: SecretStr) -> str:
        """Create the webhook block or bring its address in line; return its id. Prefect keeps the address encrypted."""
        block_type = self._request("GET", "block_types/slug/webhook", None, tolerated=(_HTTP_NOT_FOUND,))
        if block_type is None:
            self._request("POST", "block_types/install_system_block_types", {})
            block_type = self._request("GET", "block_types/slug/webhook", None)
        data = {"url": url.get_secret_value(), "method": "POST", "headers": {"Content-Type": "application/json"}}
        held = self._request(
            "GET", f"block_types/slug/webhook/block_documents/name/{name}", None, tolerated=(_HTTP_NOT_FOUND,)
        )
        if held is not None:
            self._request("PATCH", f"block_documents/{held['id']}", {"data": data})
            return str(held["id"])
        kind = {"block_schemas": {"block_type_id": {"any_": [block_type["id"]]}}}
        (newest, *_) = self._request("POST", "block_schemas/filter", kind)
        body = {"name": name, "data": data, "block_type_id": block_type["id"], "block_schema_id": newest["id"]}
        return str(self._request("POST", "block_documents/", body)["id"])

    def ensure_automation(self, automation: Mapping[str, object]) -> None:
        """Create an automation or replace the one of its name."""
        held = self._automations(str(automation["name"]))
        if held:
            self._request("PUT", f"automations/{held[0]['id']}", automation)
        else:
            self._request("POST", "automations/", automation)

    def disable_automation(self, name: str) -> None:
        """Switch an automation off; one that is not there stays so."""
        for held in self._automations(name):
            self._request("PATCH", f"automations/{held['id']}", {"enabled": False})

    def _automations(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request(
            "POST", "automations/filter", {"automations": {"name": {"any_": [name]}}}
        )
        return found

    def count_deployments(self) -> int:
        """Return how many deployments the server knows."""
        return int(self._request("POST", "deployments/count", {}))

    def start_run(self, deployment: str, parameters: Mapping[str, str | int | float | None]) -> FlowRun:
        """Create a run of a deployment named `flow/deployment`.

        Raises:
            ConfigurationError: There is no such deployment.
        """
        found = self._request("GET", f"deployments/name/{deployment}", None, tolerated=(_HTTP_NOT_FOUND,))
        if found is None:
            raise ConfigurationError(f"there is no deployment {deployment}; run `slackwater stack up`")
        body = {"parameters": dict(parameters), "state": {"type": "SCHEDULED"}}
        return _flow_run(self._request("POST", f"deployments/{found['id']}/create_flow_run", body))

    def flow_run(self, run_id: str) -> FlowRun:
        """Return a run by id."""
        return _flow_run(self._request("GET", f"flow_runs/{run_id}", None))

    def newest_run(self, flow: str) -> FlowRun | None:
        """Return the run of a flow that began last, None when none has begun."""
        body = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"start_time": {"is_null_": False}}}
        found = self._request("POST", "flow_runs/filter", {**body, "sort": "START_TIME_DESC", "limit": 1})
        return _flow_run(found[0]) if found else None

    def failed_runs(self, *, since: datetime) -> list[FlowRun]:
        """Return the runs that failed or crashed since a time, oldest first."""
        body = {
            "flow_runs": {
                "state": {"type": {"any_": ["FAILED", "CRASHED"]}},
                "end_time": {"after_": since.isoformat()},
            },
            "sort": "END_TIME_DESC",
        }
        return [_flow_run(item) for item in reversed(self._request("POST", "flow_runs/filter", body))]

    def _request(
        self, method: str, path: str, body: Mapping[str, object] | None, *, tolerated: tuple[int, ...] = ()
    ) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as exc:
            raise StoreUnavailable(f"Prefect at {self._http.base_url} does not answer: {exc!r}") from exc
        if answer.status_code in tolerated:
            return None
        if answer.status_code >= _HTTP_SERVER_ERROR:
            raise StoreUnavailable(f"Prefect answered {answer.status_code} to {method} {path}")
        if answer.is_error:
            raise StoreRejected(f"Prefect refused {method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else {}


def _flow_run(document: Mapping[str, Any]) -> FlowRun:
    state = document.get("state") or {}
    return FlowRun(
        id=str(document["id"]),
        name=str(document.get("name", "")),
        deployment_id=document.get("deployment_id"),
        state_type=str(document.get("state_type") or state.get("type") or "UNKNOWN"),
        state_message=str(state.get("message") or ""),
    )
