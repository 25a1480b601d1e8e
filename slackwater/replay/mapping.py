"""Plays the year: from invoice lines to the shop's ordered changes. Pure; reads nothing and writes nothing.

The whole year is always played, so LSNs and positions depend on a change's place in the year and never on the range,
slice or speed of a replay. Within a day: first the products at 00:00, then by time; at one time status steps come
before invoices. docs/replay-mapping.md holds the rules in words.
"""

from array import array
from collections.abc import Sequence
from heapq import heappop, heappush

from slackwater.replay import changes as ch
from slackwater.replay.catalogue import day_prices
from slackwater.replay.play import Order, Play, count_line, write_order
from slackwater.replay.returns import play_return
from slackwater.replay.rules import (
    DEFAULT_RULES,
    ITEM_CLASSES,
    REJECTED_CLASSES,
    STOCK_CLASSES,
    MappingRules,
    item_cents,
)
from slackwater.replay.sample import InvoiceLines
from slackwater.replay.synthetic import DAY_US, shipping_address, status_times_us


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
