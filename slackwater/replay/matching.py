"""Which earlier order lines a return takes back. Pure bookkeeping of units; knows nothing of tables or files."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Take:
    """Units of one order line that a return takes back."""

    line: int
    units: int


@dataclass
class SoldUnits:
    """The units that customers bought and have not returned.

    Attributes:
        remaining: Per input line the units that are sold and not returned; 0 for lines that are no sale.
        by_customer_and_code: The sold lines of a customer and code, oldest first.
    """

    remaining: "array[int]"
    by_customer_and_code: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    @classmethod
    def for_lines(cls, count: int) -> "SoldUnits":
        """Return an empty book for `count` input lines."""
        return cls(remaining=array("q", bytes(8 * count)))

    def sell(self, line: int, units: int, *, customer: int | None, code: str) -> None:
        """Note a sold line; a guest's line is never matched, but its units count for its order."""
        self.remaining[line] = units
        if customer is not None:
            self.by_customer_and_code.setdefault((customer, code), []).append(line)

    def take_back(
        self, units: int, *, customer: int, code: str, price_milli: int, prices_milli: Sequence[int]
    ) -> tuple[Take, ...] | None:
        """Take units back from the customer's earlier lines of a code.

        Lines sold at the return's price come first, then the others; within each, the newest first.

        Args:
            units: Returned units, > 0.
            customer: Customer number.
            code: Stock code.
            price_milli: The return's unit price.
            prices_milli: Unit price of every input line.

        Returns:
            What was taken, at most `units` in all; empty when everything was returned before. None when this customer
            has not bought the code so far.
        """
        sold = self.by_customer_and_code.get((customer, code))
        if sold is None:
            return None
        takes: list[Take] = []
        for line in sorted(sold, key=lambda index: (prices_milli[index] != price_milli, -index)):
            taken = min(units, self.remaining[line])
            if taken:
                self.remaining[line] -= taken
                takes.append(Take(line, taken))
                units -= taken
            if units == 0:
                break
        return tuple(takes)
