"""Two processes with one and the same piece of work, both past the question and before the commit: one effect.

The one whose lease was taken is paused between asking a store whether the work is done and committing it, until the
other stands at the same place; then both go on. No lease helps here: the store itself has to refuse the second commit.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.entities.model import load_entity
from slackwater.errors import TransientError
from slackwater.lake.append import append_claimed
from slackwater.ledger.model import BatchLease, BatchState, RefreshState, WorkLease
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, MART_SET, SNAPSHOT_BATCH_ID, changelog_table
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench
from slackwater.warehouse.load import insert_once, loaded_before, transient_ddl, transient_table
from slackwater.warehouse.marts import Mart
from slackwater.warehouse.publish import publish
from slackwater.warehouse.refresh import Refresh

pytestmark = pytest.mark.integration

ROUNDS = 100
MEETING_TIMEOUT_SECONDS = 60
OPEN_WINDOW_SECONDS = 0.02
"""How long a process waits inside the store's lock: were it open, the other would slip through."""

ORDERS = load_entity("orders")
COPIED = transient_table("commit-once", 1)
MART = Mart("sales", (("day", "date"), ("amount", "number(18,2)")), ("day",))


class Meeting:
    """Where the two processes wait for each other, once per round."""

    def __init__(self, barrier) -> None:
        self._barrier = barrier
        self._is_awaited = False
        self.count = 0

    def begin_round(self) -> None:
        """Arm it for one meeting."""
        self._is_awaited = True

    def wait(self) -> bool:
        """Wait for the other process the first time this is called in a round; say whether it was."""
        if not self._is_awaited:
            return False
        self._is_awaited = False
        self._barrier.wait(timeout=MEETING_TIMEOUT_SECONDS)
        self.count += 1
        return True


class PausedLake(Lake):
    """A lake whose commits wait for the other process; what it asks before them is answered already."""

    meeting: Meeting

    def load_table(self, name):
        """Load a table whose append waits first."""
        table = super().load_table(name)
        commit = table.append

        def append(*arguments, **named):
            self.meeting.wait()
            return commit(*arguments, **named)

        table.append = append
        return table


class PausedWarehouse(Warehouse):
    """A warehouse that waits for the other process before a transaction, and inside it after each answer."""

    meeting: Meeting

    @contextmanager
    def transaction(self):
        """Begin only when the other process is about to begin too."""
        self.meeting.wait()
        with super().transaction():
            yield

    def query(self, sql, params=()):
        """Answer, and leave the other process time to ask the same before anything is written."""
        rows = super().query(sql, params)
        if self._in_transaction:
            time.sleep(OPEN_WINDOW_SECONDS)
        return rows


@contextmanager
def appending(sandbox, meeting):
    with Ledger(sandbox.ledger.dsn) as ledger:
        lake, store = PausedLake(sandbox.lake, sandbox.s3), ObjectStore(sandbox.s3)
        lake.meeting = meeting
        yield (
            lambda lease: (
                append_claimed(lease, ledger=ledger, lake=lake, store=store, landing=sandbox.landing).row_count
            )
        )
        lake.close()


@contextmanager
def loading(sandbox, meeting):
    with PausedWarehouse(sandbox.warehouse) as warehouse:
        warehouse.meeting = meeting
        warehouse.connect()

        def work(question):
            batch_id, attempt = question
            assert loaded_before(warehouse, batch_id) is None
            return insert_once(
                warehouse, ORDERS, batch_id=batch_id, table=COPIED, expected=1, attempt=attempt, actor="test"
            ).was_already_loaded

        yield work


@contextmanager
def publishing(sandbox, meeting):
    with PausedWarehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        warehouse.meeting = meeting
        warehouse.connect()

        def work(question):
            refresh, lease = question
            done = publish(refresh, ledger=ledger, warehouse=warehouse, lease=lease, marts=(MART,))
            return sum(mart.rows_inserted for mart in done.marts)

        yield work


