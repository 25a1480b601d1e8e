"""The replay against a real PostgreSQL: rows, history, constraints, progress, and resuming after a kill."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from sample_year import planned_year

from slackwater.clients.postgres import connect
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.naming import ENTITIES
from slackwater.replay.changes import YearPlan
from slackwater.replay.files import SliceBy
from slackwater.replay.mapping import plan_year
from slackwater.replay.progress import lock_replay
from slackwater.replay.run import replay
from slackwater.replay.sample import read_sample
from slackwater.replay.source_schema import ensure_shop
from slackwater.replay.targets import FeedTarget, Landing, SliceDone
from slackwater.testing.changes import end_state, rows_of
from slackwater.testing.invoices import Line, sample_table

pytestmark = pytest.mark.integration

SALE = Line(quantity=10, price="2.00")
TINY = (
    SALE,
    replace(SALE, code="20002", quantity=1),
    replace(SALE, invoice="500002", customer=None, at="2010-12-01 15:30"),
    replace(SALE, invoice="C500003", quantity=-4, at="2010-12-02 10:00"),
    replace(SALE, invoice="C500004", quantity=-6, at="2010-12-04 10:00"),
    replace(SALE, invoice="500005", customer=17002, at="2010-12-05 10:00"),
)


@dataclass
class Store:
    """Keeps objects; the `fails_at`-th put fails as a store that is away does."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fails_at: int | None = None
    puts: int = 0

    def put(self, bucket: str, key: str, data: bytes) -> str:
        self.puts += 1
        if self.puts == self.fails_at:
            raise StoreUnavailable(f"s3://{bucket}/{key}: away")
        self.objects[key] = data
        return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Feed:
    """Keeps positions; the `fails_at`-th insert fails."""

    seen: dict[tuple[str, int], str] = field(default_factory=dict)
    fails_at: int | None = None
    inserts: int = 0

    def insert_changes(self, entity: str, rows: pa.Table) -> int:
        self.inserts += 1
        if self.inserts == self.fails_at:
            raise StoreUnavailable("the speed layer is away")
        new = 0
        for position, made in zip(rows["_position"].to_pylist(), rows["_object_id"].to_pylist(), strict=True):
            new += (entity, position) not in self.seen
            self.seen.setdefault((entity, position), made)
        return new


@pytest.fixture
def dsn(sandbox) -> SecretStr:
    return sandbox.shop.dsn


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.parquet"
    pq.write_table(sample_table(*TINY), path)
    return path


@pytest.fixture(scope="module")
def filled(module_sandbox, tmp_path_factory: pytest.TempPathFactory) -> SecretStr:
    """A shop that holds the tiny sample; for tests that change nothing."""
    path = tmp_path_factory.mktemp("filled") / "tiny.parquet"
    pq.write_table(sample_table(*TINY), path)
    run(module_sandbox.shop.dsn, Store(), path, "2010-12-31")
    return module_sandbox.shop.dsn


def run(
    dsn: SecretStr,
    store: Store,
    sample: Path,
    to: str,
    *,
    feed: FeedTarget | None = None,
    since: str | None = None,
    **more,
):
    start = date.fromisoformat(since) if since else None
    return replay(
        dsn,
        Landing(store, "landing"),
        feed=feed,
        from_date=start,
        to_date=date.fromisoformat(to),
        sample=sample,
        **more,
    )


def table(dsn: SecretStr, sql: str) -> list[dict[str, object]]:
    with connect(dsn) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql).fetchall()


def shop_state(dsn: SecretStr, entity: str) -> dict[int, dict[str, object]]:
    return {row["id"]: row for row in table(dsn, f"select * from shop.{entity}")}


def assert_shop_is(dsn: SecretStr, plan: YearPlan, until: str) -> None:
    for entity in ENTITIES:
        expected = end_state(plan, entity, until=datetime.fromisoformat(until))
        assert expected
        assert shop_state(dsn, entity) == expected


