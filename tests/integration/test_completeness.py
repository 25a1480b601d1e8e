"""The completeness clock over real stores: what a withheld, quarantined, doubled or unread file does to its day."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.iceberg import Lake
from slackwater.clients.postgres import connect
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.completeness.model import StoredClock, StoredDay
from slackwater.completeness.run import CompletenessRun, fill_object_days, refresh_completeness
from slackwater.completeness.store import read_clock, read_days, write_days
from slackwater.entities.casting import cast_landing_table
from slackwater.entities.model import load_entity
from slackwater.lake.append import changelog_rows
from slackwater.ledger.model import BatchObject
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import Bench
from slackwater.warehouse.load import load_batch
from slackwater.warehouse.publish import publish
from slackwater.warehouse.refresh import start_refresh

pytestmark = pytest.mark.integration

FIRST = date(2010, 12, 1)
COUNTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
NOW = COUNTED_AT.replace(tzinfo=None)


def _day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def _file(day: int, *, first: int, count: int, days: int = 1) -> LandingFile:
    """A file of orders whose rows lie on `days` days from the `day`-th of December on."""
    file = LandingFile(first=first, count=count, date=f"2010-12-{day:02d}", days=days)
    start = datetime(2010, 12, day, 8, tzinfo=UTC)
    for row in range(count):
        at = start + timedelta(days=row * days // count)
        file = file.with_row(row, __source_ts_ms=int(at.timestamp() * 1000))
    return file


def _feed(file: LandingFile) -> pa.Table:
    """The rows as the speed layer gets them."""
    entity = load_entity(file.entity)
    item = BatchObject("o", "b", file.key(), "e", 1, f"shop.{file.entity}+0", file.first, file.last, 0, False, None)
    return changelog_rows(cast_landing_table(entity, file.table()), entity, item=item, batch_id="b")


@dataclass
class Shop:
    """A whole path from landing to publication, and the source's history."""

    bench: Bench
    warehouse: Warehouse
    speed: SpeedStore
    dsn: str
    turns: int = 0

    def write_source(self, *rows: int) -> None:
        """Let the source have written so many orders on each of the first days of December."""
        with connect(self.dsn) as connection:
            for number, count in enumerate(rows, 1):
                connection.execute(
                    "insert into shop_history.orders (operation, event_time, id)"
                    " select 'c', %s, n from generate_series(1, %s) as n",
                    (_day(number), count),
                )

    def load(self, *object_ids: str) -> None:
        """Bring objects into the lake and the warehouse as one batch."""
        batch_id = self.bench.seal("orders", *object_ids)
        self.bench.append(batch_id)
        ledger = self.bench.ledger
        lease = ledger.claim_batch(batch_id, actor="test")
        assert lease is not None
        load_batch(batch_id, ledger=ledger, lake=self.bench.lake, warehouse=self.warehouse, lease=lease, actor="test")

    def publish(self) -> str:
        """Publish what is loaded and return the refresh."""
        ledger = self.bench.ledger
        lease = ledger.claim_work(MART_SET, actor="test")
        assert lease is not None
        refresh = start_refresh(ledger=ledger, warehouse=self.warehouse, lease=lease)
        assert refresh is not None
        ledger.mark_tested(lease, refresh.refresh_id)
        publish(refresh, ledger=ledger, warehouse=self.warehouse, lease=lease, marts=())
        ledger.release_work(lease)
        return refresh.refresh_id

    def deliver(self, *files: LandingFile) -> None:
        """Take files all the way to a publication."""
        self.load(*(self.bench.put_file(file) for file in files))
        self.publish()

    def count(self, *, at: datetime | None = None, has_source: bool = True) -> CompletenessRun:
        """Run one turn; each is an hour after the one before."""
        self.turns += 1
        return refresh_completeness(
            ledger=self.bench.ledger,
            lake=self.bench.lake,
            warehouse=self.warehouse,
            speed=self.speed,
            source_dsn=self.dsn if has_source else None,
            now=lambda: at or COUNTED_AT + timedelta(hours=self.turns),
        )

    def shown(self, **arguments):
        """Count, and return what the table says: day, expected and published rows, percent, is final."""
        self.count(**arguments)
        rows = read_days(self.warehouse)
        return [(r.day, r.expected_rows, r.published_rows, str(r.percent), r.is_final) for r in rows]


@pytest.fixture
def shop(sandbox) -> Iterator[Shop]:
    with (
        Warehouse(sandbox.warehouse) as warehouse,
        SpeedStore(sandbox.clickhouse) as speed,
        Ledger(sandbox.ledger.dsn) as ledger,
    ):
        bench = Bench(ledger, Lake(sandbox.lake, sandbox.s3), ObjectStore(sandbox.s3), sandbox.landing)
        yield Shop(bench, warehouse, speed, sandbox.shop.dsn.get_secret_value())


