"""The names that more than one part depends on: events, resources, schemas and tables.

Stable contract (ARCHITECTURE.md, "Names"): a name here is changed only with an entry in CHANGELOG.md. No logic here
beyond composing names.
"""

ENTITIES: tuple[str, ...] = ("users", "products", "orders", "order_items")
"""The four entities in an order that respects their references."""

MART_SET = "core"
"""The one set of marts that is refreshed and published together."""

EVENT_BATCH_SEALED = "slackwater.batch.sealed"
EVENT_BATCH_LANDED = "slackwater.batch.landed"
EVENT_REFRESH_DUE = "slackwater.refresh.due"
EVENT_GATE_FAILED = "slackwater.gate.failed"
EVENT_MARTS_PUBLISHED = "slackwater.marts.published"
EVENT_MARTS_STALE = "slackwater.marts.stale"
EVENT_SCHEMA_CHANGED = "slackwater.schema.changed"
EVENT_LAKE_DUE = "slackwater.lake.due"
EVENT_REWRITE_REJECTED = "slackwater.rewrite.rejected"
EVENT_RECONCILIATION_FAILED = "slackwater.reconciliation.failed"
EVENT_OBJECT_QUARANTINED = "slackwater.object.quarantined"
EVENTS: tuple[str, ...] = (
    EVENT_BATCH_SEALED,
    EVENT_BATCH_LANDED,
    EVENT_REFRESH_DUE,
    EVENT_GATE_FAILED,
    EVENT_MARTS_PUBLISHED,
    EVENT_MARTS_STALE,
    EVENT_SCHEMA_CHANGED,
    EVENT_LAKE_DUE,
    EVENT_REWRITE_REJECTED,
    EVENT_RECONCILIATION_FAILED,
    EVENT_OBJECT_QUARANTINED,
)

CHANGES_NAMESPACE = "changes"
STATE_NAMESPACE = "ecommerce"
ANALYTICS_NAMESPACE = "analytics"
SNAPSHOT_BATCH_ID = "slackwater.batch-id"
"""Key of the snapshot summary that holds the id of the batch an append wrote."""

SNAPSHOT_FOLDED_BATCHES = "slackwater.folded-batches"
"""Key of the snapshot summary that holds the ids of the batches a fold took in, separated by commas."""

SNAPSHOT_PURGE_ID = "slackwater.purge-id"
"""Key of the snapshot summary that holds the id of the purge that took old files away."""

SNAPSHOT_REWRITE_ID = "slackwater.rewrite-id"
"""Key of the snapshot summary that holds the id of the rewrite that made it."""

SCHEMA_RAW = "RAW"
SCHEMA_STAGING = "STAGING"
SCHEMA_MARTS = "MARTS"
SCHEMA_CANDIDATE = "CANDIDATE"
SCHEMA_OPS = "OPS"

TOAST_PLACEHOLDER = "__debezium_unavailable_value"
"""What change data capture writes for an unchanged large value it was not given."""


def entity_resource(entity: str) -> str:
    """Return the Prefect resource id of an entity."""
    return f"slackwater.entity.{entity}"


def mart_set_resource(mart_set: str = MART_SET) -> str:
    """Return the Prefect resource id of a mart set."""
    return f"slackwater.marts.{mart_set}"


def table_resource(table: str) -> str:
    """Return the Prefect resource id of a table in any store."""
    return f"slackwater.table.{table.lower()}"


LAKE_RESOURCE = "slackwater.lake.tables"
"""The Prefect resource id of the lake's tables, all together."""


def lake_due_event_id(raises: int) -> str:
    """Return the id of the event of one raise of the lake's flag, whoever sends it."""
    return f"{EVENT_LAKE_DUE}:{raises}"


def refresh_due_event_id(mart_set: str, raises: int) -> str:
    """Return the id of the event of one raise of the refresh flag, whoever sends it."""
    return f"{EVENT_REFRESH_DUE}:{mart_set}:{raises}"


def changelog_table(entity: str) -> str:
    """Return the Iceberg identifier of an entity's append-only changelog."""
    return f"{CHANGES_NAMESPACE}.{entity}"


def state_table(entity: str) -> str:
    """Return the Iceberg identifier of an entity's newest versions, tombstones included."""
    return f"{STATE_NAMESPACE}.{entity}"


def analytics_table(name: str) -> str:
    """Return the Iceberg identifier of a result of the lake's batch analytics."""
    return f"{ANALYTICS_NAMESPACE}.{name}"


def raw_table(entity: str) -> str:
    """Return the warehouse name of an entity's raw table."""
    return f"{SCHEMA_RAW}.{entity.upper()}"


def clickhouse_changes_table(entity: str) -> str:
    """Return the ClickHouse name of an entity's append-only change table."""
    return f"{entity}_changes"


def clickhouse_realtime_table(entity: str) -> str:
    """Return the ClickHouse name of the newest version per key of an entity."""
    return f"{entity}_realtime"
