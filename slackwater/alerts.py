"""The alerts of `deployments/alerts.yml` as Prefect automations that post to one webhook.

An alert is an event that somebody should hear of; the event is emitted whether alerts are on or not. Nothing here
decides what is worth an alert.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from slackwater.settings import AlertSettings, ProjectSettings
from slackwater.yaml_text import load_yaml

TEXT = "TEXT"
"""Stands in the payload for the alert's own text."""


class _Automation(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    description: str
    expect: list[str] = Field(min_length=1)
    resource: str
    text: str


class AlertFile(BaseModel):
    """The declared alerts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    webhook: str
    payload: str
    automations: list[_Automation] = Field(min_length=1)


class AutomationStore(Protocol):
    """What is asked of Prefect; `slackwater.clients.prefect_api.PrefectApi` is the one implementation."""

    def ensure_webhook(self, name: str, url: SecretStr) -> str:
        """Create or update the webhook and return its id."""

    def ensure_automation(self, automation: Mapping[str, object]) -> None:
        """Create or replace an automation by its name."""

    def disable_automation(self, name: str) -> None:
        """Switch an automation off, if there is one of this name."""


@dataclass(frozen=True)
class AppliedAlert:
    """One alert and whether it is on."""

    name: str
    description: str
    is_enabled: bool


def load_alerts(project_dir: Path | None = None) -> AlertFile:
    """Read the declared alerts of the checkout or image."""
    path = (project_dir or ProjectSettings().root) / "deployments" / "alerts.yml"
    return AlertFile.model_validate(load_yaml(path.read_text(encoding="utf-8")))


def apply_alerts(store: AutomationStore, alerts: AlertFile, settings: AlertSettings) -> tuple[AppliedAlert, ...]:
    """Make Prefect's automations what the file says; repeating changes nothing.

    Args:
        store: Prefect.
        alerts: What is declared.
        settings: Where alerts go; without an address every alert is switched off and none is made.

    Raises:
        StoreUnavailable: Prefect does not answer.
    """
    if settings.webhook_url is None:
        for one in alerts.automations:
            store.disable_automation(one.name)
    else:
        webhook_id = store.ensure_webhook(alerts.webhook, settings.webhook_url)
        for document in automation_documents(alerts, webhook_id=webhook_id):
            store.ensure_automation(document)
    is_enabled = settings.webhook_url is not None
    return tuple(AppliedAlert(one.name, one.description, is_enabled) for one in alerts.automations)


def automation_documents(alerts: AlertFile, *, webhook_id: str) -> tuple[Mapping[str, object], ...]:
    """Return the automations as Prefect's API takes them: one call of the webhook for every event."""
    return tuple(
        {
            "name": one.name,
            "description": one.description,
            "enabled": True,
            "trigger": {
                "type": "event",
                "posture": "Reactive",
                "expect": one.expect,
                "match": {"prefect.resource.id": one.resource},
                "match_related": {},
                "for_each": ["prefect.resource.id"],
                "threshold": 1,
                "within": 0,
            },
            "actions": [
                {
                    "type": "call-webhook",
                    "block_document_id": webhook_id,
                    "payload": alerts.payload.replace(TEXT, one.text),
                }
            ],
        }
        for one in alerts.automations
    )
