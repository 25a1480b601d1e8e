"""The declared alerts as automations: every one posts valid JSON to the one webhook, and none without an address."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import SecretStr

from slackwater.alerts import apply_alerts, automation_documents, load_alerts
from slackwater.naming import EVENTS
from slackwater.settings import AlertSettings

ALERTS = load_alerts()
DOCUMENTS = automation_documents(ALERTS, webhook_id="w1")
HOSTILE = 'a "quoted" {{ value }}\nwith a \\ and </script>'

VALUES = ("refresh_id", "reasons", "report", "mart_set", "age_minutes", "cause", "object", "what")


@dataclass
class Recorder:
    """Stands for Prefect: remembers what it was asked for."""

    webhooks: list[tuple[str, str]] = field(default_factory=list)
    automations: dict[str, Mapping[str, object]] = field(default_factory=dict)
    disabled: list[str] = field(default_factory=list)

    def ensure_webhook(self, name: str, url: SecretStr) -> str:
        self.webhooks.append((name, url.get_secret_value()))
        return "w1"

    def ensure_automation(self, automation: Mapping[str, object]) -> None:
        self.automations[str(automation["name"])] = automation

    def disable_automation(self, name: str) -> None:
        self.disabled.append(name)


def test_without_an_address_every_alert_is_off_and_none_is_made():
    store = Recorder()
    applied = apply_alerts(store, ALERTS, AlertSettings())
    assert (store.webhooks, store.automations) == ([], {})
    assert store.disabled == [one.name for one in applied]
    assert not any(one.is_enabled for one in applied)


def test_with_an_address_every_alert_posts_to_it_and_repeating_makes_no_more():
    store = Recorder()
    settings = AlertSettings(webhook_url=SecretStr("http://127.0.0.1:9/hook"))
    first = apply_alerts(store, ALERTS, settings)
    apply_alerts(store, ALERTS, settings)
    assert set(store.webhooks) == {(ALERTS.webhook, "http://127.0.0.1:9/hook")}
    assert list(store.automations) == [one.name for one in first]
    assert len(first) == 3
    assert all(one.is_enabled for one in first)


def test_every_alert_listens_to_events_of_ours():
    assert {event for one in ALERTS.automations for event in one.expect} <= set(EVENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["name"])
def test_what_is_posted_is_json_whatever_the_event_holds(document):
    """Rendered with the same sandbox of Jinja as Prefect's; the test of the whole system lets Prefect render it."""
    (action,) = document["actions"]
    event = {
        "event": "slackwater.x",
        "id": "e1",
        "resource": {"id": "r1"},
        "occurred": "2026-05-10",
        "payload": dict.fromkeys(VALUES, HOSTILE),
    }
    template = ImmutableSandboxedEnvironment(autoescape=False).from_string(action["payload"])
    posted = json.loads(template.render(event=event, automation={"name": document["name"]}))
    assert posted["alert"] == document["name"]
    assert HOSTILE in posted["text"]
    assert posted["payload"] == event["payload"]
