"""What a return does: the order lines it takes back, the orders it changes or cancels, and how it is counted."""

from collections import Counter
from collections.abc import Sequence

from slackwater.replay import changes as ch
from slackwater.replay.matching import Take
from slackwater.replay.play import Order, Play, write_order
from slackwater.replay.rules import LineClass, Residual, half_even_cents


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
        order.total_cents = sum(play.quantity[index] * play.items.price_cents[index] for index in order.lines)
    write_order(play, order, at_us, op=ch.UPDATE)
    return is_cancelled


def count_return(play: Play, day_us: int, index: int, takes: tuple[Take, ...] | None, cancelled: set[int]) -> None:
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