def test_a_withheld_file_shows_below_100_with_the_missing_range_and_delivering_it_makes_the_day_final(shop):
    shop.write_source(3, 10, 4, 1)
    shop.deliver(_file(1, first=0, count=3), _file(3, first=13, count=4), _file(4, first=17, count=1))

    assert shop.shown() == [
        (_day(1), 3, 3, "100.00", True),
        (_day(2), 10, 0, "0.00", False),
        (_day(3), 4, 4, "100.00", False),
        (_day(4), 1, 1, "100.00", False),
    ]
    second = read_days(shop.warehouse, from_date=_day(2), to_date=_day(2))[0]
    assert second.missing_positions == 10
    assert "10 positions are missing: shop.orders+0+3-12" in second.reasons

    shop.deliver(_file(2, first=3, count=10))
    assert shop.shown() == [
        (_day(1), 3, 3, "100.00", True),
        (_day(2), 10, 10, "100.00", True),
        (_day(3), 4, 4, "100.00", True),
        (_day(4), 1, 1, "100.00", False),
    ]
    assert read_days(shop.warehouse, from_date=_day(4))[0].reasons == "the source has not moved beyond this day"


def test_a_file_delivered_twice_counts_once_but_in_the_lake(shop):
    shop.write_source(4, 6, 1)
    whole = _file(1, first=0, count=8, days=2)
    again = LandingFile(first=2, count=8, date="2010-12-09")
    for row in range(8):  # positions 2 to 7 again, then 8 and 9 of the second day
        day = 1 if row + 2 < 4 else 2
        again = again.with_row(row, __source_ts_ms=int(datetime(2010, 12, day, 9, tzinfo=UTC).timestamp() * 1000))
    shop.deliver(whole)
    shop.load(shop.bench.put_file(again))
    assert shop.shown() == [
        (_day(1), 4, 4, "100.00", True),
        (_day(2), 6, 4, "66.66", False),
        (_day(3), 1, 0, "0.00", False),
    ]
    shop.deliver(_file(3, first=10, count=1))

    assert shop.shown() == [
        (_day(1), 4, 4, "100.00", True),
        (_day(2), 6, 6, "100.00", True),
        (_day(3), 1, 1, "100.00", False),
    ]
    assert [(one.landed_rows, one.lake_rows, one.raw_rows) for one in read_days(shop.warehouse)] == [
        (4, 6, 4),
        (6, 10, 6),
        (1, 1, 1),
    ]


def test_without_a_source_a_file_that_is_not_read_yet_counts_as_promised_on_the_date_of_its_key(shop):
    shop.deliver(_file(1, first=0, count=3), _file(2, first=3, count=3))
    waiting = shop.bench.put_file(_file(3, first=6, count=5))

    assert shop.shown() == [
        (_day(1), 3, 3, "100.00", True),
        (_day(2), 3, 3, "100.00", False),
        (_day(3), 5, 0, "0.00", False),
    ]
    assert "1 file of shop.orders+0 on the way, from position 6" in read_days(shop.warehouse)[1].reasons

    shop.load(waiting)
    assert shop.shown()[1:] == [(_day(2), 3, 3, "100.00", True), (_day(3), 5, 0, "0.00", False)]
    shop.publish()
    assert shop.shown()[1:] == [(_day(2), 3, 3, "100.00", True), (_day(3), 5, 5, "100.00", False)]


def test_a_quarantined_file_blocks_its_day_until_its_positions_come_another_way(shop):
    shop.deliver(_file(1, first=0, count=3), _file(3, first=7, count=2))
    bad = _file(2, first=3, count=4)
    shop.load(shop.bench.put(bad.key(), b"no parquet"))

    found = shop.shown()
    assert found[1:] == [(_day(2), 4, 0, "0.00", False), (_day(3), 2, 2, "100.00", False)]
    second = read_days(shop.warehouse)[1]
    assert (second.quarantined_rows, second.landed_rows) == (4, 0)
    assert "1 file of shop.orders+0 in quarantine, from position 3" in second.reasons

    shop.deliver(LandingFile(first=3, count=4, date="2010-12-02", hour="23", overrides=bad.overrides))
    assert shop.shown()[1:] == [(_day(2), 4, 4, "100.00", True), (_day(3), 2, 2, "100.00", False)]
    assert read_days(shop.warehouse)[1].quarantined_rows == 0


def test_without_a_source_a_gap_may_lie_on_each_day_between_its_neighbours(shop):
    later = replace(_file(4, first=14, count=2), date="2010-12-09")  # its key says another day than its rows
    shop.deliver(_file(1, first=0, count=4, days=2), later)
    assert shop.shown() == [
        (_day(1), 2, 2, "100.00", True),
        (_day(2), 12, 2, "16.66", False),
        (_day(3), 10, 0, "0.00", False),
        (_day(4), 12, 2, "16.66", False),
    ]
    assert [one.missing_positions for one in read_days(shop.warehouse)] == [0, 10, 10, 10]


