"""The event bus: posts events to the Prefect API over HTTP. An event is a hint; losing one changes latency only."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from uuid import UUID, uuid5

import httpx

from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.settings import EventSettings

EVENT_NAMESPACE = UUID("1f5e2a0c-5d0b-5c0a-9f0e-6b1f7c1d2e3a")
"""Namespace of our event ids: the same `event_id` text is the same event however often it is sent."""

Payload = Mapping[str, str | int | float | bool]


class EventBus:
    """Emits events; usable as a context manager."""

    def __init__(self, settings: EventSettings) -> None:
        headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}
        self._http = httpx.Client(timeout=settings.timeout_seconds, headers=headers)
        self._url = f"{settings.api_url.rstrip('/')}/events"

    def __enter__(self) -> "EventBus":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the HTTP connections."""
        self._http.close()

    def emit(self, event: str, resource_id: str, payload: Payload, *, event_id: str) -> None:
        """Send one event.

        Args:
            event: A name of `slackwater.naming.EVENTS`.
            resource_id: Prefect resource id the automations filter on.
            payload: Flat values, readable from an automation's template.
            event_id: Stable text that identifies this event; hashed to the event's UUID.

        Raises:
            StoreUnavailable: The API does not answer or answers 5xx.
            ConfigurationError: The API refuses the event (4xx).
        """
        body = {
            "id": str(uuid5(EVENT_NAMESPACE, event_id)),
            "event": event,
            "occurred": datetime.now(UTC).isoformat(),
            "resource": {"prefect.resource.id": resource_id, "prefect.resource.name": resource_id},
            "related": [],
            "payload": dict(payload),
        }
        try:
            answer = self._http.post(self._url, json=[body])
        except httpx.HTTPError as exc:
            raise StoreUnavailable(f"event {event}: {self._url} did not answer: {exc}") from exc
        if answer.status_code >= 500 or answer.status_code == 429:
            raise StoreUnavailable(f"event {event}: {self._url} answered {answer.status_code}")
        if answer.status_code >= 400:
            raise ConfigurationError(f"event {event}: {self._url} answered {answer.status_code}: {answer.text[:200]}")
