"""With a million objects the ledger answers as with a hundred: by index, reading only what is in flight."""

import time
from contextlib import contextmanager

import psycopg
import pytest

from slackwater.ledger import listings
from slackwater.ledger.gaps import missing_ranges
from slackwater.ledger.objects import open_objects
from slackwater.ledger.status import in_flight, status
from slackwater.ledger.store import Ledger
from slackwater.naming import ENTITIES, MART_SET
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench, seen

pytestmark = pytest.mark.integration

OBJECTS = 1_000_000
OBJECTS_PER_BATCH = 50
MOST_ROWS_READ = 1_000
"""Of one query, of a million; what is in flight and an entity's newest refresh remain."""

MOST_SECONDS = 2.0
"""Measured 2026-11-21 on two shared cores: below 0.1 s. Reading a million rows takes longer than the bound."""

LARGE_TABLES = {"object", "batch", "batch_object", "transition", "refresh_batch"}

FILL = """
insert into ledger.object (object_id, bucket, key, etag, size_bytes, entity, source_partition, first_position,
    last_position, epoch, state, batch_id, first_seen_at, changed_at)
select lpad(to_hex(n), 32, '0'), 'landing', 'cdc/' || e.name || '/' || n, n::text, 100, e.name,
    'shop.' || e.name || '+0',
    (n / 4) * 10, (n / 4) * 10 + 9, 0, 'batched', lpad(to_hex(n / 4 / {per_batch} * 4 + n % 4), 32, '0'),
    clock_timestamp() - interval '1 day', clock_timestamp() - interval '1 day'
from generate_series(0, {objects} - 1) n cross join lateral (select (array[{entities}])[n % 4 + 1] as name) e;
insert into ledger.refresh (refresh_id, mart_set, state, bounds, publication_id, started_at, ended_at)
select md5('r' || n), '{mart_set}', 'published', '{{}}', 'p' || n, clock_timestamp() - make_interval(mins => 9000 - n),
    clock_timestamp() - make_interval(mins => 9000 - n)
from generate_series(0, 999) n;
insert into ledger.batch (batch_id, entity, state, object_count, size_bytes, row_count, load_seq, sealed_at, landed_at,
    loaded_at, published_in, emissions, emitted_at)
select batch_id, entity, 'loaded', count(*), sum(size_bytes), 10 * count(*),
    row_number() over (partition by entity order by min(first_position)), min(first_seen_at), min(first_seen_at),
    min(first_seen_at), md5('r' || (row_number() over (order by min(first_position)) - 1) * 1000 / {batches}),
    1, min(first_seen_at)
from ledger.object group by 1, 2;
insert into ledger.batch_object (batch_id, object_id) select batch_id, object_id from ledger.object order by 2;
insert into ledger.refresh_batch select published_in, batch_id from ledger.batch;
insert into ledger.transition (subject, subject_id, to_state, actor)
select 'batch', batch_id, 'sealed', 'test' from ledger.batch;
"""


