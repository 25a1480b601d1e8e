"""Builders of invoice lines for tests of the replay: say only what matters, the rest has a plain default."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pyarrow as pa

from slackwater.replay.sample import InvoiceLines, lines_from_table

SAMPLE_SCHEMA = pa.schema(
    [
        ("invoice_no", pa.string()),
        ("stock_code", pa.string()),
        ("description", pa.string()),
        ("quantity", pa.int32()),
        ("invoice_at", pa.timestamp("us")),
        ("unit_price", pa.decimal128(10, 3)),
        ("customer_id", pa.int32()),
        ("country", pa.string()),
    ]
)


@dataclass(frozen=True)
class Line:
    """One invoice line; `at` is `YYYY-MM-DD HH:MM`, `price` a decimal number."""

    invoice: str = "500001"
    code: str = "20001"
    quantity: int = 1
    price: str = "1.00"
    at: str = "2010-12-01 09:00"
    customer: int | None = 17001
    description: str | None = "RED MUG"
    country: str = "United Kingdom"


def sample_table(*lines: Line) -> pa.Table:
    """Return lines as a table of the sample's shape."""
    rows = [
        (
            line.invoice,
            line.code,
            line.description,
            line.quantity,
            datetime.fromisoformat(line.at),
            Decimal(line.price),
            line.customer,
            line.country,
        )
        for line in lines
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in SAMPLE_SCHEMA]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SAMPLE_SCHEMA, strict=True)], schema=SAMPLE_SCHEMA)


def invoice_lines(*lines: Line) -> InvoiceLines:
    """Return lines as the mapping takes them."""
    return lines_from_table(sample_table(*lines))