@dataclass(frozen=True)
class Places:
    """The settings a process needs; a sandbox itself does not travel."""

    ledger: object
    lake: object
    s3: object
    landing: object
    warehouse: object


def _serve(kind, places, barrier, questions, answers):
    meeting = Meeting(barrier)
    with kind(places, meeting) as work:
        answers.put("ready")
        for question in iter(questions.get, None):
            meeting.begin_round()
            try:
                answers.put(work(question))
            except TransientError as exc:
                answers.put(type(exc).__name__)
            except BaseException as exc:
                answers.put(f"{type(exc).__name__}: {exc}")
                raise
    answers.put(meeting.count)


@contextmanager
def two_processes(kind, sandbox, *, with_warehouse) -> Iterator[Callable[[list], list]]:
    """Two processes that get their questions at once; at the end it is checked that they met in every round."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    places = Places(
        sandbox.ledger, sandbox.lake, sandbox.s3, sandbox.landing, sandbox.warehouse if with_warehouse else None
    )
    pairs = [(context.Queue(), context.Queue()) for _ in range(2)]
    children = [context.Process(target=_serve, args=(kind, places, barrier, *pair), daemon=True) for pair in pairs]
    for child in children:
        child.start()
    assert [answers.get(timeout=120) for _, answers in pairs] == ["ready", "ready"]
    asked = 0

    def ask(questions):
        nonlocal asked
        asked += 1
        for (inbox, _), question in zip(pairs, questions, strict=True):
            inbox.put(question)
        return [answers.get(timeout=2 * MEETING_TIMEOUT_SECONDS) for _, answers in pairs]

    try:
        yield ask
        for inbox, _ in pairs:
            inbox.put(None)
        assert [answers.get(timeout=60) for _, answers in pairs] == [asked, asked], "they did not meet in every round"
        for child in children:
            child.join(timeout=60)
    finally:
        for child in children:
            child.kill()


def two_leases(sandbox, take) -> list[BatchLease] | list[WorkLease]:
    """Take a lease that runs out at once, and the one that replaces it."""
    with Ledger(sandbox.ledger.dsn, lease_seconds=0.001) as short, Ledger(sandbox.ledger.dsn) as ledger:
        stale = take(short, "stale")
        time.sleep(0.005)
        live = take(ledger, "live")
        assert None not in (stale, live)
        return [stale, live]


def transitions_to(ledger, state):
    with ledger.transaction() as connection:
        return connection.execute("select count(*) from ledger.transition where to_state = %s", (state,)).fetchone()[0]


def test_a_batch_two_processes_append_at_once_is_in_the_lake_once(sandbox):
    with Ledger(sandbox.ledger.dsn) as ledger:
        bench = Bench(ledger, Lake(sandbox.lake, sandbox.s3), ObjectStore(sandbox.s3), sandbox.landing)
        # In turn, so that no table's history grows long: it is read at every commit.
        files = [LandingFile(entity=ENTITIES[n % 4], first=3 * (n // 4)) for n in range(ROUNDS)]
        batch_ids = [bench.seal(file.entity, bench.put_file(file)) for file in files]
        with two_processes(appending, sandbox, with_warehouse=False) as ask:
            for batch_id in batch_ids:
                leases = two_leases(sandbox, lambda by, actor, key=batch_id: by.claim_batch(key, actor=actor))
                assert ask(leases) == ["LeaseLost", 3]
        for number, entity in enumerate(ENTITIES):
            table = bench.lake.load_table(changelog_table(entity))
            assert [one.summary[SNAPSHOT_BATCH_ID] for one in table.snapshots()] == batch_ids[number::4]
            assert sorted(bench.lake.scan(entity)["_position"].to_pylist()) == list(range(3 * ROUNDS // 4))
        assert transitions_to(ledger, BatchState.LANDED) == ROUNDS
        bench.lake.close()


def test_a_batch_two_processes_load_at_once_is_in_the_warehouse_once(sandbox):
    """What `load_batch` does between its question and its answer; COPY fills a table per attempt, so it has no race."""
    batch_ids = [f"batch-{number}" for number in range(ROUNDS)]
    with Warehouse(sandbox.warehouse) as warehouse:
        warehouse.execute(transient_ddl(ORDERS, COPIED))
        warehouse.execute(
            f"insert into {COPIED} (id, _batch_id, __op, __source_ts_ms, __source_lsn, _file_name, _object_id, _epoch,"
            " _source_partition, _position) values "
            + ", ".join("(?, ?, 'c', '2010-12-01 08:00:00', 1, 'f', 'o', 0, 'p', 1)" for _ in batch_ids),
            [value for number, batch_id in enumerate(batch_ids) for value in (number, batch_id)],
        )
        with two_processes(loading, sandbox, with_warehouse=True) as ask:
            for batch_id in batch_ids:
                assert sorted(ask([(batch_id, 1), (batch_id, 2)])) == [False, True]
        assert sorted(warehouse.query("select id, load_seq from RAW.ORDERS")) == [(n, n + 1) for n in range(ROUNDS)]
        assert warehouse.query("select count(*), count(distinct batch_id), max(load_seq) from OPS.LOAD_HISTORY") == [
            (ROUNDS, ROUNDS, ROUNDS)
        ]


def started(sandbox, bench, warehouse, number):
    """Start a refresh of one batch that only the ledger knows, and let another process take it over."""
    file = LandingFile(first=3 * number)
    bench.load(bench.seal("orders", bench.record(file.key(), f"e{number}", 1)), load_seq=number + 1)
    stale, live = two_leases(sandbox, lambda by, actor: by.claim_work(MART_SET, actor=actor))
    frozen = bench.ledger.start_refresh(live, bounds={"orders": number + 1}, as_of=None)
    bench.ledger.mark_tested(live, frozen.refresh_id)
    warehouse.execute(
        "insert into OPS.REFRESH (refresh_id, refresh_seq, mart_set, started_at) select ?, ?, ?, sysdate()",
        (frozen.refresh_id, number + 1, MART_SET),
    )
    warehouse.execute("update CANDIDATE.SALES set amount = ?", (str(number + 1),))
    refresh = Refresh(frozen.refresh_id, MART_SET, dict(frozen.bounds), None, frozen.batch_ids, {})
    return [(refresh, stale), (refresh, live)]


def test_a_refresh_two_processes_publish_at_once_is_one_publication(sandbox):
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        bench = Bench(ledger, Lake(sandbox.lake, sandbox.s3), ObjectStore(sandbox.s3), sandbox.landing)
        warehouse.execute("create table CANDIDATE.SALES (day date, amount number(18,2))")
        warehouse.execute("create table MARTS.SALES (day date, amount number(18,2), publication_id varchar not null)")
        warehouse.execute("insert into CANDIDATE.SALES select '2010-12-01', '0'")
        with two_processes(publishing, sandbox, with_warehouse=True) as ask:
            for number in range(ROUNDS):
                questions = started(sandbox, bench, warehouse, number)
                answers = ask(questions)
                refresh, live = questions[1]
                assert answers[0] in ("LeaseLost", "CommitConflict")
                if answers[1] == "CommitConflict":  # as the flow does: try again
                    publish(refresh, ledger=ledger, warehouse=warehouse, lease=live, marts=(MART,))
                ledger.release_work(live)
                assert warehouse.query("select amount, publication_id from MARTS.SALES") == [
                    (Decimal(number + 1), f"pub-{refresh.refresh_id}")
                ]
        assert warehouse.query(
            "select count(*), count(distinct refresh_id), max(publication_seq), sum(rows_inserted)"
            " from MARTS.PUBLICATION"
        ) == [(ROUNDS, ROUNDS, ROUNDS, ROUNDS)]
        assert transitions_to(ledger, RefreshState.PUBLISHED) == ROUNDS
        bench.lake.close()
