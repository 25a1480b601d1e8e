"""Steps of a refresh: freeze its batches, publish or reject, and announce that one is due."""

import time

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.ledger.model import WorkLease
from slackwater.naming import (
    EVENT_GATE_FAILED,
    EVENT_MARTS_PUBLISHED,
    EVENT_REFRESH_DUE,
    MART_SET,
    mart_set_resource,
    refresh_due_event_id,
)
from slackwater.quality.results import GateVerdict
from slackwater.settings import RefreshSettings
from slackwater.warehouse import publish as publishing
from slackwater.warehouse import refresh as refreshing
from slackwater.warehouse.publish import Publication
from slackwater.warehouse.refresh import Refresh
from tasks.connections import open_event_bus, open_ledger, open_warehouse
from tasks.retrying import retried_task


def is_refresh_due(mart_set: str) -> bool:
    """Say whether something was loaded that no refresh covers yet."""
    with open_ledger() as ledger:
        return ledger.is_refresh_due(mart_set)


@retried_task()
def start_refresh(lease: WorkLease, *, is_forced: bool = False) -> Refresh | None:
    """Lower the flag, wait for batches that are on their way, freeze the set and expand its impact.

    Args:
        lease: This run's lease of the mart set.
        is_forced: Try again even the very set that was rejected last: a model or a rule was repaired.

    Returns:
        The refresh, or None when nothing is unpublished. One that a dead run left open is continued as it was.
    """
    with open_ledger() as ledger, open_warehouse(f"refresh:{lease.work}") as warehouse:
        ledger.lower_flag(lease.work)
        settings = RefreshSettings()
        deadline = time.monotonic() + settings.settle_seconds
        while any(ledger.unloaded_counts().values()) and time.monotonic() < deadline:
            time.sleep(settings.settle_poll_seconds)
        ledger.lower_flag(lease.work)
        refresh = refreshing.start_refresh(ledger=ledger, warehouse=warehouse, lease=lease, is_forced=is_forced)
    if refresh is not None:
        get_run_logger().info(
            "Refresh %s covers %d batches: %s", refresh.refresh_id, len(refresh.batch_ids), refresh.impact_counts
        )
        create_markdown_artifact(key="refresh-started", markdown=refresh_markdown(refresh))
    return refresh


@retried_task()
def publish_refresh(refresh: Refresh, lease: WorkLease) -> Publication:
    """Make the marts equal to the candidate in one transaction; rows that did not change stay as they are."""
    with open_ledger() as ledger:
        ledger.mark_tested(lease, refresh.refresh_id)
        with open_warehouse(f"publish:{refresh.refresh_id}") as warehouse:
            publication = publishing.publish(refresh, ledger=ledger, warehouse=warehouse, lease=lease)
    create_markdown_artifact(key="publication", markdown=publication_markdown(publication))
    with open_event_bus() as bus:
        bus.emit(
            EVENT_MARTS_PUBLISHED,
            mart_set_resource(refresh.mart_set),
            {"refresh_id": refresh.refresh_id, "publication_id": publication.publication_id},
            event_id=publication.publication_id,
        )
    return publication


@retried_task()
def reject_refresh(refresh: Refresh, verdict: GateVerdict, lease: WorkLease) -> None:
    """Record why the refresh is not published and say so on the event bus; marts are not touched."""
    with open_ledger() as ledger:
        ledger.mark_tested(lease, refresh.refresh_id)
        ledger.mark_rejected(lease, refresh.refresh_id, reasons=verdict.reasons, report=str(verdict.report_html))
    with open_event_bus() as bus:
        bus.emit(
            EVENT_GATE_FAILED,
            mart_set_resource(refresh.mart_set),
            {
                "refresh_id": refresh.refresh_id,
                "report": str(verdict.report_html),
                "reasons": "; ".join(verdict.reasons),
            },
            event_id=f"gate-failed:{refresh.refresh_id}",
        )


@retried_task()
def announce_refresh(mart_set: str = MART_SET) -> None:
    """Say on the event bus that the refresh flag was raised; the sweep makes good a lost event."""
    with open_ledger() as ledger, open_event_bus() as bus:
        raises = ledger.flag_raises(mart_set)
        bus.emit(
            EVENT_REFRESH_DUE,
            mart_set_resource(mart_set),
            {"mart_set": mart_set},
            event_id=refresh_due_event_id(mart_set, raises),
        )


def refresh_markdown(refresh: Refresh) -> str:
    """Return what a refresh covers as Markdown."""
    bounds = "".join(f"| {entity} | {bound} |\n" for entity, bound in refresh.bounds.items())
    impact = "".join(f"| {scope} | {count} |\n" for scope, count in sorted(refresh.impact_counts.items()))
    return (
        f"## Refresh `{refresh.refresh_id}` of `{refresh.mart_set}`\n\n{len(refresh.batch_ids)} batches, as of"
        f" {refresh.as_of}\n\n| entity | reads loads up to |\n|---|---:|\n{bounds}\n"
        f"| touched | count |\n|---|---:|\n{impact}\n"
        f"Batches: {', '.join(f'`{batch_id}`' for batch_id in refresh.batch_ids)}"
    )


def publication_markdown(publication: Publication) -> str:
    """Return what a publication changed as Markdown; a changed row counts as deleted and inserted."""
    rows = "".join(f"| {m.mart} | {m.rows_deleted} | {m.rows_inserted} |\n" for m in publication.marts)
    head = "| mart | rows deleted | rows inserted |\n|---|---:|---:|\n"
    return f"## Published `{publication.publication_id}`\n\n{head}{rows}"