def test_december_leaves_the_rows_and_the_history_that_its_changes_say(dsn: SecretStr) -> None:
    store = Store()
    year = planned_year()
    report = replay(dsn, Landing(store, "landing"), feed=None, year=year)
    plan = year.plan
    until = datetime.fromisoformat("2011-01-01")
    assert_shop_is(dsn, plan, "2011-01-01")
    for entity in ENTITIES:
        names = plan.changes[entity].entity.column_names
        state: dict[object, dict[str, object]] = {}
        expected = []
        for row in rows_of(plan, entity, until=until):
            values = state.get(row["id"], {}) if row["__op"] == "d" else {name: row[name] for name in names}
            state[row["id"]] = values
            expected.append((row["__op"], row["__source_ts_ms"], *(values[name] for name in names)))
        found = table(dsn, f"select operation, event_time, {', '.join(names)} from shop_history.{entity}")
        assert len(found) == sum(count for (name, _), count in report.shop_rows.items() if name == entity)
        assert Counter(tuple(row.values()) for row in found) == Counter(expected)
    (held,) = table(dsn, "select sum(quantity * unit_price) as value from shop.order_items")
    assert held["value"] + report.chosen.residual_sum == report.chosen.input_value == Decimal("748957.020")
    assert report.chosen.input_lines == 42_481
    assert report.sent_rows == report.shop_rows
    assert report.file_count == len(store.objects)


def test_the_shops_totals_are_the_sums_of_its_items_after_every_slice(dsn: SecretStr, tiny: Path) -> None:
    wrong: list[int] = []

    def look(done: SliceDone) -> None:
        sums = "select order_id, sum(quantity * unit_price) as value from shop.order_items group by order_id"
        joined = f"select o.id from shop.orders o left join ({sums}) i on i.order_id = o.id"
        wrong.append(len(table(dsn, f"{joined} where o.total_amount is distinct from i.value")))

    run(dsn, Store(), tiny, "2010-12-31", on_slice=look)
    assert wrong
    assert set(wrong) == {0}


def test_an_earlier_from_sends_the_same_bytes_and_leaves_the_shop_alone(dsn: SecretStr, tiny: Path) -> None:
    first, second = Store(), Store()
    run(dsn, first, tiny, "2010-12-05")
    before = table(dsn, "select max(history_id) as last, count(*) as versions from shop_history.orders")
    report = run(dsn, second, tiny, "2010-12-05", since="2010-12-01")
    assert second.objects == first.objects
    assert first.objects
    assert report.shop_rows == {}
    assert report.file_count == len(first.objects)
    assert table(dsn, "select max(history_id) as last, count(*) as versions from shop_history.orders") == before


def test_a_range_in_two_parts_sends_what_one_part_would(dsn: SecretStr, tiny: Path) -> None:
    whole, parts = Store(), Store()
    run(dsn, parts, tiny, "2010-12-02")
    assert len(parts.objects) > 0
    assert not any("date=2010-12-03" in key for key in parts.objects)
    report = run(dsn, parts, tiny, "2010-12-31")
    assert report.chosen.start.date() == date(2010, 12, 3)
    assert report.so_far.input_lines == len(TINY) > report.chosen.input_lines
    run(dsn, whole, tiny, "2010-12-31", since="2010-12-01")
    assert parts.objects == whole.objects
    assert_shop_is(dsn, plan_year(read_sample(tiny)), "2011-01-01")


def test_a_second_replay_of_a_done_range_does_nothing(dsn: SecretStr, tiny: Path) -> None:
    run(dsn, Store(), tiny, "2010-12-31")
    store = Store()
    report = run(dsn, store, tiny, "2010-12-05")
    assert (store.objects, report.shop_rows, report.slice_count) == ({}, {}, 0)


def test_from_may_not_lie_beyond_what_was_replayed(dsn: SecretStr, tiny: Path) -> None:
    run(dsn, Store(), tiny, "2010-12-02")
    with pytest.raises(ConfigurationError, match=r"--from 2010-12-04 lies beyond .*2010-12-03 00:00"):
        run(dsn, Store(), tiny, "2010-12-05", since="2010-12-04")
    assert run(dsn, Store(), tiny, "2010-12-05", since="2010-12-03").file_count > 0


