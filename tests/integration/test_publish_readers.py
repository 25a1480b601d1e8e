"""A reader in a loop while all marts are published a hundred times: one statement sees one publication.

What the emulator cannot prove is in docs/verified.md: DuckDB gives a snapshot to every statement, where Snowflake is
READ COMMITTED per statement. What is proved is that the publication is one transaction over every mart.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from slackwater.clients.snowflake import Scalar, Warehouse, quote_identifier
from slackwater.naming import MART_SET
from slackwater.settings import WarehouseSettings
from slackwater.warehouse.marts import Mart, load_marts
from slackwater.warehouse.publish import publication_id_of, write_publication
from slackwater.warehouse.refresh import Refresh

pytestmark = pytest.mark.integration

PUBLICATIONS = 100
PAUSE_SECONDS = 0.02
"""Between two readings: without it the reader has half of the warehouse to itself."""

ROWS = 3
MARTS = tuple(replace(mart, impact={}) for mart in load_marts())  # its candidates change without a refresh that knows
FIRST_DAY = date(2010, 12, 1)

ONE_STATEMENT = (
    "select count(distinct publication_id), min(publication_id), count(*) from ("
    + " union all ".join(f"select publication_id from {mart.published_table}" for mart in MARTS)
    + " union all select publication_id from MARTS.PUBLICATION_CURRENT) as seen"
)


def _value(data_type: str, number: int) -> Scalar:
    """Return a value of a type; different numbers give different values, as far as the type has them."""
    kind = data_type.split("(")[0].lower()
    values: dict[str, Scalar] = {
        "date": FIRST_DAY + timedelta(days=number),
        "boolean": number % 2 == 0,
        "varchar": f"v{number}",
        "timestamp_ntz": datetime.combine(FIRST_DAY, datetime.min.time()) + timedelta(days=number),
    }
    return values.get(kind, Decimal(number % 1_000))


def _fill_candidate(warehouse: Warehouse, mart: Mart) -> None:
    columns = ", ".join(quote_identifier(name) for name in mart.column_names)
    row = f"({', '.join('?' for _ in mart.columns)})"
    warehouse.execute(
        f"insert into {mart.candidate_table} ({columns}) values {', '.join([row] * ROWS)}",
        [_value(kind, number) for number in range(ROWS) for _, kind in mart.columns],
    )


def _change_candidate(warehouse: Warehouse, mart: Mart, version: int) -> None:
    """Give every row of a mart another value, so that the publication writes all of them."""
    name, kind = next(column for column in reversed(mart.columns) if column[0] not in mart.key)
    warehouse.execute(f"update {mart.candidate_table} set {quote_identifier(name)} = ?", [_value(kind, version)])


def _publish(warehouse: Warehouse, version: int) -> None:
    for mart in MARTS:
        _change_candidate(warehouse, mart, version)
    refresh_id = f"r{version:04d}"
    warehouse.execute(
        "insert into OPS.REFRESH (refresh_id, refresh_seq, mart_set, started_at) select ?, ?, ?, sysdate()",
        (refresh_id, version + 1, MART_SET),
    )
    write_publication(warehouse, Refresh(refresh_id, MART_SET, {}, None, (), {}), marts=MARTS)


@dataclass
class Reader:
    """Reads all marts by one statement, again and again, in a session of its own."""

    settings: WarehouseSettings
    seen: list[tuple[int, str, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with Warehouse(self.settings, query_tag="reader") as warehouse:
                while not self.stop.is_set():
                    [(distinct, publication_id, rows)] = warehouse.query(ONE_STATEMENT)
                    self.seen.append((int(str(distinct)), str(publication_id), int(str(rows))))
                    self.stop.wait(PAUSE_SECONDS)
        except BaseException as exc:  # noqa: BLE001 - told by the test
            self.error = exc


@pytest.fixture
def warehouse(sandbox) -> Iterator[Warehouse]:
    with Warehouse(sandbox.warehouse) as opened:
        for mart in MARTS:
            columns = ", ".join(f"{quote_identifier(name)} {data_type}" for name, data_type in mart.columns)
            opened.execute(f"create table {mart.candidate_table} ({columns})")
            _fill_candidate(opened, mart)
        yield opened


def test_one_statement_over_all_marts_sees_one_publication_while_a_hundred_are_made(warehouse, sandbox):
    _publish(warehouse, 0)
    reader = Reader(sandbox.warehouse)
    thread = threading.Thread(target=reader.run)
    thread.start()
    try:
        for version in range(1, PUBLICATIONS + 1):
            _publish(warehouse, version)
    finally:
        reader.stop.set()
        thread.join()

    assert reader.error is None
    torn = [read for read in reader.seen if (read[0], read[2]) != (1, ROWS * len(MARTS) + 1)]
    assert torn == []
    order = list(dict.fromkeys(publication_id for _, publication_id, _ in reader.seen))
    assert order == sorted(order)
    assert len(order) > PUBLICATIONS / 4, "the reader was hardly there while publishing"
    assert warehouse.query(ONE_STATEMENT) == [(1, publication_id_of(f"r{PUBLICATIONS:04d}"), ROWS * len(MARTS) + 1)]
