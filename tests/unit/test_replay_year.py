"""The committed sample, the whole of it: every line in one class, the measured figures, and the equation."""

import gzip
import hashlib
import itertools
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sample_year import planned_year

from slackwater.naming import ENTITIES
from slackwater.replay.catalogue import load_categories
from slackwater.replay.changes import YearPlan
from slackwater.replay.files import FileForm, SliceBy, landing_file, time_slices
from slackwater.replay.mapping import plan_year
from slackwater.replay.report import tally_range
from slackwater.replay.rules import ITEM_CLASSES, MAPPING_VERSION, LineClass, MappingRules, Residual, classify_line
from slackwater.replay.sample import InvoiceLines, read_sample
from slackwater.replay.synthetic import DAY_US
from slackwater.testing.changes import Row, end_state

DECEMBER_LINES = 42_481


@pytest.fixture(scope="module")
def lines() -> InvoiceLines:
    return read_sample()


@pytest.fixture(scope="module")
def plan() -> YearPlan:
    return planned_year().plan


@pytest.fixture(scope="module")
def items(plan: YearPlan) -> dict[int, Row]:
    return end_state(plan, "order_items")


def micros(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").astimezone(UTC).timestamp()) * 1_000_000


def value_of(items: dict[int, Row]) -> Decimal:
    return sum((item["quantity"] * item["unit_price"] for item in items.values()), Decimal(0))


def test_every_input_line_ends_in_one_class(plan: YearPlan) -> None:
    classes = plan.tally.class_totals(plan.start_us, plan.end_us)
    assert {name.value: total.lines for name, total in classes.items()} == {
        "item_of_customer": 397_880,
        "item_of_guest": 132_219,
        "item_free": 40,
        "item_rounded": 4,
        "return_reduced_line": 4_742,
        "return_deleted_line": 1_748,
        "return_cancelled_order": 1_026,
        "return_partly_matched": 53,
        "return_nothing_left": 30,
        "return_never_sold": 948,
        "return_sold_only_later": 358,
        "return_without_customer": 383,
        "stock_taken": 1_336,
        "stock_free": 1_139,
        "rejected_bad_debt": 3,
        "rejected_malformed": 0,
    }
    assert sum(total.lines for total in classes.values()) == plan.line_count == 541_909
    assert sum(total.value for total in classes.values()) == Decimal("9747747.934")


def test_returns_with_and_without_an_earlier_sale_are_as_measured(plan: YearPlan) -> None:
    lines = {name: t.lines for name, t in plan.tally.class_totals(plan.start_us, plan.end_us).items()}
    with_sale = [
        LineClass.RETURN_REDUCED_LINE,
        LineClass.RETURN_DELETED_LINE,
        LineClass.RETURN_CANCELLED_ORDER,
        LineClass.RETURN_PARTLY_MATCHED,
        LineClass.RETURN_NOTHING_LEFT,
    ]
    assert sum(lines[name] for name in with_sale) == 7_599
    assert sum(count for name, count in lines.items() if name.startswith("return_")) == 9_288


def test_december_is_as_measured(plan: YearPlan) -> None:
    december = tally_range(plan, micros("2010-12-01"), micros("2011-01-01"))
    lines = {name: total.lines for name, total in december.classes.items()}
    unmatched = (LineClass.RETURN_NEVER_SOLD, LineClass.RETURN_SOLD_ONLY_LATER, LineClass.RETURN_WITHOUT_CUSTOMER)
    assert december.input_lines == DECEMBER_LINES
    assert sum(lines[name] for name in unmatched) == 423
    assert sum(count for name, count in lines.items() if name.startswith("return_")) == 728


def test_the_orders_and_the_residuals_add_up_to_the_input_exactly(plan: YearPlan, items: dict[int, Row]) -> None:
    residuals = plan.tally.residual_totals(plan.start_us, plan.end_us)
    assert residuals == {
        Residual.RETURN_WITHOUT_EFFECT: Decimal("-422844.030"),
        Residual.RETURN_PRICE_DIFFERENCE: Decimal("4529.650"),
        Residual.CANCELLED_LINES: Decimal("-351732.680"),
        Residual.ROUNDING: Decimal("0.004"),
        Residual.REJECTED_BAD_DEBT: Decimal("-11062.060"),
        Residual.REJECTED_MALFORMED: Decimal("0.000"),
        Residual.STOCK_ADJUSTMENTS: Decimal("0.000"),
    }
    assert value_of(items) + sum(residuals.values()) == Decimal("9747747.934")


@pytest.mark.parametrize("does_keep", [True, False], ids=["documented rule", "altered rule"])
def test_one_altered_rule_breaks_the_equation(lines: InvoiceLines, does_keep: bool) -> None:
    columns = {name: list(itertools.islice(column, DECEMBER_LINES)) for name, column in vars(lines).items()}
    december = plan_year(InvoiceLines(**columns), rules=MappingRules(does_cancel_keep_lines=does_keep))
    left = sum(december.tally.residual_totals(december.start_us, december.end_us).values())
    assert (value_of(end_state(december, "order_items")) + left == Decimal("748957.020")) is does_keep


def test_order_totals_are_the_sums_of_their_items(plan: YearPlan, items: dict[int, Row]) -> None:
    sums: Counter[int] = Counter()
    for item in items.values():
        sums[item["order_id"]] += item["quantity"] * item["unit_price"]
    orders = end_state(plan, "orders")
    assert len(orders) == 19_963
    assert {key: order["total_amount"] for key, order in orders.items()} == dict(sums)


def test_products_customers_and_service_codes_are_as_measured(lines: InvoiceLines, plan: YearPlan) -> None:
    assert len(set(lines.code)) == 3_958  # 4,070 as written: 112 differ only by case
    assert len(end_state(plan, "products")) == 3_957  # one code occurs on rejected lines only
    assert len(end_state(plan, "users")) == 4_372
    codes: dict[str, set[str]] = {}
    for place, invoice in enumerate(lines.invoice):
        price, quantity = lines.price_milli[place], lines.quantity[place]
        kind = classify_line(invoice, quantity, price_milli=price, customer=lines.customer[place])
        if kind in ITEM_CLASSES and price > 0:
            codes.setdefault(invoice, set()).add(lines.code[place])
    assert len(codes) == 19_959  # priced sale invoices; one more with the positive bad-debt adjustment
    services = load_categories().service_codes
    assert sum(bool(found & services) for found in codes.values()) == 2_275


def test_positions_are_contiguous_over_all_day_slices(plan: YearPlan) -> None:
    ends = dict.fromkeys(ENTITIES, 0)
    for part in time_slices(plan.start_us, plan.end_us, slice_by=SliceBy.DAY):
        for entity in ENTITIES:
            first, end = plan.changes[entity].span(part.start_us, part.end_us)
            assert first == ends[entity]
            ends[entity] = end
    assert ends == {entity: plan.changes[entity].table.num_rows for entity in ENTITIES}
    assert ends == {"users": 4_372, "products": 331_837, "orders": 83_467, "order_items": 536_817}


def test_what_is_emitted_changes_only_with_the_mapping_version(plan: YearPlan) -> None:
    digest = hashlib.sha256()
    for day in ("2010-12-01", "2010-12-10", "2011-10-06"):
        for entity in ENTITIES:
            (part,) = time_slices(micros(day), micros(day) + DAY_US, slice_by=SliceBy.DAY)
            file = landing_file(plan.changes[entity], part, prefix="cdc/", form=FileForm.JSON)
            assert file is not None
            digest.update(file.key.encode() + gzip.decompress(file.data))
    assert (MAPPING_VERSION, digest.hexdigest()[:16]) == (1, "fd292b24581a89fb")