@pytest.mark.parametrize("fails_at", range(1, 14))
def test_a_replay_killed_between_its_commit_and_a_put_resumes(dsn: SecretStr, tiny: Path, fails_at: int) -> None:
    store, clean = Store(fails_at=fails_at), Store()
    with pytest.raises(StoreUnavailable):
        run(dsn, store, tiny, "2010-12-31")
    report = run(dsn, store, tiny, "2010-12-31")
    assert report.shop_rows != report.sent_rows  # the slice's rows were committed before the put failed
    run(dsn, clean, tiny, "2010-12-31", since="2010-12-01")
    assert store.objects == clean.objects
    plan = plan_year(read_sample(tiny))
    assert_shop_is(dsn, plan, "2011-01-01")
    for entity in ENTITIES:
        (count,) = table(dsn, f"select count(*) as versions from shop_history.{entity}")
        assert count["versions"] == len(rows_of(plan, entity))


@pytest.mark.parametrize("fails_at", [1, 5, 9])
def test_a_feed_that_was_away_gets_everything_from_the_next_replay(dsn: SecretStr, tiny: Path, fails_at: int) -> None:
    feed = Feed(fails_at=fails_at)
    with pytest.raises(StoreUnavailable):
        run(dsn, Store(), tiny, "2010-12-31", feed=feed)
    run(dsn, Store(), tiny, "2010-12-31", feed=feed)
    plan = plan_year(read_sample(tiny))
    assert {key for key, _ in feed.seen.items()} == {
        (entity, position) for entity in ENTITIES for position in range(plan.changes[entity].table.num_rows)
    }


def test_a_feed_added_later_starts_where_it_has_a_gap(dsn: SecretStr, tiny: Path) -> None:
    run(dsn, Store(), tiny, "2010-12-04")
    feed = Feed()
    report = run(dsn, Store(), tiny, "2010-12-31", feed=feed)
    assert report.chosen.start.date() == date(2010, 12, 1)
    assert report.fed_rows == len(feed.seen) == sum(report.sent_rows.values())


def test_hours_after_days_and_days_after_hours_leave_the_same_shop(dsn: SecretStr, tiny: Path) -> None:
    run(dsn, Store(), tiny, "2010-12-01", slice_by=SliceBy.HOUR)
    run(dsn, Store(), tiny, "2010-12-03", slice_by=SliceBy.DAY)
    run(dsn, Store(), tiny, "2010-12-31", slice_by=SliceBy.HOUR)
    assert_shop_is(dsn, plan_year(read_sample(tiny)), "2011-01-01")


def test_a_kill_within_a_slice_of_hours_is_continued_by_days_without_doubling(dsn: SecretStr, tiny: Path) -> None:
    with pytest.raises(StoreUnavailable):
        run(dsn, Store(fails_at=5), tiny, "2010-12-31", slice_by=SliceBy.HOUR)
    (progress,) = table(dsn, "select shop_until, files_until from shop_replay.progress")
    assert progress["shop_until"] > progress["files_until"]
    assert progress["shop_until"].hour > 0
    run(dsn, Store(), tiny, "2010-12-31", slice_by=SliceBy.DAY)
    assert_shop_is(dsn, plan_year(read_sample(tiny)), "2011-01-01")


def test_another_sample_is_refused(dsn: SecretStr, tiny: Path, tmp_path: Path) -> None:
    run(dsn, Store(), tiny, "2010-12-02")
    other = tmp_path / "other.parquet"
    pq.write_table(sample_table(*TINY[:2]), other)
    with pytest.raises(ConfigurationError, match="another sample or mapping version"):
        run(dsn, Store(), other, "2010-12-05")


def test_two_replays_of_one_shop_exclude_each_other(dsn: SecretStr, tiny: Path) -> None:
    with connect(dsn) as holder:
        lock_replay(holder)
        with pytest.raises(ConfigurationError, match="another replay"):
            run(dsn, Store(), tiny, "2010-12-02")
    assert run(dsn, Store(), tiny, "2010-12-02").file_count > 0


