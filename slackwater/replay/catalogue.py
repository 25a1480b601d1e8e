"""The products: what they are called, which category they are in, and what changes about them from day to day."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from slackwater.replay.rules import ITEM_CLASSES, REJECTED_CLASSES, LineClass, MappingRules, item_cents
from slackwater.replay.sample import InvoiceLines
from slackwater.replay.synthetic import opening_stock
from slackwater.yaml_text import load_yaml


class Categories(BaseModel):
    """The committed keyword table (`categories.yml`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    service_codes: frozenset[str]
    service: str
    other: str
    keywords: dict[str, frozenset[str]]

    def of(self, code: str, name: str) -> str:
        """Return the category of a product: `service` by its code, otherwise by the words of its name."""
        if code in self.service_codes:
            return self.service
        words = set(re.findall(r"[A-Z]+", name.upper()))
        return next((category for category, keys in self.keywords.items() if words & keys), self.other)


@cache
def load_categories() -> Categories:
    """Read the keyword table."""
    text = files("slackwater.replay").joinpath("categories.yml").read_text(encoding="utf-8")
    return Categories.model_validate(load_yaml(text))


@dataclass(frozen=True)
class Catalogue:
    """The products of the year as columns; the id of a product is its place plus one.

    Attributes:
        codes: Upper-cased stock codes in the order of their first line.
        names: First non-empty description of a sale; else of any line; else the code.
        descriptions: Longest description of a sale (the first of equals); else the name.
        categories: Category of each.
        opening_stock: Units each opens with; 0 for services, which have no stock.
        line_product: Per input line the product's place, -1 for rejected lines.
    """

    codes: Sequence[str]
    names: Sequence[str]
    descriptions: Sequence[str]
    categories: Sequence[str]
    opening_stock: Sequence[int]
    line_product: "array[int]"


def build_catalogue(lines: InvoiceLines, classes: Sequence[LineClass | None], *, rules: MappingRules) -> Catalogue:
    """Collect the products of all lines that are not rejected.

    Args:
        lines: All lines of the year.
        classes: Class of each line; None for a return that is still to be matched.
        rules: Decides the opening stock.
    """
    place: dict[str, int] = {}
    sold_names: dict[str, str] = {}
    any_names: dict[str, str] = {}
    longest: dict[str, str] = {}
    line_product = array("q")
    for code, text, line_class in zip(lines.code, lines.description, classes, strict=True):
        if line_class in REJECTED_CLASSES:
            line_product.append(-1)
            continue
        line_product.append(place.setdefault(code, len(place)))
        if text is None:
            continue
        any_names.setdefault(code, text)
        if line_class in ITEM_CLASSES:
            sold_names.setdefault(code, text)
            if len(text) > len(longest.get(code, "")):
                longest[code] = text
    table = load_categories()
    names = [sold_names.get(code) or any_names.get(code) or code for code in place]
    categories = [table.of(code, name) for code, name in zip(place, names, strict=True)]
    return Catalogue(
        codes=tuple(place),
        names=names,
        descriptions=[longest.get(code, name) for code, name in zip(place, names, strict=True)],
        categories=categories,
        opening_stock=[
            0 if category == table.service else opening_stock(code, rules=rules)
            for code, category in zip(place, categories, strict=True)
        ],
        line_product=line_product,
    )


def day_prices(
    lines: InvoiceLines,
    indexes: Iterable[int],
    *,
    classes: Sequence[LineClass | None],
    products: Sequence[int],
    rules: MappingRules,
) -> dict[int, int]:
    """Return each product's most frequent positive unit price of a day, in pence; of equals the higher.

    Args:
        lines: All lines of the year.
        indexes: The lines of the day.
        classes: Class of each line; only order items count.
        products: Product of each line.
        rules: Decides the rounding.
    """
    seen: dict[int, Counter[int]] = {}
    for index in indexes:
        if classes[index] in ITEM_CLASSES:
            cents = item_cents(lines.price_milli[index], rules)
            if cents > 0:
                seen.setdefault(products[index], Counter())[cents] += 1
    return {product: max(counts, key=lambda cents: (counts[cents], cents)) for product, counts in seen.items()}


@dataclass(frozen=True)
class ProductChange:
    """A product's version from 00:00 of a day on."""

    product: int
    is_new: bool
    price_cents: int
    stock_units: int


class ShelfBook:
    """Price and stock of every product while the year goes by."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._price: dict[int, int] = {}
        self._stock: dict[int, int] = {}
        self._moved: Counter[int] = Counter()

    @property
    def is_settled(self) -> bool:
        """Tell whether no movement waits for the next day."""
        return not self._moved

    def open_day(self, prices: Mapping[int, int], appearing: Iterable[int]) -> Iterator[ProductChange]:
        """Yield the changes at 00:00 of a day, at most one per product, by product.

        Stock is yesterday's after yesterday's movements, refilled to its opening level when that is below zero.

        Args:
            prices: The day's price per product.
            appearing: Products that appear on this day.
        """
        moved, self._moved = self._moved, Counter()
        for product in sorted({*prices, *appearing, *moved}):
            price = prices.get(product, self._price.get(product, 0))
            opening = self._catalogue.opening_stock[product]
            stock = self._stock.get(product, opening) + moved[product]
            stock = opening if stock < 0 else stock
            is_new = product not in self._price
            if is_new or price != self._price[product] or stock != self._stock[product]:
                self._price[product], self._stock[product] = price, stock
                yield ProductChange(product, is_new, price, stock)

    def move(self, product: int, units: int) -> None:
        """Note that units came (> 0) or went (< 0) today; services have no stock."""
        if self._catalogue.opening_stock[product]:
            self._moved[product] += units
