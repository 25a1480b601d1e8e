"""Start a refresh: freeze what it covers and record what it touches.

The bound of an entity is its greatest `load_seq` (numbers have no gaps, see `load.py`); every model of the refresh
reads raw at or below it. The changes since the last published bound are expanded to every scope *before* `base_` is
overwritten, entirely inside the warehouse. What building and judging do with it is not decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from slackwater.clients.snowflake import Warehouse, quote_identifier
from slackwater.errors import TerminalError
from slackwater.ledger.model import LedgerRefresh, WorkLease
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, SCHEMA_STAGING, raw_table
from slackwater.warehouse.costs import Step, query_tag
from slackwater.warehouse.dbt_cli import FrozenValue
from slackwater.warehouse.impact import FROM_EVER, SCOPE_KEY, LoadRange, impact_statements


@dataclass(frozen=True)
class Refresh:
    """One frozen refresh.

    Attributes:
        refresh_id: Its id in the ledger.
        mart_set: What it publishes.
        bounds: Greatest `load_seq` per entity that its models read.
        as_of: Newest event time at or below the bounds, naive UTC as the warehouse and the ledger keep it;
            time-dependent columns count from it. None without rows.
        batch_ids: The loaded, unpublished batches it covers.
        impact_counts: Touched things by scope, such as `{"key:orders": 12, "date": 3}`.
        touched_from: First date of which rows are touched; None when it touches none of a date.
    """

    refresh_id: str
    mart_set: str
    bounds: Mapping[str, int]
    as_of: datetime | None
    batch_ids: tuple[str, ...]
    impact_counts: Mapping[str, int]
    touched_from: date | None = None


def start_refresh(*, ledger: Ledger, warehouse: Warehouse, lease: WorkLease, is_forced: bool = False) -> Refresh | None:
    """Freeze the loaded, unpublished batches and record their impact.

    A refresh whose holder died is resumed with the set and the impact it had; its impact is not computed again, because
    its models may have overwritten the old versions already.

    Args:
        ledger: Freezes the set.
        warehouse: Session that reads bounds and writes the impact.
        lease: The caller's right to refresh the mart set.
        is_forced: Start even when the set is the very one that was rejected last.

    Returns:
        The refresh, or None when nothing is unpublished.
    """
    bounds = read_bounds(warehouse)
    frozen = ledger.start_refresh(lease, bounds=bounds, as_of=read_as_of(warehouse, bounds), is_forced=is_forced)
    if frozen is None:
        return None
    record_impact(warehouse, frozen)
    return _refresh_of(frozen, warehouse)


def read_refresh(refresh_id: str, *, ledger: Ledger, warehouse: Warehouse) -> Refresh:
    """Read a refresh that was started before, with the set it was frozen with."""
    return _refresh_of(ledger.refresh(refresh_id), warehouse)


def _refresh_of(frozen: LedgerRefresh, warehouse: Warehouse) -> Refresh:
    return Refresh(
        refresh_id=frozen.refresh_id,
        mart_set=frozen.mart_set,
        bounds=frozen.bounds,
        as_of=frozen.as_of,
        batch_ids=frozen.batch_ids,
        impact_counts=read_impact_counts(warehouse, frozen.refresh_id),
        touched_from=_touched_from(warehouse, frozen.refresh_id),
    )


def frozen_values(refresh: Refresh) -> dict[str, FrozenValue]:
    """Return what the dbt project is told of this refresh; the same for building and testing."""
    as_of = refresh.as_of.isoformat(sep=" ") if refresh.as_of else ""
    bounds = {f"bound_{entity}": refresh.bounds.get(entity, 0) for entity in ENTITIES}
    return {
        "refresh_id": refresh.refresh_id,
        "as_of": as_of,
        "touched": sorted(refresh.impact_counts),
        "touched_from": str(refresh.touched_from or FROM_EVER),
        **bounds,
    }


def read_bounds(warehouse: Warehouse) -> dict[str, int]:
    """Return the greatest loaded `load_seq` per entity, 0 where nothing is loaded."""
    rows = warehouse.query("select entity, max(load_seq) from OPS.LOAD_HISTORY group by entity")
    found = {str(entity): int(str(bound)) for entity, bound in rows}
    return {entity: found.get(entity, 0) for entity in ENTITIES}


def read_as_of(warehouse: Warehouse, bounds: Mapping[str, int]) -> datetime | None:
    """Return the newest event time (naive UTC) at or below the bounds, None when raw is empty there."""
    parts = [
        f"select max(__source_ts_ms) as event_at from {quote_identifier(raw_table(entity))} where load_seq <= ?"
        for entity in ENTITIES
    ]
    newest = warehouse.scalar(
        f"select max(event_at) from ({' union all '.join(parts)}) as newest", [bounds[entity] for entity in ENTITIES]
    )
    if newest is not None and not isinstance(newest, datetime):
        raise TerminalError(f"__source_ts_ms came back as {type(newest).__name__}, expected a timestamp")
    return newest


def record_impact(warehouse: Warehouse, frozen: LedgerRefresh) -> None:
    """Write the refresh, its bounds and its impact in one transaction; a second call changes nothing.

    The range runs from the last *published* bound, so a rejected refresh's batches are in it again. What else it
    touched is copied too: its models may have overwritten the old versions that led to it.

    Raises:
        CommitConflict: A publication or another start held the lock; nothing was written.
    """
    refresh_id, mart_set = frozen.refresh_id, frozen.mart_set
    built = _built_entities(warehouse)
    with warehouse.tagged(query_tag(Step.IMPACT, refresh_id)), warehouse.transaction():
        # The same lock as a publication takes: a late publication of an older refresh either ends before or is refused.
        warehouse.execute("update OPS.MART_LOCK set lock_seq = lock_seq + 1 where mart_set = ?", (mart_set,))
        if warehouse.query("select 1 from OPS.REFRESH where refresh_id = ?", (refresh_id,)):
            return
        published = published_bounds(warehouse, mart_set)
        warehouse.execute(
            "insert into OPS.REFRESH (refresh_id, refresh_seq, mart_set, as_of, started_at)"
            " select ?, lock_seq, mart_set, cast(? as timestamp_ntz(6)), sysdate() from OPS.MART_LOCK"
            " where mart_set = ?",
            (refresh_id, frozen.as_of, mart_set),
        )
        ranges = {}
        for entity in ENTITIES:
            ranges[entity] = LoadRange(after=published.get(entity, 0), upto=frozen.bounds.get(entity, 0))
            warehouse.execute(
                "insert into OPS.REFRESH_BOUND (refresh_id, entity, bound) select ?, ?, ?",
                (refresh_id, entity, ranges[entity].upto),
            )
        for statement in impact_statements(refresh_id, ranges, built=built):
            warehouse.execute(statement.sql, statement.params)
        _inherit_expansions(warehouse, refresh_id, mart_set)
        _forget_published_impact(warehouse, mart_set)


def read_impact_counts(warehouse: Warehouse, refresh_id: str) -> dict[str, int]:
    """Return the number of touched things by scope, keys also by entity."""
    rows = warehouse.query(
        "select scope, entity, count(*) from OPS.IMPACT where refresh_id = ? group by scope, entity", (refresh_id,)
    )
    return {f"{scope}:{entity}" if entity else str(scope): int(str(count)) for scope, entity, count in rows}


def _touched_from(warehouse: Warehouse, refresh_id: str) -> date | None:
    found = warehouse.scalar("select min(key_date) from OPS.IMPACT where refresh_id = ?", (refresh_id,))
    return found if isinstance(found, date) else None


def _built_entities(warehouse: Warehouse) -> set[str]:
    rows = warehouse.query("select table_name from information_schema.tables where table_schema = ?", (SCHEMA_STAGING,))
    names = {str(name).lower() for (name,) in rows}
    return {entity for entity in ENTITIES if f"base_{entity}" in names}


def published_bounds(warehouse: Warehouse, mart_set: str) -> dict[str, int]:
    """Return per entity the greatest `load_seq` that a publication holds; an entity of none is left out."""
    rows = warehouse.query(
        "select limits.entity, max(limits.bound) from OPS.REFRESH_BOUND as limits"
        " inner join MARTS.PUBLICATION as published on published.refresh_id = limits.refresh_id"
        " where published.mart_set = ? group by limits.entity",
        (mart_set,),
    )
    return {str(entity): int(str(bound)) for entity, bound in rows}


_LAST_PUBLISHED_SEQ = (
    "(select coalesce(max(started.refresh_seq), 0) from OPS.REFRESH as started"
    " inner join MARTS.PUBLICATION as published on published.refresh_id = started.refresh_id"
    " where started.mart_set = ?)"
)


def _inherit_expansions(warehouse: Warehouse, refresh_id: str, mart_set: str) -> None:
    """Take over what unpublished refreshes touched beyond their keys; the keys are in the range again."""
    warehouse.execute(
        "insert into OPS.IMPACT (refresh_id, scope, key_id, key_date)"
        " select distinct ?, earlier.scope, earlier.key_id, earlier.key_date from OPS.IMPACT as earlier"
        " inner join OPS.REFRESH as started on started.refresh_id = earlier.refresh_id"
        " left join OPS.IMPACT as known on known.refresh_id = ? and known.scope = earlier.scope"
        " and known.key_id is not distinct from earlier.key_id"
        " and known.key_date is not distinct from earlier.key_date"
        f" where earlier.scope <> ? and started.mart_set = ? and started.refresh_seq > {_LAST_PUBLISHED_SEQ}"
        " and earlier.refresh_id <> ? and known.refresh_id is null",
        (refresh_id, refresh_id, SCOPE_KEY, mart_set, mart_set, refresh_id),
    )


def _forget_published_impact(warehouse: Warehouse, mart_set: str) -> None:
    warehouse.execute(
        "delete from OPS.IMPACT where refresh_id in (select old.refresh_id from OPS.REFRESH as old"
        f" where old.mart_set = ? and old.refresh_seq < {_LAST_PUBLISHED_SEQ})",
        (mart_set, mart_set),
    )
