"""Looks after the tables of the lake: what is expired goes, what readers pay for is put in order.

Per table: old rows of a changelog, then snapshots, both by pyiceberg; then in one Spark session for all tables
tombstones, manifests, statistics and the files no snapshot names. The ledger is told before a row goes: killed in
between, the lake holds more than it must and the next run takes it away. The caller holds the lease of the lake.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_files import (
    batch_rows,
    files_at,
    read_layout,
    read_storage,
    remove_files,
    tombstones_by_object,
)
from slackwater.clients.iceberg_snapshots import expire, read_history
from slackwater.entities.model import load_entity
from slackwater.errors import CommitConflict, SparkMissing
from slackwater.lake.history import TABLES, TableHistory, entity_of, is_changelog
from slackwater.lake.maintenance import (
    ChangelogFile,
    ExpiryPlan,
    MaintainRequest,
    MaintainResult,
    PurgePlan,
    TableKept,
    TableUpkeep,
    is_worth_rewriting,
    orphan_limit,
    plan_expiry,
    plan_purge,
)
from slackwater.ledger import purges
from slackwater.ledger.model import WorkLease
from slackwater.ledger.purges import PurgeAges
from slackwater.ledger.store import Ledger
from slackwater.settings import LakeSettings

RunSpark = Callable[[MaintainRequest], MaintainResult]
COMMIT_ATTEMPTS = 8
"""Appends go on meanwhile; each one that is first has the plan made again."""

_NOTHING = PurgePlan((), (), {}, 0)


@dataclass(frozen=True)
class Storage:
    """Files and bytes below a table's location."""

    file_count: int
    size_bytes: int


@dataclass(frozen=True)
class TableReport:
    """What the upkeep did with one table, or would do.

    Attributes:
        purged: Rows of the changelog that went.
        tombstones: Deletes that went from a state table.
        spark: None when Spark did nothing with it.
        orphan_bytes: Size of the files that no snapshot names, where the listing before showed them.
        after: None in a dry run.
    """

    table: str
    before: Storage
    after: Storage | None
    purged: PurgePlan
    tombstones: int
    expiry: ExpiryPlan
    upkeep: TableUpkeep
    spark: TableKept | None
    orphan_bytes: int


@dataclass(frozen=True)
class MaintenanceReport:
    """What the upkeep did with every table.

    Attributes:
        left_out: Why Spark's part was not done; None when it was.
    """

    is_dry: bool
    at: datetime
    tables: tuple[TableReport, ...]
    left_out: str | None

    @property
    def before(self) -> Storage:
        """Return what all tables took before."""
        return _sum([one.before for one in self.tables])

    @property
    def after(self) -> Storage | None:
        """Return what all tables take now; None in a dry run."""
        found = [one.after for one in self.tables if one.after is not None]
        return _sum(found) if found else None


def _sum(parts: Sequence[Storage]) -> Storage:
    return Storage(sum(one.file_count for one in parts), sum(one.size_bytes for one in parts))


@dataclass(frozen=True)
class _Keeper:
    """What one run works with; without a lease it only looks."""

    ledger: Ledger
    lake: Lake
    settings: LakeSettings
    now: datetime
    lease: WorkLease | None

    @property
    def ages(self) -> PurgeAges:
        """Return since when batches must have been where they are to be purged."""
        return PurgeAges.at(
            self.now,
            changelog_days=self.settings.changelog_retention_days,
            snapshot_days=self.settings.snapshot_retention_days,
        )


def maintain(
    *,
    ledger: Ledger,
    lake: Lake,
    settings: LakeSettings,
    now: datetime,
    lease: WorkLease | None,
    run_spark: RunSpark,
    tables: Sequence[str] = TABLES,
) -> MaintenanceReport:
    """Keep the tables within their retention; a second run finds nothing more to do.

    Args:
        ledger: Knows what is loaded, folded, published, and since when.
        lake: The lake.
        settings: The retentions.
        now: Present time, UTC; every age is measured from it.
        lease: Of the lake's upkeep; None only says what would go and changes nothing.
        run_spark: Does Spark's part.
        tables: Which tables.

    Raises:
        CommitConflict: Appends were first every time; nothing is half done, run it again.
        LeaseLost: Somebody else keeps the lake now.
    """
    keeper = _Keeper(ledger, lake, settings, now, lease)
    reports, sizes = [], {}
    for name in tables:
        listed = read_storage(lake, name)
        sizes[name] = listed.size_by_address
        before = Storage(listed.file_count, listed.size_bytes)
        purged, expiry = _purge(keeper, name), _expire(keeper, name)
        upkeep, tombstones = _plan_spark(keeper, name)
        reports.append(TableReport(name, before, None, purged, tombstones, expiry, upkeep, None, 0))
    request = MaintainRequest(tables=tuple(one.upkeep for one in reports), is_dry=lease is None)
    done, left_out = dict[str, TableKept](), None
    try:
        done = {one.table: one for one in run_spark(request).tables}
    except SparkMissing as exc:
        left_out = str(exc)
    finished = []
    for report in reports:
        spark = done.get(report.table)
        orphans = sum(sizes[report.table].get(address, 0) for address in (spark.orphan_files if spark else ()))
        after = None
        if lease is not None:
            listed = read_storage(lake, report.table)
            after = Storage(listed.file_count, listed.size_bytes)
        finished.append(replace(report, spark=spark, orphan_bytes=orphans, after=after))
        _record(keeper, finished[-1])
    return MaintenanceReport(lease is None, now, tuple(finished), left_out)


