"""`slackwater explain` on December: every id it tells is the one its store holds, asked by SQL written by hand."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from typer.testing import CliRunner
from world import World

from slackwater.cli import app
from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.iceberg import Lake
from slackwater.naming import SNAPSHOT_BATCH_ID
from slackwater.stack.environment import full_environment

pytestmark = pytest.mark.e2e

DAY = date(2010, 12, 6)

KEYS = {
    "order": ("orders", "select max(order_id) from shop.order_items i join shop.orders o on o.id = i.order_id where"
              " o.created_at::date = '2010-12-06' and o.status = 'delivered'"),
    "user": ("users", "select max(user_id) from shop.orders where created_at::date = '2010-12-06'"),
    "product": ("products", "select max(product_id) from shop.order_items where created_at::date = '2010-12-06'"),
    "order_item": ("order_items", "select max(id) from shop.order_items where created_at::date = '2010-12-06'"),
}  # fmt: skip

NEWEST = (
    "select _object_id, batch_id, _source_partition, _position, __source_lsn from RAW.{table} where id = {key}"
    " order by _epoch desc, __source_lsn desc, iff(__op = 'r', 0, 1) desc, _position desc, _object_id desc limit 1"
)


@dataclass(frozen=True)
class Told:
    """One chapter of the JSON answer, by kind of step."""

    document: dict[str, Any]
    number: int = 0

    def ids(self, kind: str) -> list[str]:
        return [step["id"] for step in self.document["chapters"][self.number]["steps"] if step["kind"] == kind]

    def step(self, kind: str) -> dict[str, Any]:
        return next(step for step in self.document["chapters"][self.number]["steps"] if step["kind"] == kind)


@pytest.fixture
def explain(december: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in full_environment(december.profile).items():
        monkeypatch.setenv(name, value)

    def ask(*arguments: object) -> Told:
        result = CliRunner().invoke(app, ["explain", *map(str, arguments), "--json"])
        assert result.exit_code == 0, result.output
        return Told(json.loads(result.output))

    return ask


def ledger(world: World, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with world.ledger() as opened, opened.transaction() as connection:
        return connection.execute(sql, values).fetchall()


def expected_work(world: World, batch_id: str) -> dict[str, list[str]]:
    """Ask each store for the ids of a batch's way, in the words of the steps."""
    [(entity, snapshot_id, refresh_id, invocation_id)] = ledger(
        world,
        "select b.entity, b.snapshot_id, r.refresh_id, r.dbt_invocation_id from ledger.batch b"
        " join ledger.refresh_batch m using (batch_id) join ledger.refresh r using (refresh_id)"
        " where b.batch_id = %s and r.state = 'published'",
        batch_id,
    )
    lake = Lake(world.systems.lake, world.systems.s3)
    snapshot = lake.load_table(f"changes.{entity}").snapshot_by_id(snapshot_id)
    lake.close()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary[SNAPSHOT_BATCH_ID] == batch_id
    [(query_id,)] = world.warehouse(f"select query_id from OPS.LOAD_HISTORY where batch_id = '{batch_id}'")
    [(publication_id,)] = world.warehouse(
        f"select publication_id from MARTS.PUBLICATION where refresh_id = '{refresh_id}'"
    )
    kept = world.systems.quality.dbt_target_dir / "results" / refresh_id / "run" / "run_results.json"
    assert json.loads(kept.read_text())["metadata"]["invocation_id"] == invocation_id
    assert query_id
    return {
        "batch": [batch_id],
        "snapshot": [str(snapshot_id)],
        "load": [str(query_id)],
        "refresh": [refresh_id],
        "dbt run": [invocation_id],
        "checks": [refresh_id],
        "publication": [str(publication_id)],
    }


