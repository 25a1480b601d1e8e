"""Hours in the life of a lake, compressed: appends, folds, rewrites and upkeep at once, held to the source every hour.

An hour lands some files of one table's history, some of them late, some told twice, while the lake is kept: folded
every hour, compacted and held to its retention every few. Ages are given, not waited for: what landed `kept_hours` ago
counts as older than the greatest lateness, and states are readable for `readable_hours`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from slackwater.clients.iceberg_files import read_storage
from slackwater.clients.iceberg_snapshots import read_history
from slackwater.entities.model import load_entity
from slackwater.lake.fold import MOST_BATCHES, plan_fold
from slackwater.lake.history import Snapshot, TableHistory
from slackwater.lake.maintenance import MaintainRequest, MaintainResult
from slackwater.lake.rewrite import RewriteJob, RewriteJobResult
from slackwater.lake.run_compaction import compact, plan_all
from slackwater.lake.run_maintenance import maintain
from slackwater.ledger import folds
from slackwater.naming import changelog_table, state_table
from slackwater.settings import LakeSettings
from slackwater.testing.conformance.change_files import ChangeFile, cut, sent_again
from slackwater.testing.conformance.landing_bytes import landing_object
from slackwater.testing.conformance.oracle import state_after
from slackwater.testing.conformance.source import Delete, History, Rekey, Row, Statement, Transaction, Write, run
from slackwater.testing.lake_bench import LakeBench, now

ENTITY = "orders"
TABLES = (changelog_table(ENTITY), state_table(ENTITY))
LATE_SHARE, AGAIN_SHARE = 0.15, 0.1
MOST_LATE_HOURS = 3
KEYS = 2_000
CHANGES_PER_FILE = 60
FIRST_DAY = datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001 - every store holds UTC without a zone
STATUSES = ("pending", "processing", "shipped", "delivered", "cancelled")
GREAT_AGE_DAYS = 100

MOST_STORED_PER_LIVE = 12.0
"""Bytes stored per byte of the present snapshots: the states of some hours are readable, and metadata is not small."""

Delivery = tuple[str, ChangeFile]
"""A file and the stream it comes by: a stream has source positions of its own."""


@dataclass(frozen=True)
class Pace:
    """How much happens.

    Attributes:
        hours: How long it goes on.
        files: New files per hour, of `CHANGES_PER_FILE` changes.
        days: Rows were created on so many days: partitions of the state table.
        kept_hours: What landed so long ago is purged from the changelog.
        readable_hours: A state stays readable so long.
        compacts_every: Hours between two compactions.
        maintains_every: Hours between two enforcements of the retention.
    """

    hours: int = 24
    files: int = 4
    days: int = 12
    kept_hours: int = 8
    readable_hours: int = 2
    compacts_every: int = 2
    maintains_every: int = 3


@dataclass(frozen=True)
class Engine:
    """Spark's part, given as functions, so that this module needs no Spark.

    Attributes:
        rewrite: Rewrites partitions.
        maintain: Does the upkeep of tables.
        remove_orphans: Removes the files of a table that no snapshot names and that were written before a time.
    """

    rewrite: Callable[[RewriteJob], RewriteJobResult]
    maintain: Callable[[MaintainRequest], MaintainResult]
    remove_orphans: Callable[[str, datetime], int]


@dataclass(frozen=True)
class Hour:
    """What was there at the end of an hour.

    Attributes:
        changes: Rows landed since the beginning, repeated ones included.
        wrong_keys: Keys whose row differs from the source's.
        lost_changes: Rows the changelog should hold and does not, or holds too often (below 0).
        live_files: Data and delete files of both tables' present snapshots.
        live_bytes: Their size.
        stored_files: All objects below both tables' locations, metadata included.
        stored_bytes: Their size.
        snapshots: Of both tables.
        seconds: Wall time of the hour.
    """

    number: int
    changes: int
    wrong_keys: tuple[int, ...]
    lost_changes: int
    live_files: int
    live_bytes: int
    stored_files: int
    stored_bytes: int
    snapshots: int
    seconds: float


def simulate(
    writer: LakeBench, keeper: LakeBench, engine: Engine, settings: LakeSettings, *, pace: Pace, seed: int
) -> Iterator[Hour]:
    """Live through some hours.

    Args:
        writer: Appends; its tables are empty.
        keeper: Folds, rewrites and keeps the same tables from another thread; must have been given what folds.
        engine: Spark's part.
        settings: Retentions and file size.
        pace: How much happens.
        seed: Of the history and of what is late.

    Yields:
        Every hour as it ends.
    """
    history = make_history(seed, pace)
    day = _Day(writer, keeper, engine, settings, pace)
    with ThreadPoolExecutor(1) as threads:
        for number, arriving in enumerate(deliveries(history, pace, seed=seed)):
            yield day.live(number, arriving, threads)


def make_history(seed: int, pace: Pace) -> History:
    """Return a table's history: rows that come, change, move to other dates, take other keys and go."""
    draw = Random(seed)  # noqa: S311 - a simulation, no secret
    changes = pace.hours * pace.files * CHANGES_PER_FILE
    transactions = [
        Transaction(tuple(_statement(draw, pace.days) for _ in range(draw.randint(1, 3))))
        for _ in range(changes * 3 // 4)
    ]
    return run(load_entity(ENTITY), transactions)


def _statement(draw: Random, days: int) -> Statement:
    key, kind = draw.randint(1, KEYS), draw.random()
    if kind < 0.1:
        return Delete(key)
    if kind < 0.13:
        return Rekey(key, draw.randint(1, KEYS), withholds=True)
    if kind < 0.5:
        return Write(key, {"status": draw.choice(STATUSES)}, withholds=True)
    at = FIRST_DAY + timedelta(days=draw.randrange(days))
    values: Row = {
        "user_id": draw.randint(1, 500),
        "status": draw.choice(STATUSES),
        "total_amount": Decimal(draw.randrange(10**6)).scaleb(-2),
        "shipping_address": f"{draw.randint(1, 99)} {draw.choice(('High', 'Low', 'New'))} Street",
        "created_at": at,
        "updated_at": at,
    }
    return Write(key, values, withholds=False)


def deliveries(history: History, pace: Pace, *, seed: int) -> list[list[Delivery]]:
    """Return the files that arrive in each hour: most in time, some hours late, some once more by another stream."""
    draw = Random(seed + 1)  # noqa: S311 - a simulation, no secret
    hours, count = pace.hours, pace.hours * pace.files
    total = len(history.changes)
    found: list[list[Delivery]] = [[] for _ in range(hours)]
    position = 0
    for number, file in enumerate(cut(history, [total * n // count for n in range(1, count)])):
        due = number * hours // count
        late = draw.randint(1, MOST_LATE_HOURS) if draw.random() < LATE_SHARE else 0
        found[min(hours - 1, due + late)].append(("day", file))
        if draw.random() < AGAIN_SHARE:
            again = sent_again(history, file.first, file.last + 1, first=position)
            position = again.last + 1
            found[min(hours - 1, due + draw.randint(0, MOST_LATE_HOURS))].append(("again", again))
    for arriving in found:
        draw.shuffle(arriving)
    return found


@dataclass
class _Day:
    writer: LakeBench
    keeper: LakeBench
    engine: Engine
    settings: LakeSettings
    pace: Pace
    arrived: list[tuple[ChangeFile, str]] = field(default_factory=list)
    landed: list[list[str]] = field(default_factory=list)
    begun: list[datetime] = field(default_factory=list)
    purged: int = 0

    def live(self, number: int, arriving: Sequence[Delivery], threads: ThreadPoolExecutor) -> Hour:
        began = time.monotonic()
        self.begun.append(now())
        self.landed.append([])
        half = len(arriving) // 2
        self._land(arriving[:half])
        writing = threads.submit(self._land, arriving[half:])
        self._keep(number)
        writing.result()
        self._fold()  # what landed meanwhile, so that the hour can be held to the source
        return self._look(number, time.monotonic() - began)

    def _land(self, files: Sequence[Delivery]) -> None:
        for source, file in files:
            made = landing_object(file, entity=load_entity(ENTITY), source=source, first_key=0)
            object_id = self.writer.put(made.key, made.data)
            batch_id = self.writer.seal(ENTITY, object_id)
            self.writer.append(batch_id)
            self.arrived.append((file, object_id))
            self.landed[-1].append(batch_id)

    def _keep(self, number: int) -> None:
        self._fold()
        if (number + 1) % self.pace.compacts_every == 0:
            self._compact(number)
        if (number + 1) % self.pace.maintains_every == 0:
            self._maintain()

    def _fold(self) -> None:
        with self.keeper.ledger.transaction() as connection:
            waiting = folds.unfolded_batches(connection, ENTITY, limit=MOST_BATCHES)
        request = plan_fold(waiting)
        if request is not None:
            self.keeper.fold(*request.batch_ids)

    def _compact(self, number: int) -> None:
        self.keeper.publish(*(batch_id for ids in self.landed[:-1] for batch_id in ids))
        later = now() + timedelta(days=2)
        plans = plan_all(self.keeper.ledger, self.keeper.lake, self.settings, now=later, entities=(ENTITY,))
        report = compact(plans, self.keeper.lake, run_id=f"hour-{number}", run_spark=self.engine.rewrite)
        failed = [told for days in report.ended.values() for told in days.values() if isinstance(told, str)]
        if failed or report.bad:
            raise AssertionError(f"hour {number}: {failed or report.bad}")

    def _maintain(self) -> None:
        """Enforce the retention: old batches are made old, and the present is moved on by all but the readable hours.

        Iceberg refuses to look for orphans younger than a day; the engine's own removal takes any age.
        """
        old = [batch_id for ids in self.landed[: -self.pace.kept_hours] for batch_id in ids]
        if old:
            self.keeper.publish(*old)
            self.keeper.age(GREAT_AGE_DAYS, *old)
        readable_since = self.begun[max(0, len(self.begun) - 1 - self.pace.readable_hours)]
        moved_on = timedelta(days=self.settings.snapshot_retention_days) - (now() - readable_since)
        with self.keeper.keeping() as lease:
            report = maintain(
                ledger=self.keeper.ledger,
                lake=self.keeper.lake,
                settings=self.settings,
                now=now() + moved_on,
                lease=lease,
                run_spark=self.engine.maintain,
                tables=TABLES,
            )
        errors = [one.spark.error for one in report.tables if one.spark is not None and one.spark.error]
        if errors or report.left_out:
            raise AssertionError(f"upkeep: {errors or report.left_out}")
        self.purged += sum(one.purged.row_count for one in report.tables)
        for table in TABLES:
            self.engine.remove_orphans(table, readable_since)

    def _look(self, number: int, seconds: float) -> Hour:
        expected = state_after(load_entity(ENTITY), self.arrived)
        names = [name for name in load_entity(ENTITY).column_names if name != "id"]
        held = self.keeper.state_rows().to_pylist()
        rows = {row["id"]: {name: row[name] for name in names} for row in held if row["__op"] != "d"}
        twice = [key for key, count in Counter(row["id"] for row in held).items() if count > 1]
        wrong = {key for key in expected.keys() | rows.keys() if expected.get(key) != rows.get(key)}
        changes = sum(len(file.changes) for file, _ in self.arrived)
        presents = [_present(read_history(self.keeper.lake, name)) for name in TABLES]
        listed = [read_storage(self.keeper.lake, name) for name in TABLES]
        return Hour(
            number=number,
            changes=changes,
            wrong_keys=tuple(sorted({*wrong, *twice})),
            lost_changes=changes - self.purged - len(self.keeper.positions(ENTITY)),
            live_files=sum(one.total_files for one in presents),
            live_bytes=sum(one.total_bytes for one in presents),
            stored_files=sum(one.file_count for one in listed),
            stored_bytes=sum(one.size_bytes for one in listed),
            snapshots=sum(len(self.keeper.snapshot_ids(name)) for name in TABLES),
            seconds=round(seconds, 1),
        )


def _present(history: TableHistory) -> Snapshot:
    return next(one for one in history.snapshots if one.snapshot_id == history.current_id)
