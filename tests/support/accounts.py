"""Is everything that was sent accounted for, and once? Asked of every store, by SQL and key names written by hand.

What should be there comes from the names of the landing objects and from the shop, never from the code under test.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from upkeep import state_problems, unfolded
from world import Row, World

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.iceberg import Lake
from slackwater.clients.postgres import Connection, connect
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.sqs import Queue

ENTITIES = ("users", "products", "orders", "order_items")
LEASE_END_SECONDS, WORK_END_SECONDS = 90.0, 600.0
"""How long a lease that ran out may stay, and one whose holder still renews it: upkeep of the lake takes its time."""

_KEY = re.compile(r"^cdc/(\w+)/date=[^/]+/hour=\d\d/([^/]+\+\d+)\+(\d+)-(\d+)\.(?:parquet|jsonl\.gz)$")

STAGING_SUMS = {
    "users": "count(*), sum(id), count(distinct email), count(last_name)",
    "products": "count(*), sum(id), sum(price), sum(stock_quantity), count(distinct name)",
    "orders": "count(*), sum(id), sum(user_id), sum(total_amount), count(distinct status), count(shipping_address)",
    "order_items": "count(*), sum(id), sum(order_id), sum(product_id), sum(quantity), sum(quantity * unit_price)",
}

LEDGER_QUESTIONS = {
    "a key recorded more than once": "select key from ledger.object group by bucket, key having count(*) <> 1",
    "an object that has not ended": (
        "select o.key || ' is ' || o.state from ledger.object o left join ledger.batch b using (batch_id)"
        " where o.state not in ('superseded', 'discarded') and (o.state <> 'batched' or b.state <> 'loaded'"
        " or not exists (select 1 from ledger.refresh_batch m join ledger.refresh r using (refresh_id)"
        "  where m.batch_id = b.batch_id and r.state = 'published'))"
    ),
    "an object in no batch or in several": (
        "select o.key from ledger.object o left join ledger.batch_object m"
        " on m.object_id = o.object_id and not m.is_skipped"
        " where o.state = 'batched' group by o.object_id having count(m.batch_id) <> 1"
    ),
    "a batch that landed or loaded more often than it was opened": (
        "select subject_id || ' ' || to_state from ledger.transition t where subject = 'batch'"
        " and to_state in ('landed', 'loaded') group by subject_id, to_state having count(*) > 1 + (select count(*)"
        "  from ledger.transition back where back.subject_id = t.subject_id and back.to_state = 'sealed'"
        "  and back.from_state is not null)"
    ),
    "a refresh that has not ended": "select refresh_id from ledger.refresh where state in ('building', 'tested')",
    "a refresh that was rejected": "select refresh_id || reasons::text from ledger.refresh where state = 'rejected'",
    "a message that could not be read": "select reason from ledger.rejected_message",
}

REWRITES = "select count(distinct run_id || table_name) from OPS.COMPACTION_LOG where outcome = 'rewritten'"

LEASES = (
    "select 'batch ' || batch_id, leased_until < clock_timestamp() from ledger.batch where lease_owner is not null"
    " union all select work, leased_until < clock_timestamp() from ledger.work where lease_owner is not null"
)


@dataclass(frozen=True)
class Place:
    """Positions of one entity and source partition in one store."""

    rows: int
    distinct: int
    first: int
    last: int


@dataclass(frozen=True)
class Account:
    """What the stores hold against what was sent.

    Attributes:
        rows_sent: Rows the landing objects' names promise.
        rows_lost: Rows missing in the lake, in raw or in the speed layer; the worst store counts.
        rows_doubled: Rows that are in the lake or in raw more than once; the worst store counts.
        problems: Everything that is not as it must be, one sentence each; empty when all is well.
        rewrites: Verified rewrites of a table the lake's upkeep made, since the beginning.
    """

    rows_sent: int
    rows_lost: int
    rows_doubled: int
    problems: tuple[str, ...]
    rewrites: int = 0


def take_account(world: World) -> Account:
    """Compare every store with what was sent; the system must be quiet."""
    listed = [
        item.key for item in ObjectStore(world.systems.s3).list(world.systems.landing.bucket, "cdc/") if item.size_bytes
    ]
    sent = sent_places(listed)
    stores = {"lake": lake_places(world), "raw": raw_places(world), "speed layer": speed_places(world)}
    lost = doubled = 0
    problems: list[str] = []
    for store, found in stores.items():
        gone, twice, said = compare_places(store, sent, found)
        lost, problems = max(lost, gone), problems + said
        if store != "speed layer":  # it keeps every delivery and shows the newest version of a key
            doubled = max(doubled, twice)
        problems += [f"{store}: {twice} rows twice"] if twice and store != "speed layer" else []
    problems += [*_ledger_problems(world, listed), *_warehouse_problems(world), *_number_problems(world)]
    problems += state_problems(world) if not unfolded(world) else []
    rewrites = int(str(world.warehouse(REWRITES)[0][0]))
    return Account(sum(place.rows for place in sent.values()), lost, doubled, tuple(problems), rewrites)


def sent_places(keys: Iterable[str]) -> dict[tuple[str, str], Place]:
    """Add up what the names of landing objects promise, per entity and source partition."""
    ranges: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for key in keys:
        named = _KEY.match(key)
        assert named, f"a landing object of another kind: {key}"
        entity, partition, first, last = named.groups()
        ranges.setdefault((entity, partition), []).append((int(first), int(last)))
    found = {}
    for place, parts in ranges.items():
        rows = sum(last - first + 1 for first, last in parts)
        found[place] = Place(rows, rows, min(first for first, _ in parts), max(last for _, last in parts))
        assert found[place].last - found[place].first + 1 == rows, f"the sent files of {place} overlap or leave a gap"
    return found


def compare_places(
    store: str, sent: dict[tuple[str, str], Place], found: dict[tuple[str, str], Place]
) -> tuple[int, int, list[str]]:
    """Return the rows lost, the rows too many, and what is wrong.

    The sent positions have no gap, so as many distinct ones between the same ends are the same ones.
    """
    lost = doubled = 0
    problems = []
    for place in sent.keys() | found.keys():
        wanted, there = sent.get(place, Place(0, 0, 0, -1)), found.get(place, Place(0, 0, 0, -1))
        lost += max(0, wanted.distinct - there.distinct)
        doubled += there.rows - there.distinct
        if (wanted.distinct, wanted.first, wanted.last) != (there.distinct, there.first, there.last):
            problems.append(f"{store}: {place} holds {there}, sent was {wanted}")
    return lost, doubled, problems


def lake_places(world: World) -> dict[tuple[str, str], Place]:
    """Count the lake's positions from a scan of every changelog."""
    lake = Lake(world.systems.lake, world.systems.s3)
    found = {}
    for entity in ENTITIES:
        rows = lake.scan(entity, columns=("_source_partition", "_position"))
        for partition in pc.unique(rows["_source_partition"]).to_pylist():
            positions = rows.filter(pc.equal(rows["_source_partition"], partition))["_position"]
            found[entity, partition] = _place(positions)
    return found


