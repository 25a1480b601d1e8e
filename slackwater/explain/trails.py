"""Puts together what ledger, lake and warehouse say of batches and refreshes. Only reads; one question per store."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING

from slackwater.explain import read_ledger as ledger
from slackwater.explain.stores import Stores
from slackwater.explain.work_facts import BatchFacts, BatchTrail, RefreshFacts, RefreshTrail, SnapshotFacts

if TYPE_CHECKING:
    pass


def read_trails(
    stores: Stores, batch_ids: Sequence[str], *, with_files: Collection[str] = (), day: date | None = None
) -> dict[str, BatchTrail]:
    """Return what every store says of batches; those the ledger does not have are left out.

    Args:
        stores: The stores.
        batch_ids: Wanted batches.
        with_files: Of those, the ones whose data files are wanted.
        day: Only data files of this day's partition.
    """
    from slackwater.explain.read_warehouse import load_history

    if not batch_ids:
        return {}
    batches = stores.ledger(lambda found: ledger.batches_by_id(found, batch_ids)) or {}
    refreshes = stores.ledger(lambda found: ledger.refreshes_of(found, batch_ids)) or ()
    snapshots = _snapshots(stores, list(batches.values()), with_files=with_files, day=day)
    loads = stores.warehouse(lambda found: load_history(found, batch_ids)) or {}
    told = read_refresh_trails(stores, refreshes)
    return {
        batch_id: BatchTrail(
            batch=batch,
            snapshot=snapshots.get(batch_id),
            load=loads.get(batch_id),
            refreshes=tuple(trail for trail in told if batch_id in trail.refresh.batch_ids),
        )
        for batch_id, batch in batches.items()
    }


def read_refresh_trails(stores: Stores, refreshes: Sequence[RefreshFacts]) -> tuple[RefreshTrail, ...]:
    """Return refreshes with their checks and publications, in the order given."""
    from slackwater.explain.read_warehouse import check_results, publications

    if not refreshes:
        return ()
    ids = [refresh.refresh_id for refresh in refreshes]
    checks = stores.warehouse(lambda found: check_results(found, ids)) or {}
    published = stores.warehouse(lambda found: publications(found, ids)) or {}
    return tuple(
        RefreshTrail(refresh, checks.get(refresh.refresh_id), published.get(refresh.refresh_id))
        for refresh in refreshes
    )


def _snapshots(
    stores: Stores, batches: Sequence[BatchFacts], *, with_files: Collection[str], day: date | None
) -> dict[str, SnapshotFacts]:
    found: dict[str, SnapshotFacts] = {}
    for entity in dict.fromkeys(batch.entity for batch in batches):
        mine = [batch for batch in batches if batch.entity == entity]
        found |= stores.lake_snapshots(entity, mine, with_files=with_files, day=day) or {}
    return found
