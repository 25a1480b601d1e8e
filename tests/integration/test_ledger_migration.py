"""A filled ledger of an older version is brought forward without losing or changing what it says."""

from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from slackwater.clients.postgres import sqlalchemy_uri
from slackwater.errors import IllegalTransition
from slackwater.ledger import folds, listings, migrations
from slackwater.ledger.model import BatchState
from slackwater.ledger.status import in_flight, status
from slackwater.ledger.store import Ledger
from slackwater.ledger.tallies import read_tally
from slackwater.naming import MART_SET
from slackwater.stack.databases import ensure_databases

pytestmark = pytest.mark.integration

FILLED = """
insert into ledger.object (object_id, bucket, key, etag, size_bytes, entity, source_partition, first_position,
    last_position, epoch, state, reason, message, batch_id, overwrites) values
    ('o1', 'landing', 'k1', 'e1', 10, 'orders', 'shop.orders+0', 0, 2, 0, 'batched', null, null, 'b1', null),
    ('o2', 'landing', 'k2', 'e1', 10, 'orders', 'shop.orders+0', 3, 5, 0, 'quarantined', 'cut', 'cut off', 'b1', null),
    ('o3', 'landing', 'k3', 'e1', 10, 'orders', 'shop.orders+0', 6, 8, 0, 'batched', null, null, 'b2', null),
    ('o4', 'landing', 'k4', 'e1', 10, 'orders', 'shop.orders+0', 12, 14, 0, 'seen', null, null, null, null),
    ('o5', 'landing', 'k5', 'e1', 10, 'orders', 'shop.orders+0', 12, 14, 0, 'superseded', null, null, null, null),
    ('o6', 'landing', 'k5', 'e2', 10, 'orders', 'shop.orders+0', 12, 14, 0, 'batched', null, null, 'b3', 'o5'),
    ('o7', 'landing', 'odd', 'e1', 10, null, null, null, null, 0, 'quarantined', 'unparseable_key', 'x', null, null);
insert into ledger.batch (batch_id, entity, state, object_count, size_bytes, row_count, snapshot_id, load_seq, attempt,
    emissions, emitted_at) values
    ('b1', 'orders', 'loaded', 2, 20, 3, 1, 1, 1, 1, clock_timestamp()),
    ('b2', 'orders', 'loaded', 1, 10, 3, 2, 2, 1, 1, clock_timestamp()),
    ('b3', 'orders', 'landed', 1, 10, 3, 3, null, 1, 1, clock_timestamp());
insert into ledger.batch_object (batch_id, object_id, is_skipped, reason) values
    ('b1', 'o1', false, null), ('b1', 'o2', true, 'truncated'), ('b2', 'o3', false, null), ('b3', 'o6', false, null);
insert into ledger.refresh (refresh_id, mart_set, state, bounds, publication_id, ended_at, started_at) values
    ('r1', '{mart_set}', 'published', '{{"orders": 1}}', 'p1', clock_timestamp(), clock_timestamp() - interval '1 h'),
    ('r2', '{mart_set}', 'rejected', '{{"orders": 2}}', null, clock_timestamp(), clock_timestamp());
insert into ledger.refresh_batch values ('r1', 'b1'), ('r2', 'b2');
insert into ledger.transition (subject, subject_id, to_state, actor) values ('batch', 'b1', 'sealed', 'bridge');
insert into ledger.refresh_flag (mart_set, is_raised, raises) values ('{mart_set}', true, 7);
"""

KEPT = {
    "object": "select object_id, key, state, reason, message, batch_id, overwrites, first_seen_at, changed_at",
    "batch": "select batch_id, state, row_count, snapshot_id, load_seq, attempt, emissions, emitted_at, sealed_at",
    "batch_object": "select batch_id, object_id, is_skipped, reason",
    "refresh": "select refresh_id, state, bounds, publication_id, started_at, ended_at",
    "refresh_batch": "select refresh_id, batch_id",
    "transition": "select transition_id, subject, subject_id, from_state, to_state, actor, at",
}


@pytest.fixture
def old_dsn(sandbox):
    """A database with the first version's schema, filled as that version did."""
    name = f"{sandbox.name}_old"
    ensure_databases(sandbox.profile.postgres_uri("postgres"), [name])
    dsn = sandbox.profile.postgres_uri(name)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["uri"] = sqlalchemy_uri(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create schema ledger")
        command.upgrade(config, "0001")
        for statement in FILLED.format(mart_set=MART_SET).split(";\n"):
            connection.execute(statement)
    return dsn


def kept(dsn):
    with psycopg.connect(dsn) as connection:
        return {
            table: connection.execute(f"{columns} from ledger.{table} order by 1, 2").fetchall()
            for table, columns in KEPT.items()
        }


def version(dsn):
    with psycopg.connect(dsn) as connection:
        return connection.execute("select version_num from ledger.schema_version").fetchall()


def newest_version():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return ScriptDirectory.from_config(config).get_current_head()


def test_a_filled_ledger_of_the_first_version_comes_forward_unchanged(old_dsn):
    before = kept(old_dsn)
    assert version(old_dsn) == [("0001",)]
    migrations.upgrade(old_dsn)
    migrations.upgrade(old_dsn)
    assert version(old_dsn) == [(newest_version(),)]
    assert kept(old_dsn) == before
    with Ledger(old_dsn) as ledger:
        orders = next(one for one in status(ledger).entities if one.entity == "orders")
        assert orders.objects == {"batched": 3, "quarantined": 1, "seen": 1, "superseded": 1}
        assert orders.batches == {"published": 1, "loaded": 1, "landed": 1}
        with ledger.transaction() as connection:
            assert read_tally(connection).objects[""] == {"quarantined": 1}
        flight = in_flight(ledger)
        assert (flight.open_objects, flight.unloaded_batches, flight.rejected_batches) == (1, 1, 1)
        assert ledger.published_frontier() == {("orders", "shop.orders+0"): 2}
        assert [(gap.first, gap.last) for gap in status(ledger).gaps] == [(9, 11)]
        assert ledger.flag_raises(MART_SET) == 7
        assert not ledger.raise_flag(MART_SET)
        with ledger.transaction() as connection:
            [backlog] = folds.backlogs(connection)
        assert (backlog.entity, backlog.batch_count, backlog.row_count) == ("orders", 3, 9)


def test_a_ledger_that_came_forward_works_on(old_dsn):
    migrations.upgrade(old_dsn)
    with Ledger(old_dsn) as ledger:
        listings.discard_quarantine(ledger, "o2", reason="lost for good", actor="ann")
        assert ledger.published_frontier() == {("orders", "shop.orders+0"): 5}
        ledger.mark_loaded(ledger.claim_batch("b3", actor="test"), load_seq=3)
        lease = ledger.claim_work(MART_SET, actor="test")
        refresh = ledger.start_refresh(lease, bounds={"orders": 3}, as_of=None)
        assert refresh.batch_ids == ("b2", "b3")
        ledger.mark_tested(lease, refresh.refresh_id)
        ledger.mark_published(lease, refresh.refresh_id, publication_id="p2")
        assert ledger.published_frontier() == {("orders", "shop.orders+0"): 8}
        assert ledger.batch("b3").state is BatchState.LOADED
        with pytest.raises(IllegalTransition):
            listings.drive_batch_again(ledger, "b3")
