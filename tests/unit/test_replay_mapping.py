"""What the mapping makes of tiny invoices, rule by rule."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from slackwater.errors import ConfigurationError
from slackwater.replay.mapping import plan_year
from slackwater.replay.rules import LineClass, MappingRules, Residual
from slackwater.replay.tally import milli
from slackwater.testing.changes import end_state, rows_of
from slackwater.testing.invoices import Line, invoice_lines

SALE = Line()


def classes_of(*lines: Line) -> dict[LineClass, int]:
    plan = plan_year(invoice_lines(*lines))
    totals = plan.tally.class_totals(plan.start_us, plan.end_us)
    return {name: total.lines for name, total in totals.items() if total.lines}


def test_an_invoice_becomes_an_order_whose_total_is_the_sum_of_its_items() -> None:
    plan = plan_year(invoice_lines(SALE, replace(SALE, code="20002", quantity=3, price="2.50")))
    order, *_ = rows_of(plan, "orders")
    assert (order["id"], order["user_id"], order["status"], order["__op"]) == (500001, 17001, "pending", "c")
    assert order["total_amount"] == Decimal("8.50")
    assert order["created_at"] == datetime.fromisoformat("2010-12-01T09:00")
    assert order["shipping_address"].endswith(", United Kingdom")
    items = end_state(plan, "order_items")
    assert [(i["order_id"], i["quantity"], i["unit_price"]) for i in items.values()] == [
        (500001, 1, Decimal("1.00")),
        (500001, 3, Decimal("2.50")),
    ]


def test_a_code_twice_on_an_invoice_stays_two_lines() -> None:
    plan = plan_year(invoice_lines(SALE, replace(SALE, quantity=4)))
    assert [item["quantity"] for item in end_state(plan, "order_items").values()] == [1, 4]
    assert len({item["product_id"] for item in end_state(plan, "order_items").values()}) == 1


def test_an_invoice_over_several_minutes_is_one_order_at_its_first_time() -> None:
    later = replace(SALE, code="20002", at="2010-12-01 09:01")
    other = replace(SALE, invoice="500002", customer=17002, at="2010-12-01 09:01")
    last = replace(SALE, code="20003", at="2010-12-01 09:02")
    plan = plan_year(invoice_lines(SALE, other, later, last))
    orders = end_state(plan, "orders")
    assert {key: row["created_at"].minute for key, row in orders.items()} == {500001: 0, 500002: 1}
    assert orders[500001]["total_amount"] == Decimal("3.00")
    items = end_state(plan, "order_items").values()
    assert [i["created_at"].minute for i in items if i["order_id"] == 500001] == [0, 0, 0]


def test_codes_that_differ_by_case_are_one_product() -> None:
    plan = plan_year(invoice_lines(replace(SALE, code="85123a"), replace(SALE, code="85123A")))
    assert len(end_state(plan, "products")) == 1


def test_a_free_line_is_an_item_for_a_customer_and_a_stock_adjustment_without_one() -> None:
    guest = replace(SALE, invoice="500002", customer=None, price="0")
    plan = plan_year(invoice_lines(replace(SALE, price="0"), guest))
    assert [item["unit_price"] for item in end_state(plan, "order_items").values()] == [Decimal("0.00")]
    assert list(end_state(plan, "orders")) == [500001]


def test_a_customer_has_one_address_and_guests_have_their_own() -> None:
    lines = [replace(SALE, invoice=str(500001 + n), at=f"2010-12-01 09:0{n}") for n in range(2)]
    guests = [replace(SALE, invoice=str(500011 + n), at=f"2010-12-01 10:0{n}", customer=None) for n in range(9)]
    orders = end_state(plan_year(invoice_lines(*lines, *guests)), "orders").values()
    assert len({order["shipping_address"] for order in orders if order["user_id"]}) == 1
    assert len({order["shipping_address"] for order in orders if not order["user_id"]}) > 5


def test_a_guest_order_has_no_user() -> None:
    plan = plan_year(invoice_lines(replace(SALE, customer=None)))
    assert end_state(plan, "orders")[500001]["user_id"] is None
    assert rows_of(plan, "users") == []


def test_a_user_appears_once_at_the_first_line_and_is_plainly_synthetic() -> None:
    second = replace(SALE, invoice="500002", at="2010-12-02 09:00")
    plan = plan_year(invoice_lines(SALE, second))
    (user,) = rows_of(plan, "users")
    assert user["created_at"] == datetime.fromisoformat("2010-12-01T09:00")
    assert user["email"].endswith(".17001@example.com")
    assert "Shopper" in user["last_name"]


def test_a_customer_who_only_returns_is_a_user_too() -> None:
    plan = plan_year(invoice_lines(replace(SALE, invoice="C500001", quantity=-1)))
    assert list(end_state(plan, "users")) == [17001]
    assert rows_of(plan, "orders") == []


def test_an_order_is_processed_after_one_day_shipped_after_two_and_delivered_after_three_to_seven() -> None:
    lines = [replace(SALE, invoice=str(500000 + n), at=f"2010-12-01 09:{n:02}") for n in range(60)]
    plan = plan_year(invoice_lines(*lines))
    days: dict[object, set[int]] = {}
    for row in rows_of(plan, "orders"):
        age = row["updated_at"] - row["created_at"]
        assert age % timedelta(days=1) == timedelta(0)
        days.setdefault(row["status"], set()).add(age.days)
    assert days == {"pending": {0}, "processing": {1}, "shipped": {2}, "delivered": {3, 4, 5, 6, 7}}
    assert {row["status"] for row in end_state(plan, "orders").values()} == {"delivered"}


def test_a_more_precise_price_is_rounded_half_even_counted_and_left_as_a_residual() -> None:
    lines = (replace(SALE, price="0.125", quantity=3), replace(SALE, price="0.135", quantity=1))
    plan = plan_year(invoice_lines(*lines))
    assert [i["unit_price"] for i in end_state(plan, "order_items").values()] == [Decimal("0.12"), Decimal("0.14")]
    assert classes_of(*lines) == {LineClass.ITEM_ROUNDED: 2}
    residuals = plan.tally.residual_totals(plan.start_us, plan.end_us)
    assert residuals[Residual.ROUNDING] == 3 * Decimal("0.005") - Decimal("0.005")


def test_bad_debt_is_rejected_and_makes_no_product_user_or_order() -> None:
    debt = Line(invoice="A563185", code="B", price="11062.06", customer=None, description="Adjust bad debt")
    plan = plan_year(invoice_lines(debt))
    assert [rows_of(plan, entity) for entity in plan.changes] == [[], [], [], []]
    assert classes_of(debt) == {LineClass.REJECTED_BAD_DEBT: 1}
    assert plan.tally.residual_totals(plan.start_us, plan.end_us)[Residual.REJECTED_BAD_DEBT] == Decimal("11062.06")


def test_a_stock_adjustment_with_a_value_leaves_that_value_as_a_residual() -> None:
    plan = plan_year(invoice_lines(replace(SALE, customer=None, quantity=-2, price="3.00")))
    assert plan.tally.residual_totals(plan.start_us, plan.end_us)[Residual.STOCK_ADJUSTMENTS] == Decimal("-6.000")
    assert rows_of(plan, "orders") == []


def test_lsns_strictly_increase_over_all_entities_and_follow_time() -> None:
    lines = [
        replace(SALE, invoice=str(500000 + n), at=f"2010-12-0{1 + n % 5} 09:00", customer=17000 + n) for n in range(9)
    ]
    plan = plan_year(invoice_lines(*sorted(lines, key=lambda line: line.at)))
    marks = sorted(
        (row["__source_lsn"], row["__source_ts_ms"]) for entity in plan.changes for row in rows_of(plan, entity)
    )
    lsns = [lsn for lsn, _ in marks]
    assert len(set(lsns)) == len(lsns) > 20
    assert [at for _, at in marks] == sorted(at for _, at in marks)
    for changes in plan.changes.values():
        column = changes.table["__source_lsn"].to_pylist()
        assert column == sorted(column)


def test_every_reference_exists_before_it_is_used() -> None:
    lines = (
        replace(SALE, code="20009", customer=None, price="0", quantity=5),
        replace(SALE, invoice="500002", code="20009", at="2010-12-01 10:00"),
        replace(SALE, invoice="500003", customer=None, at="2010-12-02 10:00"),
    )
    plan = plan_year(invoice_lines(*lines))
    born = {
        entity: {row["id"]: row["__source_lsn"] for row in rows_of(plan, entity) if row["__op"] == "c"}
        for entity in plan.changes
    }
    items = [row for row in rows_of(plan, "order_items") if row["__op"] == "c"]
    assert len(items) == 2
    for item in items:
        assert born["products"][item["product_id"]] < item["__source_lsn"]
        assert born["orders"][item["order_id"]] < item["__source_lsn"]
    for order in rows_of(plan, "orders"):
        assert order["user_id"] is None or born["users"][order["user_id"]] < order["__source_lsn"]


def test_lines_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not ordered by invoice_at"):
        invoice_lines(replace(SALE, at="2010-12-02 09:00"), SALE)


def test_no_lines_are_no_changes() -> None:
    plan = plan_year(invoice_lines())
    assert [changes.table.num_rows for changes in plan.changes.values()] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "rules", [MappingRules(), MappingRules(is_rounded_half_even=False)], ids=["documented", "rounding up"]
)
def test_rounding_up_breaks_the_equation(rules: MappingRules) -> None:
    plan = plan_year(invoice_lines(replace(SALE, price="1.001", quantity=2)), rules=rules)
    held = sum(item["quantity"] * item["unit_price"] for item in end_state(plan, "order_items").values())
    left = sum(plan.tally.residual_totals(plan.start_us, plan.end_us).values())
    assert (held + left == milli(plan.input_milli)) is rules.is_rounded_half_even