def test_every_store_is_counted_on_the_day_of_the_event(shop):
    shop.write_source(7, 3, 4, 1)
    shop.deliver(_file(1, first=0, count=4))  # one date: its manifest is not opened
    shop.deliver(_file(1, first=4, count=10, days=3), _file(4, first=14, count=1))
    shop.speed.insert_changes("orders", _feed(_file(1, first=0, count=4)))
    shop.count()

    counts = [
        (one.source_rows, one.landed_rows, one.lake_rows, one.raw_rows, one.published_rows, one.clickhouse_rows)
        for one in read_days(shop.warehouse)
    ]
    assert counts == [(7, 8, 8, 8, 8, 4), (3, 3, 3, 3, 3, 0), (4, 3, 3, 3, 3, 0), (1, 1, 1, 1, 1, 0)]
    assert [one.reasons for one in read_days(shop.warehouse)][::2] == [
        "the source wrote 7 rows, 8 are published",
        "the source wrote 4 rows, 3 are published",
    ]


def test_only_rows_that_differ_are_written_and_an_unknown_source_is_null(shop):
    shop.deliver(_file(1, first=0, count=3), _file(2, first=3, count=3), _file(3, first=6, count=1))
    first = shop.count()
    assert first.changed_rows == 3
    assert {one.source_rows for one in first.days} == {None}  # its history is there and empty
    before = {one.day: one.computed_at for one in read_days(shop.warehouse)}
    with connect(shop.dsn) as connection:
        connection.execute("drop schema shop_history cascade")
    assert shop.count().changed_rows == 0
    assert shop.count(has_source=False).changed_rows == 0
    assert {one.day: one.computed_at for one in read_days(shop.warehouse)} == before

    shop.deliver(_file(4, first=7, count=1))
    assert shop.count().changed_rows == 2  # the third day is over, the fourth is new
    after = {one.day: one.computed_at for one in read_days(shop.warehouse)}
    assert [after[day] == before[day] for day in (_day(1), _day(2), _day(3))] == [True, True, False]
    clock = read_clock(shop.warehouse)
    assert clock is not None
    assert clock.computed_at == (COUNTED_AT + timedelta(hours=4)).replace(tzinfo=None)


def test_landing_writes_the_rows_per_object_and_day_also_when_an_earlier_attempt_had_committed(shop):
    bench = shop.bench
    spread, plain = bench.put_file(_file(1, first=0, count=6, days=3)), bench.put_file(_file(2, first=6, count=4))
    bad = bench.put(_file(3, first=10, count=2).key(), b"no parquet")
    batch_id = bench.seal("orders", spread, plain, bad)
    expected = sorted([*((spread, _day(number), 2) for number in (1, 2, 3)), (plain, _day(2), 4)])
    for _ in range(2):
        bench.append(batch_id)
        with bench.ledger.transaction() as connection:
            found = connection.execute("delete from ledger.object_day returning object_id, day, row_count").fetchall()
            connection.execute(  # as a run leaves it that died between the lake's commit and the ledger's
                "update ledger.batch set state = 'sealed', snapshot_id = null, landed_at = null where batch_id = %s",
                (batch_id,),
            )
        assert sorted(found) == expected
    assert bench.lake.row_count("orders") == 10


def test_days_of_batches_landed_without_them_are_filled_in_from_the_lake(shop):
    shop.load(shop.bench.put_file(_file(1, first=0, count=6, days=3)))
    with shop.bench.ledger.transaction() as connection:
        written = connection.execute("delete from ledger.object_day returning day, row_count").fetchall()
    assert sorted(written) == [(_day(1), 2), (_day(2), 2), (_day(3), 2)]
    assert [(one.day, one.landed_rows) for one in shop.count().days] == [(_day(1), 2), (_day(2), 2), (_day(3), 2)]
    assert fill_object_days(shop.bench.ledger, shop.bench.lake) == 0
    with shop.bench.ledger.transaction() as connection:
        found = connection.execute("select day, row_count from ledger.object_day").fetchall()
    assert sorted(found) == sorted(written)


def test_the_table_becomes_what_was_counted_and_an_older_count_gives_way(sandbox):
    row = StoredDay("orders", FIRST, None, 3, 3, 3, 2, None, 0, 0, 0, 3, Decimal("66.66"), False, "why", NOW, None)
    many = [replace(row, day=FIRST + timedelta(days=number)) for number in range(450)]
    with Warehouse(sandbox.warehouse) as warehouse:
        assert read_clock(warehouse) is None
        assert write_days(warehouse, many, counted_at=NOW, refresh_id="r1") == 450
        assert read_days(warehouse) == tuple(many)
        assert read_clock(warehouse) == StoredClock(NOW, "r1")

        later = NOW + timedelta(hours=1)
        final = replace(row, percent=Decimal("100.00"), is_final=True, reasons="", computed_at=later)
        wanted = [final, *(replace(one, computed_at=later) for one in many[1:440])]
        assert write_days(warehouse, wanted, counted_at=later, refresh_id="r2") == 11
        assert read_days(warehouse) == (final, *many[1:440])
        assert read_days(warehouse, from_date=FIRST, to_date=FIRST) == (final,)

        assert write_days(warehouse, (), counted_at=NOW, refresh_id="r1") is None
        assert len(read_days(warehouse)) == 440
        assert write_days(warehouse, (), counted_at=later, refresh_id="r3") == 440
        assert read_days(warehouse) == ()
