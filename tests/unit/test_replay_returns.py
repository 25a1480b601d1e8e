"""What a return takes back: matching, its classes, and the value it leaves over."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from slackwater.replay.changes import YearPlan
from slackwater.replay.mapping import plan_year
from slackwater.replay.rules import LineClass, MappingRules, Residual
from slackwater.replay.tally import milli
from slackwater.testing.changes import end_state, rows_of
from slackwater.testing.invoices import Line, invoice_lines

SALE = Line(quantity=10, price="2.00")
OTHER = replace(SALE, code="20002", quantity=1)
BACK = Line(invoice="C500009", quantity=-4, price="2.00", at="2010-12-03 12:00")
AT = datetime.fromisoformat("2010-12-03T12:00")


def played(*lines: Line, rules: MappingRules | None = None) -> YearPlan:
    return plan_year(invoice_lines(*lines), rules=rules or MappingRules())


def return_classes(plan: YearPlan) -> list[tuple[LineClass, Decimal, Decimal]]:
    totals = plan.tally.class_totals(plan.start_us, plan.end_us)
    return [
        (name, total.value, total.value_with_effect)
        for name, total in totals.items()
        if total.lines and name.startswith("return_")
    ]


def residuals(plan: YearPlan) -> dict[Residual, Decimal]:
    return {name: v for name, v in plan.tally.residual_totals(plan.start_us, plan.end_us).items() if v}


def adds_up(plan: YearPlan) -> bool:
    held = sum((i["quantity"] * i["unit_price"] for i in end_state(plan, "order_items").values()), Decimal(0))
    return held + sum(residuals(plan).values()) == milli(plan.input_milli)


def changes_at(plan: YearPlan, entity: str, at: datetime) -> list[dict[str, object]]:
    return [row for row in rows_of(plan, entity) if row["__source_ts_ms"] == at]


def test_a_return_of_some_units_reduces_the_line_and_the_orders_total() -> None:
    plan = played(SALE, OTHER, BACK)
    (item,) = changes_at(plan, "order_items", AT)
    assert (item["__op"], item["id"], item["quantity"], item["unit_price"]) == ("u", 1, 6, Decimal("2.00"))
    (order,) = changes_at(plan, "orders", AT)
    assert (order["__op"], order["status"], order["total_amount"]) == ("u", "shipped", Decimal("14.00"))
    assert return_classes(plan) == [(LineClass.RETURN_REDUCED_LINE, Decimal("-8.000"), Decimal("-8.000"))]
    assert residuals(plan) == {}


def test_a_return_of_all_units_deletes_the_line_with_nothing_but_its_key() -> None:
    plan = played(SALE, OTHER, replace(BACK, quantity=-10))
    (item,) = changes_at(plan, "order_items", AT)
    assert (item["__op"], item["__deleted"], item["id"]) == ("d", "true", 1)
    assert [item[name] for name in ("order_id", "product_id", "quantity", "unit_price", "created_at")] == [None] * 5
    (order,) = changes_at(plan, "orders", AT)
    assert order["total_amount"] == Decimal("2.00")
    assert return_classes(plan)[0][0] == LineClass.RETURN_DELETED_LINE
    assert adds_up(plan)


def test_a_return_of_everything_cancels_the_order_which_keeps_its_lines() -> None:
    plan = played(SALE, replace(BACK, quantity=-10))
    assert changes_at(plan, "order_items", AT) == []
    (order,) = changes_at(plan, "orders", AT)
    assert (order["status"], order["total_amount"]) == ("cancelled", Decimal("20.00"))
    assert return_classes(plan)[0][0] == LineClass.RETURN_CANCELLED_ORDER
    assert residuals(plan) == {Residual.CANCELLED_LINES: Decimal("-20.000")}
    assert adds_up(plan)


def test_a_cancelled_order_takes_no_more_status_steps() -> None:
    plan = played(SALE, replace(BACK, quantity=-10, at="2010-12-01 12:00"))
    assert [row["status"] for row in rows_of(plan, "orders")] == ["pending", "cancelled"]


def test_an_order_whose_last_units_come_back_later_is_cancelled_then() -> None:
    rest = replace(BACK, invoice="C500010", code="20002", quantity=-1, at="2010-12-04 12:00")
    plan = played(SALE, OTHER, replace(BACK, quantity=-10), rest)
    assert end_state(plan, "orders")[500001]["status"] == "cancelled"
    assert list(end_state(plan, "order_items")) == [2]
    assert residuals(plan) == {Residual.CANCELLED_LINES: Decimal("-2.000")}
    assert adds_up(plan)


def test_a_return_of_more_than_was_sold_is_one_class_with_two_amounts() -> None:
    plan = played(SALE, OTHER, replace(BACK, quantity=-13))
    assert return_classes(plan) == [(LineClass.RETURN_PARTLY_MATCHED, Decimal("-26.000"), Decimal("-20.000"))]
    assert residuals(plan) == {Residual.RETURN_WITHOUT_EFFECT: Decimal("-6.000")}
    assert adds_up(plan)


def test_units_come_back_once() -> None:
    again = replace(BACK, invoice="C500010", quantity=-1, at="2010-12-04 12:00")
    plan = played(SALE, OTHER, replace(BACK, quantity=-10), again)
    assert return_classes(plan)[-1] == (LineClass.RETURN_NOTHING_LEFT, Decimal("-2.000"), Decimal(0))
    assert adds_up(plan)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(replace(BACK, code="29999"), LineClass.RETURN_NEVER_SOLD, id="another code"),
        pytest.param(replace(BACK, customer=17009), LineClass.RETURN_NEVER_SOLD, id="another customer"),
        pytest.param(replace(BACK, customer=None), LineClass.RETURN_WITHOUT_CUSTOMER, id="no customer"),
    ],
)
def test_a_return_without_an_earlier_sale_changes_no_order(line: Line, expected: LineClass) -> None:
    plan = played(SALE, line)
    assert [(name, effect) for name, _, effect in return_classes(plan)] == [(expected, Decimal(0))]
    assert residuals(plan) == {Residual.RETURN_WITHOUT_EFFECT: Decimal("-8.000")}
    assert end_state(plan, "orders")[500001]["total_amount"] == Decimal("20.00")


def test_a_return_before_its_sale_has_a_class_of_its_own() -> None:
    plan = played(replace(BACK, at="2010-12-01 08:00"), SALE)
    assert return_classes(plan)[0][0] == LineClass.RETURN_SOLD_ONLY_LATER
    assert end_state(plan, "order_items")[2]["quantity"] == 10


def test_a_return_prefers_the_line_sold_at_its_price_then_the_newest() -> None:
    dear = replace(SALE, invoice="500002", price="3.00", at="2010-12-02 09:00")
    newest = replace(SALE, invoice="500003", at="2010-12-02 10:00")
    plan = played(SALE, dear, newest, replace(BACK, quantity=-12))
    quantities = {key: item["quantity"] for key, item in end_state(plan, "order_items").items()}
    assert quantities == {1: 8, 2: 10, 3: 10}
    assert end_state(plan, "orders")[500003]["status"] == "cancelled"
    assert return_classes(plan)[0][0] == LineClass.RETURN_CANCELLED_ORDER
    assert adds_up(plan)


def test_a_return_at_another_price_leaves_the_difference() -> None:
    plan = played(SALE, OTHER, replace(BACK, price="1.50"))
    assert residuals(plan) == {Residual.RETURN_PRICE_DIFFERENCE: Decimal("2.000")}
    assert adds_up(plan)


def test_two_returned_lines_of_one_invoice_change_the_order_once() -> None:
    second = replace(BACK, code="20002", quantity=-1)
    plan = played(SALE, OTHER, replace(SALE, code="20003"), BACK, second)
    assert [(row["__op"], row["id"]) for row in changes_at(plan, "order_items", AT)] == [("u", 1), ("d", 2)]
    (order,) = changes_at(plan, "orders", AT)
    assert order["total_amount"] == Decimal("32.00")


def test_cancelling_that_drops_the_lines_breaks_the_equation() -> None:
    lines = (SALE, replace(BACK, quantity=-10))
    assert adds_up(played(*lines))
    assert not adds_up(played(*lines, rules=MappingRules(does_cancel_keep_lines=False)))
