"""Plays the year: from invoice lines to the shop's ordered changes. Pure; reads nothing and writes nothing.

The whole year is always played, so LSNs and positions depend on a change's place in the year and never on the range,
slice or speed of a replay. Within a day: first the products at 00:00, then by time; at one time status steps come
before invoices. docs/replay-mapping.md holds the rules in words.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from slackwater.replay import changes as ch
from slackwater.replay.catalogue import Catalogue, ShelfBook, build_catalogue, day_prices
from slackwater.replay.matching import SoldUnits, Take
from slackwater.replay.rules import (
    DEFAULT_RULES,
    ITEM_CLASSES,
    REJECTED_CLASSES,
    STOCK_CLASSES,
    LineClass,
    MappingRules,
    Residual,
    classify_sale_line,
    half_even_cents,
    item_cents,
)
from slackwater.replay.sample import InvoiceLines
from slackwater.replay.synthetic import DAY_US, shipping_address, status_times_us
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
            classify_sale_line(invoice, quantity, price_milli=price, customer=customer)
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


def plan_year(lines: InvoiceLines, *, rules: MappingRules = DEFAULT_RULES) -> ch.YearPlan:
    """Play the year and return all its changes.

    Args:
        lines: All lines of the year, ordered by time.
        rules: What may be chosen.

    Returns:
        The changes per entity, ordered by LSN, and the tally of the input.
    """
    play = Play.of(lines, rules)
    created_us = array("q", bytes(8 * len(play.catalogue.codes)))
    invoices = group_invoices(lines)
    start_us = day_us = lines.at_us[0] // DAY_US * DAY_US if len(lines) else 0
    taken = 0
    while taken < len(invoices) or play.steps or not play.shelf.is_settled:
        first = taken
        while taken < len(invoices) and lines.at_us[invoices[taken][0]] < day_us + DAY_US:
            taken += 1
        play_day(play, day_us, invoices[first:taken], created_us)
        day_us += DAY_US
    tables = {
        "users": ch.users_table(play.log.users),
        "products": ch.products_table(play.log.products, play.catalogue, created_us),
        "orders": ch.orders_table(play.log.orders, play.facts),
        "order_items": ch.order_items_table(play.log.order_items, play.items),
    }
    delay_ms = rules.cdc_delay_ms
    logs = {name: getattr(play.log, name) for name in tables}
    return ch.YearPlan(
        changes={n: ch.entity_changes(n, logs[n], columns, delay_ms=delay_ms) for n, columns in tables.items()},
        tally=play.tally,
        line_count=len(lines),
        input_milli=lines.value_milli,
        start_us=start_us,
        end_us=day_us,
    )


def group_invoices(lines: InvoiceLines) -> list[list[int]]:
    """Return the lines of each invoice, invoices in the order of their first line (one in the sample is split)."""
    groups: dict[str, list[int]] = {}
    for index, invoice in enumerate(lines.invoice):
        groups.setdefault(invoice, []).append(index)
    return list(groups.values())


def play_day(play: Play, day_us: int, invoices: Sequence[list[int]], created_us: "array[int]") -> None:
    """Play one day: products at 00:00, then status steps and invoices by time."""
    indexes = [index for invoice in invoices for index in invoice]
    products = play.catalogue.line_product
    prices = day_prices(play.lines, indexes, classes=play.classes, products=products, rules=play.rules)
    appearing = {products[index] for index in indexes if products[index] >= 0}
    for change in play.shelf.open_day(prices, appearing):
        op = ch.CREATE if change.is_new else ch.UPDATE
        if change.is_new:
            created_us[change.product] = day_us
        play.log.add(
            play.log.products, day_us, op=op, key=change.product, first=change.price_cents, second=change.stock_units
        )
    for invoice in invoices:
        run_status_steps(play, play.lines.at_us[invoice[0]])
        play_invoice(play, day_us, invoice)
    run_status_steps(play, day_us + DAY_US - 1)


def run_status_steps(play: Play, until_us: int) -> None:
    """Advance the orders whose next step is due at or before a time; a cancelled order takes no more steps."""
    while play.steps and play.steps[0][0] <= until_us:
        at_us, place = heappop(play.steps)
        order = play.orders[place]
        if order.status == ch.CANCELLED:
            continue
        order.status += 1
        write_order(play, order, at_us, op=ch.UPDATE)
        if order.status < len(order.steps_us):
            heappush(play.steps, (order.steps_us[order.status], place))


def write_order(play: Play, order: Order, at_us: int, *, op: int) -> None:
    """Append the order's version as it is now."""
    play.log.add(play.log.orders, at_us, op=op, key=order.place, first=order.status, second=order.total_cents)


def play_invoice(play: Play, day_us: int, invoice: Sequence[int]) -> None:
    """Play one invoice: count its lines, and write its user, its order or what it takes back."""
    lines, first = play.lines, invoice[0]
    at_us = lines.at_us[first]
    customer = lines.customer[first]
    if customer is not None and customer not in play.known_users and play.classes[first] not in REJECTED_CLASSES:
        play.known_users.add(customer)
        play.log.add(play.log.users, at_us, op=ch.CREATE, key=customer)
    sold = [index for index in invoice if play.classes[index] in ITEM_CLASSES]
    if sold:
        place_order(play, at_us, sold)
    for index in invoice:
        line_class = play.classes[index]
        if line_class is not None:
            count_line(play, day_us, index, line_class)
        if line_class not in REJECTED_CLASSES:
            moved = -lines.quantity[index] if line_class in ITEM_CLASSES else abs(lines.quantity[index])
            if line_class in STOCK_CLASSES:
                moved = lines.quantity[index]
            play.shelf.move(play.catalogue.line_product[index], moved)
    returned = [index for index in invoice if play.classes[index] is None]
    if returned:
        play_return(play, day_us, returned)