def _record(keeper: _Keeper, report: TableReport) -> None:
    """Write down what went, if anything did."""
    orphans = report.spark.orphan_files if report.spark else ()
    if keeper.lease is None or not (report.expiry.expired or report.purged.files or report.tombstones or orphans):
        return
    detail: dict[str, object] = {
        "expired": report.expiry.expired,
        "purged_rows": report.purged.row_count,
        "tombstones": report.tombstones,
        "orphan_files": len(orphans),
    }
    with keeper.ledger.transaction() as connection:
        purges.record_action(
            connection, report.table, "maintain", actor=keeper.lease.actor, reason="retention", detail=detail
        )


def _purge(keeper: _Keeper, name: str) -> PurgePlan:
    """Take rows that are older than the greatest lateness out of a changelog, whole files at a time."""
    if not is_changelog(name):
        return _NOTHING
    entity = entity_of(name)
    for _ in range(COMMIT_ATTEMPTS):
        history = read_history(keeper.lake, name)
        if keeper.lease is not None:
            _settle(keeper, history, entity)
        plan = _plan_purge(keeper, history, entity)
        if keeper.lease is None or not plan.files:
            return plan
        with keeper.ledger.transaction() as connection:
            purge_id = purges.note_purge(connection, keeper.lease, entity, plan)
        with suppress(CommitConflict):
            addresses = [one.address for one in plan.files]
            remove_files(keeper.lake, name, addresses, seen_head=history.current_id, purge_id=purge_id)
            with keeper.ledger.transaction() as connection:
                purges.settle_purge(connection, purge_id, is_committed=True)
            return plan
    raise CommitConflict(f"{name}: appends were first {COMMIT_ATTEMPTS} times; nothing was purged, run it again")


def _settle(keeper: _Keeper, history: TableHistory, entity: str) -> None:
    """Confirm the purges main holds that the ledger was never told of, and drop those it does not hold."""
    committed = {one.purge_id for one in history.ancestors(history.current_id)}
    with keeper.ledger.transaction() as connection:
        for purge_id in purges.open_purges(connection, entity):
            purges.settle_purge(connection, purge_id, is_committed=purge_id in committed)


def _plan_purge(keeper: _Keeper, history: TableHistory, entity: str) -> PurgePlan:
    with keeper.ledger.transaction() as connection:
        days = purges.purgeable_days(connection, entity, keeper.ages)
    if not days:
        return _NOTHING
    files = files_at(keeper.lake, history.table, history.current_id)
    chosen = {address: one for address, one in files.items() if one.day in days}
    held = batch_rows(keeper.lake, history.table, chosen)
    found = [
        ChangelogFile(address, one.day, one.row_count, one.size_bytes, frozenset(held[address]))
        for address, one in chosen.items()
    ]
    with keeper.ledger.transaction() as connection:
        batch_ids = {batch_id for one in found for batch_id in one.batch_ids}
        purgeable = purges.purgeable_among(connection, batch_ids, keeper.ages)
    return plan_purge(found, purgeable=purgeable)


def _expire(keeper: _Keeper, name: str) -> ExpiryPlan:
    retention = timedelta(days=keeper.settings.snapshot_retention_days)
    for _ in range(COMMIT_ATTEMPTS):
        history = read_history(keeper.lake, name)
        appended = {batch_id for one in history.snapshots for batch_id in one.appended_batches}
        with keeper.ledger.transaction() as connection:
            unloaded = purges.unloaded_among(connection, appended)
        plan = plan_expiry(history, now=keeper.now, retention=retention, unloaded=unloaded)
        if keeper.lease is None:
            return plan
        with suppress(CommitConflict):
            keeper.ledger.renew(keeper.lease)
            expire(keeper.lake, history, plan.expired)
            return plan
    raise CommitConflict(f"{name}: appends were first {COMMIT_ATTEMPTS} times; no snapshot expired, run it again")


def _plan_spark(keeper: _Keeper, name: str) -> tuple[TableUpkeep, int]:
    """Say what Spark is to do with a table, and how many tombstones go; raises the floors for these."""
    entity = load_entity(entity_of(name))
    buried: dict[str, int] = {} if is_changelog(name) else _buried(keeper, name)
    if buried and keeper.lease is not None:
        with keeper.ledger.transaction() as connection:
            purges.raise_floors(connection, buried)
    layout = read_layout(keeper.lake, name)
    columns = tuple(dict.fromkeys((entity.key, *entity.references)))
    upkeep = TableUpkeep(
        table=name,
        tombstones_of=tuple(sorted(buried)),
        is_rewriting_manifests=is_worth_rewriting(layout.data_manifests),
        orphans_before=orphan_limit(keeper.now, grace=timedelta(days=keeper.settings.orphan_grace_days)),
        statistics_columns=columns if layout.is_written and not layout.has_statistics else (),
    )
    return upkeep, sum(buried.values())


def _buried(keeper: _Keeper, name: str) -> dict[str, int]:
    """Return per object how many tombstones may go, because no change of their keys can come any more."""
    before = keeper.ages.landed_before
    with keeper.ledger.transaction() as connection:
        if not purges.has_old_folds(connection, entity_of(name), folded_before=before):
            return {}
    counted = tombstones_by_object(keeper.lake, name)
    with keeper.ledger.transaction() as connection:
        old = purges.buried_objects(connection, entity_of(name), counted, folded_before=before)
    return {object_id: counted[object_id] for object_id in old}
