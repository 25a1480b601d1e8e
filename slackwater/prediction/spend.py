"""Predict what every customer will spend, from the published order lines, and keep it where the next refresh finds it.

Twice per fit: from all that is known, for the days to come; and held out, from what was known one horizon earlier, so
that the back-test can compare it with what was spent since.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np

from slackwater.clients.snowflake import Scalar, Warehouse
from slackwater.errors import NotFitted
from slackwater.naming import MART_SET
from slackwater.prediction.models import (
    BuyingModel,
    Purchases,
    ValueModel,
    expected_spend,
    fit_buying_model,
    fit_value_model,
)

LEAST_CUSTOMERS = 100
"""With fewer buyers at the cutoff nothing is fitted: seven parameters would follow single persons."""

FITS_KEPT = 3
ROWS_PER_INSERT = 500
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Prediction:
    """What was expected of every customer who had bought by a date.

    Attributes:
        known_until: Last UTC date the models knew.
        buying: How often customers buy.
        value: What a purchase is worth.
        spend: Expected in the days after `known_until`, per customer (shop's currency).
    """

    known_until: date
    buying: BuyingModel
    value: ValueModel
    spend: Mapping[int, Decimal]


@dataclass(frozen=True)
class SpendFit:
    """One fit.

    Attributes:
        fit_id: Follows from the publication and the horizon: the same input has one fit.
        publication_id: What it was fitted to.
        horizon_days: Days predicted.
        newest: From all that is known.
        held_out: From what was known one horizon earlier.
    """

    fit_id: str
    publication_id: str
    horizon_days: int
    newest: Prediction
    held_out: Prediction

    @property
    def told(self) -> str:
        """Return the fit as a sentence for people."""
        return (
            f"{len(self.newest.spend):,} customers as of {self.newest.known_until} are expected to spend"
            f" {sum(self.newest.spend.values()):,.2f} in {self.horizon_days} days; held out after"
            f" {self.held_out.known_until}: {len(self.held_out.spend):,} customers"
        )

    @property
    def parameters(self) -> str:
        """Return the parameters of the four models as JSON."""
        both = {"newest": self.newest, "held_out": self.held_out}
        return json.dumps({name: asdict(one.buying) | asdict(one.value) for name, one in both.items()})


def predict_spend(warehouse: Warehouse, *, horizon_days: int) -> SpendFit | None:
    """Fit the models to the newest publication and keep their predictions; the next refresh publishes them.

    Args:
        warehouse: Session that reads the marts and writes `OPS.LTV_FIT` and `OPS.LTV_PREDICTION`.
        horizon_days: Days predicted.

    Returns:
        The fit; None when this publication has one already.

    Raises:
        NotFitted: Nothing is published, customers or days are too few, or a likelihood has no maximum. What was
            predicted before stays.
    """
    published = warehouse.query(
        "select publication_id, as_of from MARTS.PUBLICATION where mart_set = ? order by publication_seq desc limit 1",
        (MART_SET,),
    )
    if not published or not isinstance(as_of := published[0][1], datetime):
        raise NotFitted("nothing is published yet")
    publication_id = str(published[0][0])
    fit_id = f"{publication_id}+{horizon_days}d"
    if warehouse.query("select 1 from OPS.LTV_FIT where fit_id = ?", (fit_id,)):
        return None
    cutoff = as_of.date() - timedelta(days=horizon_days)
    held_out = _predict(warehouse, cutoff, horizon_days)
    fit = SpendFit(fit_id, publication_id, horizon_days, _predict(warehouse, as_of.date(), horizon_days), held_out)
    _keep(warehouse, fit)
    return fit


def _predict(warehouse: Warehouse, known_until: date, horizon_days: int) -> Prediction:
    ids, known = _read_purchases(warehouse, known_until)
    if known.count < LEAST_CUSTOMERS:
        raise NotFitted(f"{known.count} customers had bought by {known_until}, expected at least {LEAST_CUSTOMERS}")
    if (oldest := known.age.max()) < horizon_days:
        raise NotFitted(f"the first purchase is {oldest:.0f} days before {known_until}, expected {horizon_days}")
    buying, value = fit_buying_model(known), fit_value_model(known)
    amounts = expected_spend(buying, value, known, horizon_days).tolist()
    spend = {key: Decimal(repr(amount)).quantize(CENT) for key, amount in zip(ids, amounts, strict=True)}
    return Prediction(known_until, buying, value, spend)


def _read_purchases(warehouse: Warehouse, known_until: date) -> tuple[list[int], Purchases]:
    """Return the customers who had bought by a date, and what was known of them then."""
    rows = warehouse.query(
        "select customer_id, count(distinct order_date), datediff('day', min(order_date), max(order_date)),"
        " datediff('day', min(order_date), cast(? as date)), sum(line_total)"
        " from MARTS.FCT_ORDER_LINES where is_counted and customer_id is not null and order_date <= cast(? as date)"
        " group by customer_id order by customer_id",
        (known_until, known_until),
    )
    ids = [int(str(row[0])) for row in rows]
    days, last_age, age, spent = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 4).T
    return ids, Purchases(repeats=days - 1, last_age=last_age, age=age, mean_value=spent / days)


def _keep(warehouse: Warehouse, fit: SpendFit) -> None:
    """Write a fit with its predictions in one transaction; those of old fits go."""
    known_until, cutoff = fit.newest.known_until, fit.held_out.known_until
    with warehouse.transaction():
        for table in ("OPS.LTV_FIT", "OPS.LTV_PREDICTION"):  # takes the lock: of two fits at once the later one stays
            warehouse.execute(f"delete from {table} where fit_id = ?", (fit.fit_id,))
        warehouse.execute(
            "insert into OPS.LTV_FIT (fit_id, publication_id, known_until, cutoff_date, horizon_days, customers,"
            " parameters, fitted_at) select ?, ?, cast(? as date), cast(? as date), ?, ?, ?, sysdate()",
            (fit.fit_id, fit.publication_id, known_until, cutoff, fit.horizon_days, len(fit.newest.spend),
             fit.parameters),
        )  # fmt: skip
        for chunk in _chunks(fit):
            values = ", ".join(["(?, ?, ?)"] * len(chunk))
            warehouse.execute(
                "insert into OPS.LTV_PREDICTION (fit_id, known_until, cutoff_date, horizon_days, customer_id,"
                " expected_spend, held_out_spend, fitted_at)"
                " select fit.fit_id, fit.known_until, fit.cutoff_date, fit.horizon_days, one.customer_id,"
                " cast(one.expected_spend as number(18,2)), cast(one.held_out_spend as number(18,2)), fit.fitted_at"
                " from OPS.LTV_FIT as fit"
                f" cross join (values {values}) as one (customer_id, expected_spend, held_out_spend)"
                " where fit.fit_id = ?",
                [*(value for row in chunk for value in row), fit.fit_id],
            )
        warehouse.execute(
            "delete from OPS.LTV_PREDICTION where fit_id not in"
            f" (select fit_id from OPS.LTV_FIT order by fitted_at desc limit {FITS_KEPT})"
        )


def _chunks(fit: SpendFit) -> Iterator[list[tuple[Scalar, ...]]]:
    """Give customer and both predictions in pieces: who had not bought by the cutoff has no held-out one."""
    held_out = fit.held_out.spend
    rows: list[tuple[Scalar, ...]] = [
        (key, str(spend), str(held_out[key]) if key in held_out else None) for key, spend in fit.newest.spend.items()
    ]
    for first in range(0, len(rows), ROWS_PER_INSERT):
        yield rows[first : first + ROWS_PER_INSERT]
