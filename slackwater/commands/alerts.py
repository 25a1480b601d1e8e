"""`slackwater alerts`: the automations that post a rejected refresh, a stale mart or a schema change to a webhook."""

import json
from dataclasses import asdict

import typer

from slackwater.commands.context import AsJson, current_systems, out, plain_errors

app = typer.Typer(no_args_is_help=True, help="Alerts to a webhook: bring Prefect's automations in line.")


@app.callback()
def alerts() -> None:
    """Keep the group a group while it has one command."""


@app.command("apply")
def alerts_apply(as_document: AsJson = False) -> None:
    """Make Prefect's automations what deployments/alerts.yml says; off without SLACKWATER_ALERTS_WEBHOOK_URL."""
    from slackwater.alerts import apply_alerts, load_alerts
    from slackwater.clients.prefect_api import PrefectApi
    from slackwater.settings import AlertSettings

    with plain_errors(), PrefectApi(current_systems().events) as api:
        applied = apply_alerts(api, load_alerts(), AlertSettings())
    if as_document:
        print(json.dumps([asdict(one) for one in applied], indent=2))
        return
    for one in applied:
        out.print(f"{one.name}: {'on' if one.is_enabled else 'off'}. {one.description}", markup=False)
    if not all(one.is_enabled for one in applied):
        out.print("No address is set: SLACKWATER_ALERTS_WEBHOOK_URL")
