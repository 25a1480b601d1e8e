"""What the sample does not hold, derived from what it does: names, addresses, delivery times, opening stock.

Everything here is plainly synthetic and depends on its arguments alone, so it is the same in every run.
"""

import zlib

from slackwater.replay.rules import MappingRules

FIRST_NAMES = (
    "Ada", "Alex", "Blake", "Casey", "Dana", "Eden", "Finley", "Gray", "Harper", "Indigo", "Jamie", "Kit", "Logan",
    "Morgan", "Nico", "Oakley", "Parker", "Quinn", "Robin", "Sage", "Taylor", "Uma", "Val", "Wren", "Xen",
    "Yuri", "Zion",
)  # fmt: skip
STREETS = ("Sample Street", "Example Road", "Test Lane", "Specimen Avenue", "Model Square", "Placeholder Way")
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000


def _number(text: str, *, below: int) -> int:
    """Return a stable number in 0..below-1 for a text (`hash` differs between processes)."""
    return zlib.crc32(text.encode()) % below


def first_name(customer: int) -> str:
    """Return the first name of a customer."""
    return FIRST_NAMES[_number(f"name {customer}", below=len(FIRST_NAMES))]


def last_name(customer: int) -> str:
    """Return the last name of a customer: unmistakably not a real one."""
    return f"Shopper-{customer}"


def email(customer: int) -> str:
    """Return the e-mail address of a customer, in a domain reserved for examples."""
    return f"{first_name(customer).lower()}.{customer}@example.com"


def shipping_address(country: str, *, recipient: str) -> str:
    """Return an address in `country`.

    Args:
        country: Country of the invoice.
        recipient: What decides street and number: the customer number, or a guest's invoice number.
    """
    street = STREETS[_number(f"street {recipient}", below=len(STREETS))]
    return f"{1 + _number(f'house {recipient}', below=199)} {street}, Sampletown, {country}"


def status_times_us(invoice: str, ordered_at_us: int, *, rules: MappingRules) -> tuple[int, int, int]:
    """Return when an order becomes processing, shipped and delivered, in microseconds since 1970."""
    fewest, most = rules.delivered_after_days
    delivered = fewest + _number(f"delivered {invoice}", below=most - fewest + 1)
    days = (rules.processing_after_days, rules.shipped_after_days, delivered)
    return (ordered_at_us + days[0] * DAY_US, ordered_at_us + days[1] * DAY_US, ordered_at_us + days[2] * DAY_US)


def opening_stock(code: str, *, rules: MappingRules) -> int:
    """Return the level a product opens with and is refilled to."""
    fewest, most = rules.opening_stock_units
    return fewest + _number(f"stock {code}", below=most - fewest + 1)
