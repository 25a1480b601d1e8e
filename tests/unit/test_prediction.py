"""The spend models: the published example, simulated customers whose parameters are known, and the edges."""

import numpy as np
import pytest
from scipy.special import hyp2f1

from slackwater.errors import NotFitted
from slackwater.prediction.models import (
    BuyingModel,
    Purchases,
    ValueModel,
    expected_spend,
    fit_buying_model,
    fit_value_model,
)

PUBLISHED = BuyingModel(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""Fader, Hardie, Lee 2005: the CDNOW customers, in weeks."""

SIMULATED = BuyingModel(r=0.8, alpha=40.0, a=0.9, b=6.0)
WORTH = ValueModel(p=4.0, q=5.0, v=80.0)
YEAR, HORIZON = 365, 90


def _known(*rows: tuple[float, float, float, float]) -> Purchases:
    repeats, last_age, age, value = np.array(rows, dtype=np.float64).T
    return Purchases(repeats, last_age, age, value)


@pytest.fixture(scope="module")
def simulated():
    """What is known of 3,000 customers after a year, and what each spent in the 90 days after it."""
    random = np.random.default_rng(20101201)
    rows, spent = [], []
    for _ in range(3_000):
        rate, leaves = random.gamma(SIMULATED.r) / SIMULATED.alpha, random.beta(SIMULATED.a, SIMULATED.b)
        scale = random.gamma(WORTH.q) / WORTH.v
        begin = random.uniform(0, 300)
        times, at = [begin], begin
        while random.uniform() >= leaves or len(times) == 1:  # nobody leaves before the second purchase
            at += random.exponential(1 / rate)
            if at > YEAR + HORIZON:
                break
            times.append(at)
        worth = random.gamma(WORTH.p, 1 / scale, size=len(times))
        before = np.array(times) <= YEAR
        rows.append((before.sum() - 1, np.max(np.array(times)[before]) - begin, YEAR - begin, worth[before].mean()))
        spent.append(worth[~before].sum())
    return _known(*rows), np.array(spent)


def test_expected_purchases_are_those_of_the_published_example():
    expected = PUBLISHED.expected_purchases(_known((2, 30.43, 38.86, 1)), 39)
    assert expected == pytest.approx([1.226], abs=0.0005)


def test_the_worth_of_a_purchase_lies_between_the_customer_s_mean_and_that_of_all():
    model = ValueModel(p=6.25, q=3.74, v=15.44)
    # By hand: 6.25 * (15.44 + 3 * 50) / (6.25 * 3 + 3.74 - 1)
    assert model.expected_value(_known((2, 1, 1, 50))) == pytest.approx([48.1154], abs=0.0001)


def test_a_fit_finds_how_simulated_customers_go_on(simulated):
    known, spent = simulated
    buying, value = fit_buying_model(known), fit_value_model(known)
    expected = expected_spend(buying, value, known, HORIZON)
    assert expected.sum() == pytest.approx(spent.sum(), rel=0.10)
    means = value.p * value.v / (value.q - 1)
    assert means == pytest.approx(WORTH.p * WORTH.v / (WORTH.q - 1), rel=0.05)
    naive = known.mean_value * (known.repeats + 1) / (known.age + 1) * HORIZON
    assert np.abs(expected - spent).mean() < np.abs(naive - spent).mean()


def test_customers_of_whom_nobody_leaves_are_fitted_though_the_likelihood_is_flat_without_end():
    random, customers = np.random.default_rng(14), 3_000
    age = random.integers(1, 283, customers).astype(np.float64)
    repeats = random.poisson(random.gamma(0.7, 1 / 66, customers) * age).astype(np.float64)
    last = np.where(repeats > 0, np.floor(age * random.random(customers) ** (1 / np.maximum(repeats, 1))), 0.0)
    known = Purchases(repeats, last, age, np.full(customers, 10.0))
    expected = fit_buying_model(known).expected_purchases(known, HORIZON)
    assert expected.sum() == pytest.approx(0.7 / 66 * customers * HORIZON, rel=0.10)


def test_who_bought_often_and_fell_silent_is_expected_less_than_who_still_buys():
    silent, lively = SIMULATED.expected_purchases(_known((40, 60, 360, 1), (40, 355, 360, 1)), HORIZON)
    assert silent < lively / 100


def test_many_purchases_and_extreme_parameters_stay_finite():
    known = _known((0, 0, 0, 1), (300, 1, 373, 1), (300, 373, 373, 1), (1, 1, 1, 1))
    for a, b in ((1e-11, 87.0), (1.0, 87.0), (3.0, 87.0), (109_251.9, 980_178.9)):
        for alpha in (66.0, 1e-3):
            expected = BuyingModel(r=0.7, alpha=alpha, a=a, b=b).expected_purchases(known, HORIZON)
            assert np.all(np.isfinite(expected)), (a, b, alpha, expected)
            assert np.all(expected >= 0), (a, b, alpha, expected)


@pytest.mark.parametrize("a", [0.5, 2.5, 7.5])
def test_either_form_of_the_formula_gives_what_equation_10_says(a):
    r, alpha, b, x, last_age, age = 0.8, 40.0, 6.0, 5, 50, 60
    tail = hyp2f1(r + x, b + x, a + b + x - 1, HORIZON / (alpha + age + HORIZON))
    coming = (a + b + x - 1) / (a - 1) * (1 - ((alpha + age) / (alpha + age + HORIZON)) ** (r + x) * tail)
    by_the_paper = coming / (1 + a / (b + x - 1) * ((alpha + age) / (alpha + last_age)) ** (r + x))
    found = BuyingModel(r, alpha, a, b).expected_purchases(_known((x, last_age, age, 1)), HORIZON)
    assert found == pytest.approx([by_the_paper], rel=1e-9)


def test_what_cannot_be_fitted_says_why():
    once = _known(*[(0, 0, 90, 10)] * 5)
    with pytest.raises(NotFitted, match="nobody bought on two days"):
        fit_buying_model(once)
    with pytest.raises(NotFitted, match="nobody paid anything"):
        fit_value_model(_known(*[(1, 2, 90, 0)] * 5))