def test_speed_makes_source_time_pass_that_much_faster(dsn: SecretStr, tiny: Path) -> None:
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    run(dsn, Store(), tiny, "2010-12-03", speed=8_640.0, clock=lambda: now[0], sleep=sleep)
    assert waits == [10.0, 10.0, 10.0]
    with pytest.raises(ConfigurationError, match="--speed"):
        run(dsn, Store(), tiny, "2010-12-05", speed=0.0)


def test_the_report_as_json_names_every_class_and_adds_up(dsn: SecretStr, tiny: Path) -> None:
    document = json.loads(run(dsn, Store(), tiny, "2010-12-31").to_json())
    chosen = document["chosen"]
    assert sum(entry["lines"] for entry in chosen["classes"].values()) == chosen["input_lines"] == len(TINY)
    (held,) = table(dsn, "select sum(quantity * unit_price) as value from shop.order_items")
    assert held["value"] + Decimal(chosen["residual_sum"]) == Decimal(chosen["input_value"]) == Decimal("42.000")
    assert document["shop_rows"]["order_items"] == {"c": 4, "u": 1, "d": 1}


def test_the_schema_is_made_once_and_keeps_its_rows(dsn: SecretStr, tiny: Path) -> None:
    run(dsn, Store(), tiny, "2010-12-31")
    sql = "select oid, conname from pg_constraint where connamespace = 'shop'::regnamespace order by conname"
    before = table(dsn, sql)
    ensure_shop(dsn)
    assert table(dsn, sql) == before
    assert len(shop_state(dsn, "orders")) == 3


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("update shop.orders set status = 'lost'", id="unknown status"),
        pytest.param("update shop.products set price = -1", id="negative price"),
        pytest.param("update shop.products set stock_quantity = -1", id="negative stock"),
        pytest.param("update shop.order_items set quantity = 0", id="no quantity"),
        pytest.param("update shop.order_items set unit_price = -0.01", id="negative unit price"),
        pytest.param("update shop.orders set total_amount = null", id="no total"),
        pytest.param("update shop.orders set total_amount = -1", id="negative total"),
        pytest.param("update shop.orders set user_id = 1", id="unknown user"),
        pytest.param("update shop.order_items set product_id = 99", id="unknown product"),
        pytest.param("delete from shop.orders", id="order with items"),
        pytest.param("update shop.users set email = 'nobody'", id="no address"),
        pytest.param("update shop.users set email = 'a@example.com'", id="address twice"),
        pytest.param("update shop.orders set updated_at = created_at - interval '1 day'", id="changed before made"),
        pytest.param("insert into shop.users select * from shop.users", id="key twice"),
    ],
)
def test_the_shop_refuses_what_no_shop_may_hold(filled: SecretStr, statement: str) -> None:
    with connect(filled) as connection, pytest.raises(psycopg.errors.IntegrityError):
        connection.execute(statement)


def test_history_takes_the_time_from_the_row_the_setting_or_the_clock(dsn: SecretStr, tiny: Path) -> None:
    run(dsn, Store(), tiny, "2010-12-31")
    with connect(dsn) as connection:
        connection.execute(
            "update shop.orders set status = 'shipped', updated_at = '2011-02-03 04:05' where id = 500002"
        )
        connection.execute("select set_config('shop.event_time', '2011-02-04 00:00', true)")
        connection.execute("delete from shop.order_items where order_id = 500002")
        connection.commit()
        connection.execute("update shop.order_items set quantity = 9 where order_id = 500005")
        connection.commit()
    order, gone, changed = (
        table(dsn, f"select * from shop_history.{entity} order by history_id desc limit 2")
        for entity in ("orders", "order_items", "order_items")
    )
    assert (order[0]["operation"], order[0]["event_time"]) == ("u", datetime.fromisoformat("2011-02-03T04:05"))
    assert (gone[1]["operation"], gone[1]["event_time"]) == ("d", datetime.fromisoformat("2011-02-04"))
    assert gone[1]["quantity"] == 10
    (now,) = table(dsn, "select clock_timestamp() at time zone 'UTC' as at")
    assert timedelta(0) <= now["at"] - changed[0]["event_time"] < timedelta(minutes=1)