def work_told(told: Told, expected: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the last id of each kind: a refresh that was rejected before the published one is told, too."""
    return {kind: told.ids(kind)[-1:] for kind in expected}


@pytest.mark.parametrize("subject", KEYS)
def test_a_key_is_told_with_the_ids_of_every_store(december: World, explain: Any, subject: str) -> None:
    entity, sql = KEYS[subject]
    key = int(str(december.shop(sql)[0][0]))
    [(object_id, batch_id, partition, position, lsn)] = december.warehouse(NEWEST.format(table=entity, key=key))
    history = december.shop(f"select history_id from shop_history.{entity} where id = {key} order by history_id desc")

    told = explain(subject, key)

    assert told.document["answer"].startswith("Published: ")
    assert (told.document["missing"], told.document["notes"]) == ([], [])
    assert len(told.document["chapters"]) == len(history)
    assert told.ids("shop") == [f"history {history[0][0]}"]
    assert told.ids("change") == [f"lsn {lsn}"]
    assert told.ids("object") == [object_id]
    expected = expected_work(december, str(batch_id))
    assert work_told(told, expected) == expected
    assert told.ids("clickhouse") == [f"{partition}@{position}"]
    with SpeedStore(december.systems.clickhouse) as speed:
        [found] = speed.query(
            f"select ingested_at from {entity}_changes where id = {key} and _position = {position}"
        ).to_pylist()
    assert datetime.fromisoformat(told.step("clickhouse")["at"]) == found["ingested_at"].astimezone(UTC)
    assert all(step["at"] for step in told.document["chapters"][0]["steps"])
    publications = {row[0] for row in december.warehouse("select publication_id from MARTS.DAILY_BUSINESS_METRICS")}
    assert set(told.ids("mart row")) <= publications


def test_a_day_is_told_with_its_publication_files_and_values(december: World, explain: Any) -> None:
    [(publication_id, revenue)] = december.warehouse(
        f"select publication_id, total_revenue from MARTS.DAILY_BUSINESS_METRICS where date = '{DAY}'"
    )
    [(refresh_id,)] = december.warehouse(
        f"select refresh_id from MARTS.PUBLICATION where publication_id = '{publication_id}'"
    )
    batches = {
        row[0]
        for row in december.warehouse(
            f"select batch_id from STAGING.STG_ORDERS where order_date = '{DAY}' union"
            " select items.batch_id from STAGING.STG_ORDER_ITEMS as items inner join STAGING.STG_ORDERS as orders"
            f" on orders.id = items.order_id where orders.order_date = '{DAY}'"
        )
    }

    told = explain("daily", DAY)

    assert told.ids("mart row") == [publication_id]
    assert told.step("mart row")["detail"]["total_revenue"] == str(revenue)
    assert refresh_id in told.ids("refresh")
    assert set(told.ids("batch")) == batches
    assert told.document["notes"] == []


def test_an_object_is_told_forwards_by_key_and_by_the_beginning_of_its_id(december: World, explain: Any) -> None:
    [(object_id, key, batch_id, rows)] = ledger(
        december,
        "select object_id, key, batch_id, last_position - first_position + 1 from ledger.object"
        " where entity = 'orders' and state = 'batched' order by key limit 1",
    )

    by_key, by_id = explain("object", key), explain("object", object_id[:10])

    assert by_key.document["chapters"] == by_id.document["chapters"]
    assert by_key.ids("object") == [object_id]
    expected = expected_work(december, batch_id)
    assert work_told(by_key, expected) == expected
    assert by_key.step("clickhouse")["what"] == f"{rows:,} of {rows:,} rows in ClickHouse"
    assert set(by_key.ids("mart row")) <= {
        row[0] for row in december.warehouse("select publication_id from MARTS.DAILY_BUSINESS_METRICS")
    }


def test_a_batch_is_told_with_all_its_objects(december: World, explain: Any) -> None:
    [(batch_id,)] = ledger(
        december, "select batch_id from ledger.batch where entity = 'users' order by batch_id limit 1"
    )
    members = ledger(december, "select object_id from ledger.batch_object where batch_id = %s", batch_id)

    told = explain("batch", batch_id[:8])

    assert sorted(told.ids("object")) == sorted(row[0] for row in members)
    expected = expected_work(december, batch_id)
    assert work_told(told, expected) == expected
