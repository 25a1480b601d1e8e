"""Every model over random histories in random batches: built in parts it equals a full build, and every mart equals
what DuckDB makes of the shop's rows by queries of its own. `MARTS_SEED=<number>` plays another year.

The named cases (a late first order, a moved line, a tier boundary ...) are the last batch but one; the last is loaded
while the refresh before it is being built.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest
from independent_marts import Row, comparable, compute_marts, mart_names
from random_shop import RandomShop, deliveries, facts_of
from refreshes import Refreshes

from slackwater.clients.snowflake import quote_identifier
from slackwater.naming import ENTITIES
from slackwater.testing.warehouse_path import Change
from slackwater.warehouse.marts import load_marts

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("MARTS_SEED", "20101201"))
STEPS = 700
RANDOM_BATCHES = 2

Tables = dict[str, Counter[Row]]
Delivery = Sequence[tuple[str, Change]]


@dataclass(frozen=True)
class Round:
    """One refresh: what it built in parts, what it published, what a full build makes of it, and what DuckDB says."""

    incremental: Tables
    published: Tables
    full: Tables
    expected: Tables


@dataclass
class Played:
    """A warehouse that was refreshed after every batch."""

    refreshes: Refreshes
    delivered: list[tuple[str, Change]] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    whole_comparisons: list[object] = field(default_factory=list)

    def load(self, batch: Delivery) -> None:
        for entity in ENTITIES:
            changes = [change for name, change in batch if name == entity]
            if changes:
                self.refreshes.path.load(entity, *changes)

    def refresh(self, batch: Delivery, *, meanwhile: Delivery = ()) -> None:
        """Load a batch, build in parts, publish, build in full; `meanwhile` is loaded after the set was frozen."""
        self.load(batch)
        self.delivered += batch
        refresh, lease = self.refreshes.path.start()
        self.load(meanwhile)
        assert refresh.as_of is not None
        self.refreshes.build(refresh)
        incremental = self.tables()
        self.refreshes.publish(refresh, lease)
        published = self.published()
        if self.rounds:
            self.refreshes.build(refresh, is_full=True)
        expected = compute_marts(facts_of(self.delivered, refresh.as_of))
        self.rounds.append(Round(incremental, published, self.tables(), expected))
        warehouse = self.refreshes.path.warehouse
        self.whole_comparisons.append(sorted(warehouse.query("select * from OPS.WHOLE_MARTS where event = 'compared'")))
        # The full build is the test's; a publication that knew of it would compare whole marts.
        warehouse.execute("delete from OPS.WHOLE_MARTS where event = 'built'")
        self.delivered += meanwhile

    def published(self) -> Tables:
        """Read the marts under the names of their candidates, without the publication of a row."""
        read = self.refreshes.path.warehouse.query
        return {
            f"CANDIDATE.{mart.name.upper()}": Counter(
                map(comparable, read(f"select {', '.join(mart.column_names)} from {mart.published_table}"))
            )
            for mart in load_marts()
        }

    def tables(self) -> Tables:
        read = self.refreshes.path.warehouse.query
        names = read(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema in ('STAGING', 'CANDIDATE')"
        )
        return {
            str(name): Counter(map(comparable, read(f"select * from {quote_identifier(str(name))}")))
            for (name,) in names
        }


def _named_cases(shop: RandomShop) -> None:
    """Every case the models are most likely to get wrong, on the shop as it is."""
    orders, lines = shop.rows["orders"], shop.rows["order_items"]
    counted = [key for key, row in orders.items() if row["status"] in {"processing", "shipped", "delivered"}]
    eldest = min(counted, key=lambda key: str(orders[key]["created_at"]))
    shop.write("orders", eldest, status="cancelled")
    buyer = next(orders[key]["user_id"] for key in counted if orders[key]["user_id"] is not None and key != eldest)
    late = shop.order(user=buyer, at=shop.now - timedelta(days=310))  # type: ignore[arg-type]
    shop.write("orders", late, status="delivered")
    shop.delete("order_items", next(key for key, row in lines.items() if row["order_id"] in counted))
    days = Counter(str(row["created_at"])[:10] for row in orders.values())
    shop.delete(
        "orders", next(key for key in counted if key != eldest and days[str(orders[key]["created_at"])[:10]] == 1)
    )
    moved = next(key for key, row in lines.items() if row["order_id"] in orders and row["order_id"] != late)
    shop.write("order_items", moved, order_id=late)
    held = next(key for key in counted if key in orders and orders[key]["user_id"] not in {None, buyer})
    shop.write("orders", held, user_id=buyer)
    product = lines[moved]["product_id"]
    shop.write("products", int(str(product)), at=shop.now - timedelta(days=200), price=Decimal("1.23"))
    shop.write("products", int(str(product)), name="of another name")
    rich = shop.order(user=shop.some("users"), units_max=10_000)
    shop.write("orders", rich, status="processing", total_amount=Decimal("99999.99"))


@pytest.fixture(scope="module")
def played(module_refreshes) -> Played:
    random = Random(SEED)  # noqa: S311 - a repeatable year, not a secret
    shop = RandomShop(random)
    shop.live(STEPS)
    batches = deliveries(shop.changes, RANDOM_BATCHES, random=random)
    lived = len(shop.changes)
    shop.now += timedelta(hours=1)
    _named_cases(shop)
    named, lived = shop.changes[lived:], len(shop.changes)
    shop.live(20)
    year = Played(module_refreshes)
    for batch in batches:
        year.refresh(batch)
    year.refresh(named, meanwhile=shop.changes[lived:])
    year.refresh([])
    return year


def _differences(rounds: Sequence[Round], left: str, right: str, table: str) -> list[tuple[int, list[Row], list[Row]]]:
    """Per round that differs: its number, and some of the rows only one side has."""
    found = []
    for number, played_round in enumerate(rounds):
        one, other = getattr(played_round, left)[table], getattr(played_round, right)[table]
        if one != other:
            found.append((number, sorted(one - other, key=repr)[:3], sorted(other - one, key=repr)[:3]))
    return found


def test_every_table_built_in_parts_equals_the_full_build(played):
    tables = set(played.rounds[0].incremental)
    assert len(tables) >= len(ENTITIES) * 2 + len(load_marts())
    for table in sorted(tables):
        assert _differences(played.rounds, "incremental", "full", table) == [], table


def test_what_is_published_of_touched_rows_is_the_whole_candidate(played):
    for mart in load_marts():
        table = f"CANDIDATE.{mart.name.upper()}"
        assert _differences(played.rounds, "published", "incremental", table) == [], table
    first, *others = played.whole_comparisons
    assert first
    assert all(other == first for other in others), "a later publication compared whole marts"


def test_there_is_an_independent_query_for_every_mart():
    assert mart_names() == sorted(mart.name for mart in load_marts())


@pytest.mark.parametrize("mart", mart_names())
def test_a_mart_equals_what_duckdb_makes_of_the_shop_s_rows(played, mart):
    assert any(played.rounds[-1].expected[mart].values()), f"the year gives {mart} no rows"
    rounds = [
        Round({}, {}, {mart: one.full[f"CANDIDATE.{mart.upper()}"]}, {mart: one.expected[mart]})
        for one in played.rounds
    ]
    assert _differences(rounds, "full", "expected", mart) == []


def test_every_mart_changes_from_round_to_round(played):
    for mart in mart_names():
        assert all(one.expected[mart] != other.expected[mart] for one, other in pairwise(played.rounds)), mart


def test_what_is_published_is_the_candidate(played):
    for mart in load_marts():
        columns = ", ".join(quote_identifier(name) for name in mart.column_names)
        published = played.refreshes.path.warehouse.query(f"select {columns} from {mart.published_table}")
        assert Counter(map(comparable, published)) == played.rounds[-1].full[f"CANDIDATE.{mart.name.upper()}"], (
            mart.name
        )
