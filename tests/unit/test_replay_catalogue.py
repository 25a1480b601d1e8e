"""Products: names, categories, prices and stock."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from slackwater.replay.catalogue import load_categories
from slackwater.replay.mapping import plan_year
from slackwater.replay.rules import MappingRules
from slackwater.testing.changes import rows_of
from slackwater.testing.invoices import Line, invoice_lines

SALE = Line()
STOCK = MappingRules(opening_stock_units=(100, 100))


def products(*lines: Line) -> list[dict[str, object]]:
    return rows_of(plan_year(invoice_lines(*lines), rules=STOCK), "products")


def test_a_product_appears_at_midnight_before_its_first_order() -> None:
    first, *_ = products(SALE)
    assert (first["__op"], first["created_at"]) == ("c", datetime.fromisoformat("2010-12-01"))
    assert first["__source_ts_ms"] == datetime.fromisoformat("2010-12-01")


def test_a_product_changes_at_most_once_a_day() -> None:
    lines = [
        replace(SALE, invoice=str(500000 + n), at=f"2010-12-0{1 + n // 4} 09:0{n % 4}", price=f"{n}.50")
        for n in range(12)
    ]
    times = [row["updated_at"] for row in products(*lines)]
    assert len(set(times)) == len(times) == 4
    assert {(at.hour, at.minute) for at in times} == {(0, 0)}


def test_the_price_is_the_days_most_frequent_and_of_equals_the_higher() -> None:
    day_one = [replace(SALE, price=price) for price in ("1.00", "1.00", "5.00")]
    day_two = [replace(SALE, invoice="500002", at="2010-12-02 09:00", price=price) for price in ("1.00", "2.00")]
    prices = [row["price"] for row in products(*day_one, *day_two)]
    assert prices[:2] == [Decimal("1.00"), Decimal("2.00")]


def test_a_free_or_a_returned_line_does_not_set_the_price() -> None:
    free = replace(SALE, invoice="500002", at="2010-12-02 09:00", price="0")
    back = replace(SALE, invoice="C500003", at="2010-12-02 09:30", price="9.00", quantity=-1)
    assert {row["price"] for row in products(SALE, free, back)} == {Decimal("1.00")}


def test_stock_is_yesterdays_less_sold_plus_returned_and_adjusted() -> None:
    lines = (
        replace(SALE, quantity=30),
        replace(SALE, invoice="C500002", quantity=-5, at="2010-12-01 10:00"),
        replace(SALE, invoice="500003", quantity=-7, price="0", customer=None, at="2010-12-01 11:00"),
        replace(SALE, invoice="500004", quantity=2, price="0", customer=None, at="2010-12-02 11:00"),
    )
    assert [row["stock_quantity"] for row in products(*lines)] == [100, 68, 70]


def test_stock_below_zero_is_refilled_to_its_opening_level() -> None:
    assert [row["stock_quantity"] for row in products(replace(SALE, quantity=101))] == [100]
    assert [row["stock_quantity"] for row in products(replace(SALE, quantity=100))] == [100, 0]


def test_the_name_is_the_first_description_of_a_sale_and_the_description_the_longest() -> None:
    lines = (
        replace(SALE, description="damaged", quantity=-1, price="0", customer=None),
        replace(SALE, invoice="500002", description=None),
        replace(SALE, invoice="500003", description="RED MUG"),
        replace(SALE, invoice="500004", description="RED MUG WITH DOTS"),
        replace(SALE, invoice="500005", description="MUG"),
    )
    first, *_ = products(*lines)
    assert (first["name"], first["description"]) == ("RED MUG", "RED MUG WITH DOTS")


def test_a_product_without_any_text_is_called_by_its_code() -> None:
    first, *_ = products(replace(SALE, description=None))
    assert (first["name"], first["category"]) == ("20001", "other")


@pytest.mark.parametrize("code", ["POST", "DOT", "M", "D", "C2", "S", "AMAZONFEE", "BANK CHARGES", "CRUK"])
def test_postage_manual_and_fee_codes_are_services_without_stock(code: str) -> None:
    (only,) = products(replace(SALE, code=code.lower(), description="RED MUG"))
    assert (only["category"], only["stock_quantity"]) == ("service", 0)


def test_a_returned_service_brings_no_stock() -> None:
    back = replace(SALE, invoice="C500002", code="POST", quantity=-5, at="2010-12-01 10:00")
    assert [row["stock_quantity"] for row in products(replace(SALE, code="POST"), back)] == [0]


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("RED MUG", "kitchen"),
        ("CHRISTMAS MUG", "christmas"),
        ("WHITE HANGING HEART T-LIGHT HOLDER", "lighting"),
        ("JUMBO BAG RED RETROSPOT", "bags"),
        ("PIGEON", "other"),
        ("MUGS4U", "kitchen"),
        ("SMUGGLER", "other"),
    ],
)
def test_the_first_category_with_a_word_of_the_name_wins(name: str, category: str) -> None:
    assert load_categories().of("20001", name) == category