def raw_places(world: World) -> dict[tuple[str, str], Place]:
    """Count the positions of every raw table."""
    return {
        (entity, str(partition)): Place(*(int(str(number)) for number in numbers))
        for entity in ENTITIES
        for partition, *numbers in world.warehouse(
            "select _source_partition, count(*), count(distinct _position), min(_position), max(_position)"
            f" from RAW.{entity.upper()} group by _source_partition"
        )
    }


def speed_places(world: World) -> dict[tuple[str, str], Place]:
    """Count the positions the replay fed to the speed layer."""
    found = {}
    with SpeedStore(world.systems.clickhouse) as speed:
        for entity in ENTITIES:
            rows = speed.query(f"select _source_partition, _position from {entity}_changes")
            for partition in pc.unique(rows["_source_partition"]).to_pylist():
                found[entity, partition] = _place(
                    rows.filter(pc.equal(rows["_source_partition"], partition))["_position"]
                )
    return found


def _place(positions: pa.ChunkedArray) -> Place:
    ends = pc.min_max(positions).as_py()
    return Place(len(positions), pc.count_distinct(positions).as_py(), ends["min"], ends["max"])


def _ledger_problems(world: World, listed: list[str]) -> list[str]:
    with connect(world.systems.ledger.dsn, autocommit=True) as connection:
        known = {row[0] for row in connection.execute("select key from ledger.object").fetchall()}
        problems = [f"not in the ledger: {key}" for key in listed if key not in known]
        for question, sql in LEDGER_QUESTIONS.items():
            problems += [f"{question}: {row[0]}" for row in connection.execute(sql).fetchall()]
        problems += [f"a lease nobody gives back: {name}" for name in _leases_left(connection)]
    dead = sum(Queue(world.systems.s3, world.systems.landing.dead_letter_queue_name).depth())
    return [*problems, *([f"{dead} messages in the dead-letter queue"] if dead else [])]


def _leases_left(connection: Connection) -> list[str]:
    """Return the leases that are still held when every holder has had its time to end."""
    begin = time.monotonic()
    while held := connection.execute(LEASES).fetchall():
        waited = time.monotonic() - begin
        if waited > WORK_END_SECONDS or (waited > LEASE_END_SECONDS and all(is_over for _, is_over in held)):
            break
        time.sleep(0.5)
    return [f"{name} ({'ran out' if is_over else 'still renewed'})" for name, is_over in held]


def _warehouse_problems(world: World) -> list[str]:
    problems = []
    for entity, batches, rows, greatest, numbers in world.warehouse(
        "select entity, count(distinct batch_id), count(*), max(load_seq), count(distinct load_seq)"
        " from OPS.LOAD_HISTORY group by entity"
    ):
        if not batches == rows == greatest == numbers:
            problems.append(f"load history of {entity}: {rows} rows, {batches} batches, numbers up to {greatest}")
    published = world.warehouse("select count(*), count(distinct refresh_id) from MARTS.PUBLICATION")
    with connect(world.systems.ledger.dsn, autocommit=True) as connection:
        row = connection.execute("select count(*) from ledger.refresh where state = 'published'").fetchone()
    if row is None or published != [(row[0], row[0])]:
        problems.append(f"publications and refreshes in the warehouse {published}, in the ledger {row}")
    return problems


def _number_problems(world: World) -> list[str]:
    problems = []
    published, expected = world.published_metrics(), world.expected_metrics()
    for day in sorted(published.keys() | expected.keys()):
        if published.get(day) != expected.get(day):
            problems.append(f"metrics of {day}: published {published.get(day)}, the shop says {expected.get(day)}")
    for entity, sums in STAGING_SUMS.items():
        staged, source = (
            _one(world.warehouse(f"select {sums} from STAGING.STG_{entity.upper()}")),
            _one(world.shop(f"select {sums} from shop.{entity}")),
        )
        if staged != source:
            problems.append(f"staging of {entity}: {staged}, the shop has {source}")
    return problems


def _one(rows: list[Row]) -> Row:
    return rows[0]
