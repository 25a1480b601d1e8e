"""Step: append a batch to its Iceberg changelog table."""

from collections.abc import Iterator, Mapping

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from slackwater.entities.casting import SCHEMA_CHANGE_REASON
from slackwater.lake.append import AppendResult, append_claimed
from slackwater.ledger.model import BatchLease
from slackwater.naming import (
    EVENT_BATCH_LANDED,
    EVENT_OBJECT_QUARANTINED,
    EVENT_SCHEMA_CHANGED,
    entity_resource,
)
from slackwater.settings import LandingSettings
from tasks.connections import open_event_bus, open_lake, open_ledger, open_object_store
from tasks.retrying import retried_task


@retried_task(timeout_seconds=1_800)
def append_to_lake(lease: BatchLease) -> AppendResult:
    """Append every readable object of the batch once; quarantine and name the others.

    A second call finds the batch in the table and changes nothing.
    """
    with open_ledger() as ledger:
        result = append_claimed(
            lease, ledger=ledger, lake=open_lake(), store=open_object_store(), landing=LandingSettings()
        )
    get_run_logger().info(
        "%s: %d rows of %d objects appended in %.1f s, %d skipped",
        result.entity,
        result.row_count,
        result.object_count,
        result.seconds,
        len(result.skipped),
    )
    announce_append(result)
    create_markdown_artifact(key=f"append-{result.entity.replace('_', '-')}", markdown=append_markdown(result))
    return result


def announce_append(result: AppendResult) -> None:
    """Say on the event bus that a batch landed and which objects it left out; a second call sends the same events."""
    with open_event_bus() as bus:
        for event, payload, event_id in append_events(result):
            bus.emit(event, entity_resource(result.entity), payload, event_id=event_id)


def append_events(result: AppendResult) -> Iterator[tuple[str, Mapping[str, str | int], str]]:
    """Yield name, payload and id of each event of an append; a file of another shape is a schema change, too."""
    landed: dict[str, str | int] = {"batch_id": result.batch_id, "entity": result.entity, "row_count": result.row_count}
    yield EVENT_BATCH_LANDED, landed, f"{EVENT_BATCH_LANDED}:{result.batch_id}"
    for item in result.skipped:
        named = {"object_id": item.object_id, "key": item.key, "reason": item.reason, "batch_id": result.batch_id}
        yield EVENT_OBJECT_QUARANTINED, named, f"{EVENT_OBJECT_QUARANTINED}:{result.batch_id}:{item.object_id}"
        if item.reason == SCHEMA_CHANGE_REASON:
            told = {"object": item.key, "what": f"the file waits in quarantine: {item.message}", "actor": "source"}
            yield EVENT_SCHEMA_CHANGED, told, f"{EVENT_SCHEMA_CHANGED}:{item.object_id}"


def append_markdown(result: AppendResult) -> str:
    """Return what an append did as Markdown: counts, timing, and each skipped object with its reason."""
    lines = [
        f"## Batch `{result.batch_id}` appended to `changes.{result.entity}`",
        "",
        "| rows | objects | data files | skipped | snapshot | seconds |",
        "|---:|---:|---:|---:|---|---:|",
        f"| {result.row_count} | {result.object_count} | {len(result.data_files)} | {len(result.skipped)} "
        f"| `{result.snapshot_id}` | {result.seconds:.1f} |",
    ]
    if result.was_already_landed:
        lines += ["", "The table held this batch already; nothing was written."]
    if result.skipped:
        lines += ["", "### Quarantined", "", *(f"- `{s.key}`: **{s.reason}**" for s in result.skipped)]
        lines += ["", "See `slackwater quarantine list`; `slackwater quarantine retry` puts an object in a new batch."]
    return "\n".join(lines)
