"""Start a refresh: freeze what it covers and record what it touches.

The bound of an entity is its greatest `load_seq` (numbers have no gaps, see `load.py`); every model of the refresh reads
raw at or below it. The changes between the last published bound and this one are expanded to keys and dates *before*
`base_` is overwritten, from the old versions (`base_`) and the new ones (raw), entirely inside the warehouse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from slackwater.clients.snowflake import Warehouse, quote_identifier
from slackwater.entities.model import load_entity
from slackwater.errors import TerminalError
from slackwater.ledger.store import Ledger, RefreshLease
from slackwater.naming import ENTITIES, MART_SET, SCHEMA_STAGING, raw_table
from slackwater.warehouse.impact import impact_statements

ImpactCounts = Mapping[str, int]


@dataclass(frozen=True)
class Refresh:
    """One frozen refresh.

    Attributes:
        refresh_id: Its id in the ledger.
        mart_set: What it publishes.
        bounds: Greatest `load_seq` per entity that its models read.
        as_of: Newest event time at or below the bounds, naive UTC; what time-dependent columns count from.
        batch_ids: The loaded, unpublished batches it covers.
        impact_counts: Touched things by scope, such as `{"key:orders": 12, "date": 3}`.
    """

    refresh_id: str
    mart_set: str
    bounds: Mapping[str, int]
    as_of: datetime
    batch_ids: tuple[str, ...]
    impact_counts: ImpactCounts


def read_bounds(warehouse: Warehouse) -> dict[str, int]:
    """Return the greatest loaded `load_seq` per entity, 0 where nothing is loaded."""
    rows = warehouse.query("select entity, max(load_seq) from OPS.LOAD_HISTORY group by entity")
    found = {str(entity): int(str(bound)) for entity, bound in rows}
    return {entity: found.get(entity, 0) for entity in ENTITIES}


def read_as_of(warehouse: Warehouse, bounds: Mapping[str, int]) -> datetime | None:
    """Return the newest event time at or below the bounds, None when raw is empty there."""
    parts = [
        f"select max(__source_ts_ms) as at from {quote_identifier(raw_table(entity))} where load_seq <= ?"
        for entity in ENTITIES
    ]
    newest = warehouse.scalar(
        f"select max(at) from ({' union all '.join(parts)}) as newest", [bounds[entity] for entity in ENTITIES]
    )
    if newest is not None and not isinstance(newest, datetime):
        raise TerminalError(f"__source_ts_ms came back as {type(newest).__name__}, expected a timestamp")
    return newest
