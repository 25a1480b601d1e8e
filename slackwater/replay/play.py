"""The shop while a year is played: its open orders, shelves and sold units, and the changes and counts so far.

State and the two ways to note something; what happens to the state is in `mapping` and `returns`.
"""

from array import array
from dataclasses import dataclass, field

from slackwater.replay import changes as ch
from slackwater.replay.catalogue import Catalogue, ShelfBook, build_catalogue
from slackwater.replay.matching import SoldUnits
from slackwater.replay.rules import (
    ITEM_CLASSES,
    STOCK_CLASSES,
    LineClass,
    MappingRules,
    Residual,
    classify_line,
    half_even_cents,
)
from slackwater.replay.sample import InvoiceLines
from slackwater.replay.tally import DayTally


@dataclass
class Order:
    """An order while the year goes by."""

    place: int
    status: int
    total_cents: int
    lines: list[int]
    steps_us: tuple[int, int, int]


@dataclass
class Play:
    """The state of the shop while the year is played, and the changes so far."""

    lines: InvoiceLines
    rules: MappingRules
    classes: list[LineClass | None]
    catalogue: Catalogue
    sold: SoldUnits
    items: ch.ItemFacts
    shelf: ShelfBook
    sold_ever: frozenset[tuple[int, str]]
    quantity: "array[int]"
    log: ch.YearLog = field(default_factory=ch.YearLog)
    facts: ch.OrderFacts = field(default_factory=ch.OrderFacts)
    orders: list[Order] = field(default_factory=list)
    order_of_line: dict[int, int] = field(default_factory=dict)
    known_users: set[int] = field(default_factory=set)
    steps: list[tuple[int, int]] = field(default_factory=list)
    tally: DayTally = field(default_factory=DayTally)

    @classmethod
    def of(cls, lines: InvoiceLines, rules: MappingRules) -> "Play":
        """Return the state before the first line."""
        classes = [
            classify_line(invoice, quantity, price_milli=price, customer=customer)
            for invoice, quantity, price, customer in zip(
                lines.invoice, lines.quantity, lines.price_milli, lines.customer, strict=True
            )
        ]
        catalogue = build_catalogue(lines, classes, rules=rules)
        sold_ever = frozenset(
            (customer, code)
            for customer, code, line_class in zip(lines.customer, lines.code, classes, strict=True)
            if customer is not None and line_class in ITEM_CLASSES
        )
        count = len(lines)
        return cls(
            lines=lines,
            rules=rules,
            classes=classes,
            catalogue=catalogue,
            sold=SoldUnits.for_lines(count),
            items=ch.ItemFacts.for_lines(count),
            shelf=ShelfBook(catalogue),
            sold_ever=sold_ever,
            quantity=array("q", bytes(8 * count)),
        )


def write_order(play: Play, order: Order, at_us: int, *, op: int) -> None:
    """Append the order's version as it is now."""
    play.log.add(play.log.orders, at_us, op=op, key=order.place, first=order.status, second=order.total_cents)


def count_line(play: Play, day_us: int, index: int, line_class: LineClass) -> None:
    """Count a line that is no matched return, and what of its value is not in the shop."""
    price = play.lines.price_milli[index]
    quantity = play.lines.quantity[index]
    value = quantity * price
    effect = value if line_class in ITEM_CLASSES else 0
    play.tally.count(day_us, line_class, value_milli=value, effect_milli=effect)
    if line_class in ITEM_CLASSES:
        play.tally.leave(day_us, Residual.ROUNDING, quantity * (price - 10 * half_even_cents(price)))
    elif line_class in STOCK_CLASSES:
        play.tally.leave(day_us, Residual.STOCK_ADJUSTMENTS, value)
    elif line_class is LineClass.REJECTED_BAD_DEBT:
        play.tally.leave(day_us, Residual.REJECTED_BAD_DEBT, value)
    elif line_class is LineClass.REJECTED_MALFORMED:
        play.tally.leave(day_us, Residual.REJECTED_MALFORMED, value)
    else:
        play.tally.leave(day_us, Residual.RETURN_WITHOUT_EFFECT, value)
