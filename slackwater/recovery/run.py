"""Rebuilds a lost ledger: reads the stores, decides, writes once. Stop bridge and worker before."""

from dataclasses import dataclass
from datetime import datetime

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_contents import main_history
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import CommitConflict
from slackwater.ledger.model import BatchState
from slackwater.ledger.rebuild import LedgerContents, require_empty, restore
from slackwater.ledger.store import Ledger
from slackwater.recovery.evidence import Evidence, gather, read_loads
from slackwater.recovery.plan import Findings, plan_contents
from slackwater.settings import LandingSettings

ACTOR = "ledger-rebuild"


@dataclass(frozen=True)
class RestoredEntity:
    """How much of one entity was restored; `published_batches` are part of the loaded ones."""

    entity: str
    objects: int
    sealed_batches: int
    landed_batches: int
    loaded_batches: int
    published_batches: int
    rows: int


@dataclass(frozen=True)
class RebuildReport:
    """What a rebuild restored, or would restore.

    Attributes:
        is_written: False for a look without writing.
    """

    is_written: bool
    entities: tuple[RestoredEntity, ...]
    published_refreshes: int
    findings: Findings


def rebuild(
    *,
    ledger: Ledger,
    lake: Lake,
    store: ObjectStore,
    warehouse: Warehouse,
    landing: LandingSettings,
    now: datetime,
    is_writing: bool,
    actor: str = ACTOR,
) -> RebuildReport:
    """Restore objects, batches and published refreshes of an empty ledger.

    Killed in the middle it has written nothing and may be started again; after it succeeded it is refused.

    Args:
        ledger: The empty, migrated ledger.
        lake: Says which objects landed in which batch.
        store: Says which landing objects there are.
        warehouse: Says what was loaded and published.
        landing: Landing bucket and prefix.
        now: Present time.
        is_writing: False only reads and reports, whatever the ledger holds.
        actor: Who does it, for the record.

    Raises:
        ConfigurationError: The ledger is not empty.
        CommitConflict: Something was appended or loaded meanwhile: work still goes on.
    """
    if is_writing:
        with ledger.transaction() as connection:
            require_empty(connection)
    evidence = gather(lake=lake, store=store, warehouse=warehouse, landing=landing)
    contents, findings = plan_contents(evidence, now=now)
    if is_writing:
        _require_still(evidence, lake, warehouse)
        with ledger.transaction() as connection:
            restore(connection, contents, actor=actor)
    return RebuildReport(is_writing, _entities(evidence, contents), len(contents.refreshes), findings)


def _require_still(evidence: Evidence, lake: Lake, warehouse: Warehouse) -> None:
    moved = [name for name, seen in evidence.histories.items() if main_history(lake, name).head_id != seen.head_id]
    if moved or read_loads(warehouse).keys() != evidence.loads.keys():
        raise CommitConflict(
            f"somebody still appends or loads ({', '.join(moved) or 'the warehouse'}): stop bridge and worker, then"
            " start again; nothing was written"
        )


def _entities(evidence: Evidence, contents: LedgerContents) -> tuple[RestoredEntity, ...]:
    published = {batch_id for refresh in contents.refreshes for batch_id in refresh.batch_ids}
    found = []
    for entity in evidence.histories:
        batches = [one for one in contents.batches if one.entity == entity]
        states = [one.state for one in batches]
        found.append(
            RestoredEntity(
                entity=entity,
                objects=sum(1 for item in contents.objects if item.entity == entity),
                sealed_batches=states.count(BatchState.SEALED),
                landed_batches=states.count(BatchState.LANDED),
                loaded_batches=states.count(BatchState.LOADED),
                published_batches=sum(1 for one in batches if one.batch_id in published),
                rows=sum(one.row_count or 0 for one in batches),
            )
        )
    return tuple(found)
