"""What a line is on its own, and how a price is rounded."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.replay.rules import LineClass, MappingRules, classify_line, half_even_cents, item_cents


@pytest.mark.parametrize(
    ("invoice", "quantity", "price_milli", "customer", "expected"),
    [
        pytest.param("536365", 6, 4_250, 17850, LineClass.ITEM_OF_CUSTOMER, id="sale"),
        pytest.param("536365", 6, 4_250, None, LineClass.ITEM_OF_GUEST, id="sale to a guest"),
        pytest.param("536365", 1, 0, 17850, LineClass.ITEM_FREE, id="free to a customer"),
        pytest.param("550193", 1, 1, 13952, LineClass.ITEM_ROUNDED, id="three decimals"),
        pytest.param("550193", 1, 1, None, LineClass.ITEM_ROUNDED, id="three decimals, guest"),
        pytest.param("536414", 56, 0, None, LineClass.STOCK_FREE, id="free without customer"),
        pytest.param("536589", -10, 0, None, LineClass.STOCK_TAKEN, id="negative without customer"),
        pytest.param("536589", -10, 1_000, None, LineClass.STOCK_TAKEN, id="negative with a price, no customer"),
        pytest.param("536589", -10, 1_000, 17850, LineClass.REJECTED_MALFORMED, id="negative sale of a customer"),
        pytest.param("536589", 0, 1_000, 17850, LineClass.REJECTED_MALFORMED, id="no quantity"),
        pytest.param("536589", 1, -1_000, None, LineClass.REJECTED_MALFORMED, id="negative price"),
        pytest.param("X36589", 1, 1_000, 17850, LineClass.REJECTED_MALFORMED, id="unknown invoice letter"),
        pytest.param("C536379", -1, 27_500, 14527, None, id="return to be matched"),
        pytest.param("C536379", -1, 27_500, None, LineClass.RETURN_WITHOUT_CUSTOMER, id="return without customer"),
        pytest.param("C536379", 1, 27_500, 14527, LineClass.REJECTED_MALFORMED, id="return of nothing"),
        pytest.param("A563185", 1, 11_062_060, None, LineClass.REJECTED_BAD_DEBT, id="bad debt"),
        pytest.param("A563186", 1, -11_062_060, None, LineClass.REJECTED_BAD_DEBT, id="bad debt, negative"),
    ],
)
def test_a_line_is_what_its_invoice_quantity_price_and_customer_say(
    invoice: str, quantity: int, price_milli: int, customer: int | None, expected: LineClass | None
) -> None:
    assert classify_line(invoice, quantity, price_milli=price_milli, customer=customer) == expected


@given(st.integers(min_value=0, max_value=10**8))
def test_prices_are_rounded_half_even_to_pence(price_milli: int) -> None:
    exact = Decimal(price_milli).scaleb(-3)
    assert Decimal(half_even_cents(price_milli)).scaleb(-2) == exact.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


@given(st.integers(min_value=0, max_value=10**8))
def test_the_other_rounding_rounds_up(price_milli: int) -> None:
    cents = item_cents(price_milli, MappingRules(is_rounded_half_even=False))
    assert Decimal(cents).scaleb(-2) == Decimal(price_milli).scaleb(-3).quantize(Decimal("0.01"), ROUND_CEILING)
