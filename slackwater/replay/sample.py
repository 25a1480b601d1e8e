"""Reads the invoice lines of the sample into plain columns. What a line means is decided in `mapping`, not here."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slackwater.errors import ConfigurationError

SAMPLE_FILE = Path(__file__).resolve().parents[2] / "samples" / "online_retail.parquet"
"""The committed sample; another file of the same shape may be replayed instead."""

COLUMNS = (
    "invoice_no",
    "stock_code",
    "description",
    "quantity",
    "invoice_at",
    "unit_price",
    "customer_id",
    "country",
)
MILLI = 1_000
"""Prices are whole thousandths of a pound: the sample has three decimals, and integers add up exactly."""


@dataclass(frozen=True)
class InvoiceLines:
    """Invoice lines as columns of equal length, ordered by time.

    Attributes:
        invoice: Invoice number; a leading `C` marks a return, `A` an adjustment of bad debt.
        code: Stock code, upper-cased.
        description: Text of the line without outer blanks; None when it has none.
        quantity: Units; negative on returns and on stock that went missing.
        at_us: Time of the line in microseconds since 1970 (UTC).
        price_milli: Unit price in thousandths.
        customer: Customer number; None when the customer is unknown.
        country: Country of the customer.
    """

    invoice: Sequence[str]
    code: Sequence[str]
    description: Sequence[str | None]
    quantity: Sequence[int]
    at_us: Sequence[int]
    price_milli: Sequence[int]
    customer: Sequence[int | None]
    country: Sequence[str]

    def __len__(self) -> int:
        return len(self.invoice)

    @property
    def value_milli(self) -> int:
        """Return the sum of quantity times unit price over all lines, in thousandths."""
        return sum(q * p for q, p in zip(self.quantity, self.price_milli, strict=True))


def lines_from_table(table: pa.Table) -> InvoiceLines:
    """Return the columns of a table of invoice lines.

    Args:
        table: The columns of `COLUMNS`; one row per invoice line, ordered by `invoice_at`.

    Raises:
        ConfigurationError: A column is missing, or the lines are not ordered by time.
    """
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ConfigurationError(f"the sample lacks the columns {missing}; expected {list(COLUMNS)}")
    at_us = pc.cast(pc.cast(table["invoice_at"], pa.timestamp("us")), pa.int64()).to_pylist()
    if any(earlier > later for earlier, later in pairwise(at_us)):
        raise ConfigurationError("the sample's lines are not ordered by invoice_at; sort the file first")
    exact = pc.cast(table["unit_price"], pa.decimal128(18, 3))
    milli = pc.cast(pc.multiply(exact, pa.scalar(Decimal(MILLI))), pa.int64())
    text = pc.utf8_trim_whitespace(table["description"])
    return InvoiceLines(
        invoice=_shared(table["invoice_no"]),
        code=_shared(pc.utf8_upper(table["stock_code"])),
        description=_shared(pc.if_else(pc.equal(text, ""), None, text)),
        quantity=table["quantity"].to_pylist(),
        at_us=at_us,
        price_milli=milli.to_pylist(),
        customer=table["customer_id"].to_pylist(),
        country=_shared(table["country"]),
    )


def _shared(column: pa.ChunkedArray) -> list[Any]:
    """Return text values, equal ones as one object: half a million of them repeat a few thousand."""
    coded = column.combine_chunks().dictionary_encode()
    values = [*coded.dictionary.to_pylist(), None]
    return [values[-1 if place is None else place] for place in coded.indices.to_pylist()]


def read_sample(path: Path = SAMPLE_FILE) -> InvoiceLines:
    """Read the invoice lines of a Parquet file.

    Raises:
        ConfigurationError: There is no such file, or it is not a file of invoice lines.
    """
    if not path.is_file():
        raise ConfigurationError(f"no sample at {path}; expected a Parquet file with the columns {list(COLUMNS)}")
    return lines_from_table(pq.read_table(path))


def fingerprint_of(path: Path, *, mapping_version: int) -> str:
    """Return what decides every change of a replay: the sample's content and the version of the mapping."""
    digest = hashlib.sha256(path.read_bytes())
    return f"{digest.hexdigest()[:16]}-v{mapping_version}"