def fill(dsn):
    """Write a long, published history. Indexes are made afterwards and foreign keys trusted: it is only the size."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        indexes = connection.execute(
            "select indexname, indexdef from pg_indexes where schemaname = 'ledger' and tablename in"
            " ('object', 'batch_object') and indexdef not like 'CREATE UNIQUE%'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"drop index ledger.{name}")
        connection.execute("set session_replication_role = replica")
        connection.execute("set maintenance_work_mem = '256MB'")
        entities = ", ".join(f"'{name}'" for name in ENTITIES)
        statements = FILL.format(
            objects=OBJECTS, per_batch=OBJECTS_PER_BATCH, batches=OBJECTS // OBJECTS_PER_BATCH, entities=entities,
            mart_set=MART_SET,
        )  # fmt: skip
        for statement in statements.split(";\n"):
            connection.execute(statement)
        connection.execute("insert into ledger.tally (subject, entity, state, amount)"
                           " select 'object', entity, state, count(*) from ledger.object group by 2, 3 union all"
                           " select 'batch', entity, 'published', count(*) from ledger.batch group by 2")  # fmt: skip
        connection.execute("set session_replication_role = origin")
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute(f"analyze {', '.join(f'ledger.{name}' for name in sorted(LARGE_TABLES))}")


class ExplainedLedger(Ledger):
    """A ledger that keeps the plan of every query, with the rows it read."""

    plans: list[tuple[str, dict]]

    @contextmanager
    def transaction(self):
        """Run a block in one transaction whose queries are explained before they run."""
        plans = self.plans = getattr(self, "plans", [])

        class Explaining(psycopg.Cursor):
            def execute(self, query, params=None, **options):
                text = str(query).strip()
                if text.lower().startswith(("select", "with", "insert", "update", "delete")):
                    # A savepoint takes back what an explained write did.
                    plain = self.connection.cursor(row_factory=psycopg.rows.tuple_row)
                    psycopg.Cursor.execute(plain, "savepoint explained")
                    psycopg.Cursor.execute(plain, f"explain (analyze, format json) {text}", params)
                    plans.append((text, plain.fetchone()[0][0]["Plan"]))
                    psycopg.Cursor.execute(plain, "rollback to explained")
                return super().execute(query, params, **options)

        with super().transaction() as connection:
            former = connection.cursor_factory
            connection.cursor_factory = Explaining
            try:
                yield connection
            finally:
                connection.cursor_factory = former


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def rows_read(plan):
    """Count the rows scans touched: given on, or filtered away."""
    return sum(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if node.get("Relation Name") in LARGE_TABLES and "Scan" in node["Node Type"]
    )


@pytest.fixture(scope="module")
def ledger(module_sandbox):
    dsn = module_sandbox.ledger.dsn
    fill(dsn.get_secret_value())
    with ExplainedLedger(dsn) as found:
        published_tail(Bench(found, None, None, module_sandbox.landing))
        found.plans.clear()
        yield found
        with Ledger(dsn) as plain, plain.transaction() as connection:
            connection.execute("truncate ledger.object cascade")


def published_tail(bench):
    """Publish one more batch, as the system does, and leave some work in flight."""
    ledger = bench.ledger
    first = OBJECTS // 4 * 10
    for number in range(3):
        file = LandingFile(first=first + 3 * number)
        batch_id = bench.seal("orders", bench.record(file.key(), f"e{number}", 1))
        if number < 2:
            bench.load(batch_id, load_seq=OBJECTS + number)
        if number == 0:
            lease = ledger.claim_work(MART_SET, actor="test")
            refresh = ledger.start_refresh(lease, bounds={"orders": OBJECTS}, as_of=None)
            ledger.mark_tested(lease, refresh.refresh_id)
            ledger.mark_published(lease, refresh.refresh_id, publication_id="p")
            ledger.release_work(lease)
    ledger.record_objects([seen(LandingFile(first=first + 20))], actor="test")


def due(ledger):
    return ledger.due_batches(grace_seconds=60)


def record_known_and_new(ledger):
    items = [seen(LandingFile(first=first)) for first in range(0, 300, 3)]
    ledger.unknown_ids([item.object_id for item in items])
    ledger.record_objects(items, actor="test")
    with ledger.transaction() as connection:
        waiting = [item.object_id for item in open_objects(connection, "orders", limit=100)]
    ledger.seal("orders", waiting, actor="test")


def gaps(ledger):
    with ledger.transaction() as connection:
        return missing_ranges(connection)


def refresh_due(ledger):
    ledger.is_refresh_due(MART_SET)
    ledger.reraise_refresh_flag(MART_SET, grace_seconds=60)
    ledger.unloaded_counts()


def lists(ledger):
    newest = listings.list_batches(ledger, limit=20)
    listings.list_batches(ledger, state="sealed", limit=20)
    listings.show_batch(ledger, newest[0].batch_id[:10])
    listings.list_quarantine(ledger)
    ledger.batch(newest[0].batch_id)


QUESTIONS = {
    "status": (status, {"batch_unpublished", "batch_loaded", "batch_open", "object_by_end", "object_by_place"}),
    "in flight": (in_flight, {"batch_unpublished", "batch_open"}),
    "frontier": (Ledger.published_frontier, {"object_by_end", "object_by_place", "batch_unpublished"}),
    "gaps": (gaps, {"object_by_end", "object_by_place"}),
    "bridge": (record_known_and_new, {"object_pkey", "object_by_key"}),
    "due batches": (due, {"batch_open"}),
    "refresh due": (refresh_due, {"batch_unpublished", "refresh_by_time"}),
    "lists": (lists, {"batch_by_time", "batch_pkey", "transition_of", "object_bad", "batch_object_pkey"}),
}
"""Each question with the indexes that make it flat."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_reads_what_is_in_flight_and_not_the_history(ledger, question):
    ask, wanted = QUESTIONS[question]
    ledger.plans.clear()
    ask(ledger)
    read = {text: rows_read(plan) for text, plan in ledger.plans}
    assert {text: rows for text, rows in read.items() if rows > MOST_ROWS_READ} == {}
    used = [node for _, plan in ledger.plans for node in nodes(plan)]
    scanned = {node["Relation Name"] for node in used if node["Node Type"] == "Seq Scan"}
    assert scanned & LARGE_TABLES == set()
    assert {node["Index Name"] for node in used if "Index Name" in node} >= wanted


def test_status_of_a_million_objects_is_exact_and_quick(module_sandbox, ledger):
    with Ledger(module_sandbox.ledger.dsn) as plain:
        started = time.monotonic()
        found = status(plain)
        seconds = time.monotonic() - started
    assert sum(sum(one.objects.values()) for one in found.entities) >= OBJECTS
    orders = next(one for one in found.entities if one.entity == "orders")
    assert orders.batches["published"] == OBJECTS // OBJECTS_PER_BATCH // 4 + 1
    assert [(gap.entity, gap.first - OBJECTS // 4 * 10) for gap in found.gaps] == [("orders", 9)]
    assert seconds < MOST_SECONDS
