"""The rules of the mapping: what a line can be, what is left over, and the numbers that may be chosen.

The words of `LineClass` and `Residual` are part of the replay's report and of docs/replay-mapping.md.
"""

from dataclasses import dataclass
from enum import StrEnum

MAPPING_VERSION = 1
"""Raised whenever a change of the mapping changes an emitted byte; a shop filled by another version is refused."""


class LineClass(StrEnum):
    """What becomes of an input line. Every line ends in exactly one class."""

    ITEM_OF_CUSTOMER = "item_of_customer"
    ITEM_OF_GUEST = "item_of_guest"
    ITEM_FREE = "item_free"
    ITEM_ROUNDED = "item_rounded"
    RETURN_REDUCED_LINE = "return_reduced_line"
    RETURN_DELETED_LINE = "return_deleted_line"
    RETURN_CANCELLED_ORDER = "return_cancelled_order"
    RETURN_PARTLY_MATCHED = "return_partly_matched"
    RETURN_NOTHING_LEFT = "return_nothing_left"
    RETURN_NEVER_SOLD = "return_never_sold"
    RETURN_SOLD_ONLY_LATER = "return_sold_only_later"
    RETURN_WITHOUT_CUSTOMER = "return_without_customer"
    STOCK_TAKEN = "stock_taken"
    STOCK_FREE = "stock_free"
    REJECTED_BAD_DEBT = "rejected_bad_debt"
    REJECTED_MALFORMED = "rejected_malformed"


ITEM_CLASSES = frozenset(
    {LineClass.ITEM_OF_CUSTOMER, LineClass.ITEM_OF_GUEST, LineClass.ITEM_FREE, LineClass.ITEM_ROUNDED}
)
STOCK_CLASSES = frozenset({LineClass.STOCK_TAKEN, LineClass.STOCK_FREE})
REJECTED_CLASSES = frozenset({LineClass.REJECTED_BAD_DEBT, LineClass.REJECTED_MALFORMED})


class Residual(StrEnum):
    """Value of the input that is not in the shop's order lines, by its reason.

    Input value = value of all order lines in the shop (cancelled orders included) + the sum of these.
    """

    # Units that match no earlier sale, at the return's price; negative.
    RETURN_WITHOUT_EFFECT = "return_without_effect"
    # Matched units x (price sold - price returned).
    RETURN_PRICE_DIFFERENCE = "return_price_difference"
    # Matched units, at the price sold, of lines that stay in a cancelled order; negative.
    CANCELLED_LINES = "cancelled_lines"
    # Quantity x (price - price in whole pence).
    ROUNDING = "rounding"
    REJECTED_BAD_DEBT = "rejected_bad_debt"
    REJECTED_MALFORMED = "rejected_malformed"
    STOCK_ADJUSTMENTS = "stock_adjustments"


@dataclass(frozen=True)
class MappingRules:
    """What may be chosen about the mapping. The defaults are the documented mapping.

    Attributes:
        processing_after_days: Days from the order to `processing`.
        shipped_after_days: Days from the order to `shipped`.
        delivered_after_days: Fewest and most days from the order to `delivered`; the invoice number decides.
        is_rounded_half_even: Prices are rounded half-even to pence; False rounds up. The residual always measures
            against half-even, so the other choice no longer adds up.
        does_cancel_keep_lines: A cancelled order keeps the lines whose return cancelled it. The residual supposes it.
        opening_stock_units: Fewest and most units a product opens with; the code decides. Synthetic.
        cdc_delay_ms: Time from a change in the shop to its capture.
    """

    processing_after_days: int = 1
    shipped_after_days: int = 2
    delivered_after_days: tuple[int, int] = (3, 7)
    is_rounded_half_even: bool = True
    does_cancel_keep_lines: bool = True
    opening_stock_units: tuple[int, int] = (200, 2_000)
    cdc_delay_ms: int = 500


DEFAULT_RULES = MappingRules()


def half_even_cents(price_milli: int) -> int:
    """Round thousandths to hundredths, half to the even neighbour."""
    cents, rest = divmod(price_milli, 10)
    return cents + (rest > 5 or (rest == 5 and cents % 2 == 1))


def item_cents(price_milli: int, rules: MappingRules) -> int:
    """Return the unit price of an order item in pence under `rules`."""
    return half_even_cents(price_milli) if rules.is_rounded_half_even else -(-price_milli // 10)


def classify_line(invoice: str, quantity: int, *, price_milli: int, customer: int | None) -> LineClass | None:
    """Say what a line is that needs no look at other lines; None for a return that must be matched.

    Args:
        invoice: Invoice number.
        quantity: Units, signed.
        price_milli: Unit price in thousandths, signed.
        customer: Customer number or None.
    """
    if invoice.startswith("A"):
        return LineClass.REJECTED_BAD_DEBT
    if quantity == 0 or price_milli < 0:
        return LineClass.REJECTED_MALFORMED
    if invoice.startswith("C"):
        if quantity > 0:
            return LineClass.REJECTED_MALFORMED
        return LineClass.RETURN_WITHOUT_CUSTOMER if customer is None else None
    if not invoice.isdigit():
        return LineClass.REJECTED_MALFORMED
    if quantity < 0:
        return LineClass.STOCK_TAKEN if customer is None else LineClass.REJECTED_MALFORMED
    if price_milli == 0:
        return LineClass.STOCK_FREE if customer is None else LineClass.ITEM_FREE
    if price_milli % 10:
        return LineClass.ITEM_ROUNDED
    return LineClass.ITEM_OF_GUEST if customer is None else LineClass.ITEM_OF_CUSTOMER