def place_order(play: Play, at_us: int, sold: Sequence[int]) -> None:
    """Write an order and its items, all at the invoice's first time."""
    lines, first = play.lines, sold[0]
    place = len(play.orders)
    customer, invoice = lines.customer[first], lines.invoice[first]
    play.facts.number.append(int(invoice))
    play.facts.user.append(customer)
    recipient = invoice if customer is None else str(customer)
    play.facts.address.append(shipping_address(lines.country[first], recipient=recipient))
    play.facts.created_us.append(at_us)
    prices = {index: item_cents(lines.price_milli[index], play.rules) for index in sold}
    order = Order(
        place=place,
        status=ch.PENDING,
        total_cents=sum(lines.quantity[index] * cents for index, cents in prices.items()),
        lines=list(sold),
        steps_us=status_times_us(invoice, at_us, rules=play.rules),
    )
    play.orders.append(order)
    write_order(play, order, at_us, op=ch.CREATE)
    for index, cents in prices.items():
        units = lines.quantity[index]
        play.items.order_number[index] = int(invoice)
        play.items.product[index] = play.catalogue.line_product[index]
        play.items.price_cents[index] = cents
        play.items.created_us[index] = at_us
        play.quantity[index] = units
        play.order_of_line[index] = place
        play.sold.sell(index, units, customer=customer, code=lines.code[index])
        play.log.add(play.log.order_items, at_us, op=ch.CREATE, key=index, first=units)
    heappush(play.steps, (order.steps_us[0], place))


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


def play_return(play: Play, day_us: int, returned: Sequence[int]) -> None:
    """Match the lines of one return, then change the orders they touch, and count each line."""
    lines, at_us = play.lines, play.lines.at_us[returned[0]]
    found: dict[int, tuple[Take, ...] | None] = {}
    for index in returned:
        customer = lines.customer[index]
        if customer is not None:
            found[index] = play.sold.take_back(
                -lines.quantity[index],
                customer=customer,
                code=lines.code[index],
                price_milli=lines.price_milli[index],
                prices_milli=lines.price_milli,
            )
    touched: Counter[int] = Counter()
    for takes in found.values():
        touched.update(play.order_of_line[take.line] for take in takes or ())
    cancelled = {place for place in touched if take_from_order(play, play.orders[place], at_us)}
    for index, takes in found.items():
        count_return(play, day_us, index, takes, cancelled)


def take_from_order(play: Play, order: Order, at_us: int) -> bool:
    """Bring an order in line with what is left of its lines; return whether that cancelled it."""
    remaining = play.sold.remaining
    is_cancelled = not any(remaining[index] for index in order.lines)
    if is_cancelled:
        order.status = ch.CANCELLED
    if not is_cancelled or not play.rules.does_cancel_keep_lines:
        for index in order.lines:
            if remaining[index] != play.quantity[index]:
                op = ch.UPDATE if remaining[index] else ch.DELETE
                play.log.add(play.log.order_items, at_us, op=op, key=index, first=remaining[index])
                play.quantity[index] = remaining[index]
        order.lines = [index for index in order.lines if remaining[index]]
        order.total_cents = sum(play.quantity[index] * play.items.price_cents[index] for index in order.lines)
    write_order(play, order, at_us, op=ch.UPDATE)
    return is_cancelled


def count_return(
    play: Play, day_us: int, index: int, takes: tuple[Take, ...] | None, cancelled: set[int]
) -> None:
    """Count a return with a customer: its class, and what of its value did not reach an order line."""
    lines = play.lines
    price, units = lines.price_milli[index], -lines.quantity[index]
    matched = sum(take.units for take in takes or ())
    line_class = classify_return(play, index, takes, cancelled)
    play.tally.count(day_us, line_class, value_milli=-units * price, effect_milli=-matched * price)
    play.tally.leave(day_us, Residual.RETURN_WITHOUT_EFFECT, -(units - matched) * price)
    for take in takes or ():
        sold_at = 10 * half_even_cents(lines.price_milli[take.line])
        play.tally.leave(day_us, Residual.RETURN_PRICE_DIFFERENCE, take.units * (sold_at - price))
        if play.order_of_line[take.line] in cancelled:
            play.tally.leave(day_us, Residual.CANCELLED_LINES, -take.units * sold_at)


def classify_return(play: Play, index: int, takes: tuple[Take, ...] | None, cancelled: set[int]) -> LineClass:
    """Say what a return with a customer did; of several effects the strongest."""
    lines = play.lines
    if takes is None:
        is_ever = (lines.customer[index], lines.code[index]) in play.sold_ever
        return LineClass.RETURN_SOLD_ONLY_LATER if is_ever else LineClass.RETURN_NEVER_SOLD
    if not takes:
        return LineClass.RETURN_NOTHING_LEFT
    if sum(take.units for take in takes) < -lines.quantity[index]:
        return LineClass.RETURN_PARTLY_MATCHED
    if any(play.order_of_line[take.line] in cancelled for take in takes):
        return LineClass.RETURN_CANCELLED_ORDER
    if any(play.sold.remaining[take.line] == 0 for take in takes):
        return LineClass.RETURN_DELETED_LINE
    return LineClass.RETURN_REDUCED_LINE
