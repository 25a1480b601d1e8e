"""How often a customer buys again, and what a purchase is worth: BG/NBD and Gamma-Gamma, fitted by maximum likelihood.

BG/NBD: Fader, Hardie, Lee, "Counting Your Customers" the Easy Way, Marketing Science 24 (2005), equations 6 and 10.
Gamma-Gamma: Fader, Hardie, The Gamma-Gamma Model of Monetary Value (2013), equations 2 and 5. Pure; times in days.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import gammaln, hyp2f1  # type: ignore[import-untyped]

from slackwater.errors import NotFitted

Numbers = npt.NDArray[np.float64]

MOST_STEPS = 4_000
FARTHEST_LOG = 14.0
"""From where a parameter's search starts, a factor of 1.2 million: farther off the likelihood is lost in rounding."""

_NEARLY_ONE = 1e-6


@dataclass(frozen=True)
class Purchases:
    """What is known of customers who bought at least once; arrays of one shape, one value per customer.

    Attributes:
        repeats: Days with a purchase after the first such day.
        last_age: Days from the first purchase to the last one; 0 without repeats.
        age: Days from the first purchase to the end of what is known.
        mean_value: Mean spend of a day with a purchase, the first included.
    """

    repeats: Numbers
    last_age: Numbers
    age: Numbers
    mean_value: Numbers

    @property
    def count(self) -> int:
        """Return how many customers there are."""
        return len(self.repeats)


@dataclass(frozen=True)
class BuyingModel:
    """BG/NBD: a customer buys at a gamma-distributed rate and may leave for good after any purchase.

    Attributes:
        r: Shape of the rates.
        alpha: Their inverse scale, in days.
        a: First parameter of the beta-distributed chance to leave.
        b: Its second one.
    """

    r: float
    alpha: float
    a: float
    b: float

    def expected_purchases(self, known: Purchases, horizon_days: float) -> Numbers:
        """Return the purchases expected of each customer in so many days to come (equation 10).

        The hypergeometric function has two forms (Euler's transformation); the one is taken that stays finite up to 1.
        """
        x, age, rate = known.repeats, known.age, self.r + known.repeats
        a = self.a if abs(self.a - 1) > _NEARLY_ONE else 1 + _NEARLY_ONE
        last, share = a + self.b + x - 1, horizon_days / (self.alpha + age + horizon_days)
        is_plain = rate < a - 1
        hyper = hyp2f1(np.where(is_plain, rate, last - rate), np.where(is_plain, self.b + x, a - 1), last, share)
        coming = last / (a - 1) * (1 - (1 - share) ** np.where(is_plain, rate, a - 1) * hyper)
        with np.errstate(over="ignore"):  # infinitely sure that the customer has left: nothing is expected
            silence = np.exp(rate * np.log((self.alpha + age) / (self.alpha + known.last_age)))
        gone = np.where(x > 0, self.a / (self.b + np.maximum(x, 1) - 1) * silence, 0.0)
        return np.asarray(coming / (1 + gone))


@dataclass(frozen=True)
class ValueModel:
    """Gamma-Gamma: a purchase's worth varies around the customer's own mean, and the means among customers.

    Attributes:
        p: Shape of the worth of purchases.
        q: Shape of its scale among customers; above 1.
        v: Inverse scale of that, in the shop's currency.
    """

    p: float
    q: float
    v: float

    def expected_value(self, known: Purchases) -> Numbers:
        """Return the worth expected of each customer's next purchase (equation 5)."""
        purchases = known.repeats + 1
        return np.asarray(
            self.p * (self.v + purchases * known.mean_value) / (self.p * purchases + self.q - 1), dtype=np.float64
        )


def fit_buying_model(known: Purchases) -> BuyingModel:
    """Fit BG/NBD (equation 6, in logarithms).

    Raises:
        NotFitted: The search did not end, or nobody bought twice.
    """
    x, last_age, age = known.repeats, known.last_age, known.age
    if not np.any(x > 0):
        raise NotFitted("BG/NBD: nobody bought on two days")

    def likelihood(point: Numbers) -> float:
        r, alpha, a, b = np.exp(point)
        rates = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        leaving = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
        stayed = -(r + x) * np.log(alpha + age)
        left = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + last_age)
        return float(np.sum(rates + leaving + np.where(x > 0, np.logaddexp(stayed, left), stayed)))

    return BuyingModel(*_maximise("BG/NBD", likelihood, start=(1.0, float(np.mean(age)) + 1.0, 1.0, 1.0)))


def fit_value_model(known: Purchases) -> ValueModel:
    """Fit Gamma-Gamma (equation 2, in logarithms) to the customers who ever paid something.

    Raises:
        NotFitted: The search did not end, nobody paid, or the fitted means have no expectation.
    """
    paid = known.mean_value > 0
    if not np.any(paid):
        raise NotFitted("Gamma-Gamma: nobody paid anything")
    purchases, value = known.repeats[paid] + 1, known.mean_value[paid]

    def likelihood(point: Numbers) -> float:
        p, q, v = np.exp(point)
        shapes = gammaln(p * purchases + q) - gammaln(p * purchases) - gammaln(q) + q * np.log(v)
        worth = (p * purchases - 1) * np.log(value) + p * purchases * np.log(purchases)
        return float(np.sum(shapes + worth - (p * purchases + q) * np.log(purchases * value + v)))

    found = ValueModel(*_maximise("Gamma-Gamma", likelihood, start=(2.0, 2.0, float(np.mean(value)))))
    if found.q <= 1:
        raise NotFitted(
            f"Gamma-Gamma: q = {found.q:.3f}, so the mean worth of a purchase is infinite; expected above 1"
        )
    return found


def expected_spend(buying: BuyingModel, value: ValueModel, known: Purchases, horizon_days: float) -> Numbers:
    """Return what each customer is expected to spend in so many days to come (shop's currency)."""
    return buying.expected_purchases(known, horizon_days) * value.expected_value(known)


def _maximise(model: str, likelihood: Callable[[Numbers], float], *, start: tuple[float, ...]) -> list[float]:
    """Search the positive parameters with the greatest likelihood, by simplex on their logarithms."""
    first = np.log(np.asarray(start, dtype=np.float64))
    with np.errstate(all="ignore"):
        found = minimize(
            lambda point: -likelihood(point),
            first,
            method="Nelder-Mead",
            bounds=[(log - FARTHEST_LOG, log + FARTHEST_LOG) for log in first],
            # The likelihood alone says when it is over: where nobody leaves, it is flat along a and b without end.
            options={"maxiter": MOST_STEPS, "xatol": np.inf, "fatol": 1e-5},
        )
    if not found.success or not np.isfinite(found.fun):
        raise NotFitted(f"{model}: no maximum found in {MOST_STEPS} steps: {found.message}")
    return [float(value) for value in np.exp(found.x)]
