"""From published order lines to predictions, and from these to marts: as DuckDB computes them, or the baseline."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from independent_marts import Row, comparable, compute_marts
from random_shop import RandomShop, facts_of
from refreshes import Refreshes
from shop_marts import spend_predictions

from slackwater.errors import NotFitted
from slackwater.naming import ENTITIES
from slackwater.prediction.spend import LEAST_CUSTOMERS, predict_spend
from slackwater.warehouse.dbt_cli import project_number

pytestmark = pytest.mark.integration

CUSTOMERS, DAYS = LEAST_CUSTOMERS + 60, 200
MARTS = ("ltv_backtest", "customer_analytics")


class Predicted:
    """A shop in a warehouse, refreshed and published after every batch."""

    def __init__(self, refreshes: Refreshes) -> None:
        self._refreshes, self.warehouse = refreshes, refreshes.path.warehouse
        self.random = Random(5)  # noqa: S311 - a repeatable shop, no secret
        self.shop = RandomShop(self.random)
        self._loaded = 0

    def sell(self, user: int, at: datetime) -> None:
        """Place an order that counts."""
        self.shop.now = at
        self.shop.write("orders", self.shop.order(user=user), status="delivered")

    def refresh(self) -> dict[str, tuple[Counter[Row], Counter[Row]]]:
        """Load what is new, build, publish; per mart what was built and what DuckDB makes of the shop."""
        changes = self.shop.changes[self._loaded :]
        self._loaded = len(self.shop.changes)
        for entity in ENTITIES:
            rows = [change for name, change in changes if name == entity]
            if rows:
                self._refreshes.path.load(entity, *rows)
        refresh, lease = self._refreshes.path.start()
        self._refreshes.build(refresh)
        self._refreshes.publish(refresh, lease)
        assert refresh.as_of is not None
        facts = facts_of(self.shop.changes, refresh.as_of)
        facts = replace(facts, predictions=spend_predictions(self.warehouse.query, refresh.as_of))
        expected = compute_marts(facts)
        return {name: (self._built(name), expected[name]) for name in MARTS}

    def _built(self, mart: str) -> Counter[Row]:
        return Counter(map(comparable, self.warehouse.query(f"select * from CANDIDATE.{mart.upper()}")))

    def predict(self):
        return predict_spend(self.warehouse, horizon_days=project_number("ltv_horizon_days"))


@pytest.fixture(scope="module")
def predicted(module_refreshes) -> Predicted:
    return Predicted(module_refreshes)


def _live(world: Predicted) -> None:
    """Let customers buy at rates of their own; a third of them stops in mid-time."""
    shop, random = world.shop, world.random
    begin = shop.now
    for number in range(8):
        shop.insert("products", name=f"P{number}", category="toys", price=None, stock_quantity=5)
    sales = []
    for number in range(CUSTOMERS):
        user = shop.insert("users", email=f"{number}@example.com", first_name="N", last_name=str(number))
        rate, at = random.gammavariate(0.8, 1 / 30), random.uniform(0, 60)
        until = random.uniform(60, 120) if number % 3 == 0 else DAYS
        while at < until:
            sales.append((begin + timedelta(days=at, minutes=number), user))
            at += random.expovariate(rate)
    for at, user in sorted(sales):
        world.sell(user, at)
    world.sell(user, begin + timedelta(days=DAYS))


def test_predictions_come_into_the_marts_where_they_win_and_leave_them_when_they_are_old(predicted):
    with pytest.raises(NotFitted, match="nothing is published yet"):
        predicted.predict()

    _live(predicted)
    for name, (built, expected) in predicted.refresh().items():
        assert built == expected, name
    assert predicted.warehouse.query("select distinct METHOD from MARTS.LTV_BACKTEST") == [("trailing_rate",)]

    fit = predicted.predict()
    assert fit is not None
    assert LEAST_CUSTOMERS <= len(fit.held_out.spend) <= len(fit.newest.spend) <= CUSTOMERS
    assert predicted.predict() is None, "one fit per publication"
    stored = predicted.warehouse.query("select count(*), count(held_out_spend) from OPS.LTV_PREDICTION")
    assert stored == [(len(fit.newest.spend), len(fit.held_out.spend))]

    newest = predicted.shop.now
    buyer = max(fit.newest.spend, key=lambda key: fit.newest.spend[key])
    predicted.sell(buyer, newest + timedelta(days=1))
    for name, (built, expected) in predicted.refresh().items():
        assert built == expected, name
    won = predicted.warehouse.query(
        "select IS_BASELINE, count(*) from MARTS.LTV_BACKTEST where IS_PUBLISHED group by 1"
    )
    assert dict(won).keys() == {True, False}, "both methods win somewhere, or this shop tests one only"
    methods = predicted.warehouse.query("select distinct LTV_METHOD from MARTS.CUSTOMER_ANALYTICS order by 1")
    assert methods == [("bg_nbd",), ("trailing_rate",)]

    predicted.sell(buyer, newest + timedelta(days=project_number("ltv_fit_valid_days") + 1))
    for name, (built, expected) in predicted.refresh().items():
        assert built == expected, name
    assert predicted.warehouse.query("select distinct METHOD from MARTS.LTV_BACKTEST") == [("trailing_rate",)]
    assert predicted.warehouse.query("select distinct LTV_METHOD from MARTS.CUSTOMER_ANALYTICS") == [("trailing_rate",)]
