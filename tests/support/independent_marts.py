"""Every mart computed a second time: by DuckDB, from the shop's rows and their history, by SQL written by hand.

The queries in `independent/` are written from the definitions, not from the dbt models; nothing of the warehouse is
read. What both sides must agree on beforehand is what the project declares once: the assumed cost ratios.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import yaml

from slackwater.entities.model import changelog_schema, load_entity
from slackwater.naming import ENTITIES
from slackwater.settings import ProjectSettings

Row = tuple[object, ...]

QUERIES = Path(__file__).resolve().parent / "independent"
DEFINITIONS = "_definitions"
WITH_HISTORY = ("products", "orders", "order_items")

PREDICTIONS = pa.schema(
    [
        ("customer_id", pa.int64()),
        ("cutoff_date", pa.date32()),
        ("expected", pa.decimal128(18, 2)),
        ("held_out", pa.decimal128(18, 2)),
    ]
)


@dataclass(frozen=True)
class Facts:
    """What the shop knows.

    Attributes:
        rows: Per entity its rows as they are.
        history: Per entity of `WITH_HISTORY` its changes: `op` (c, u, d), `event_time`, `seq` (their order), columns.
        as_of: The moment clock-dependent numbers count from, naive UTC.
        predictions: Of a fit, if there is a valid one: what was expected of every customer who had bought, and before.
    """

    rows: Mapping[str, pa.Table]
    history: Mapping[str, pa.Table]
    as_of: datetime
    predictions: pa.Table = field(default_factory=lambda: PREDICTIONS.empty_table())


@dataclass(frozen=True)
class Differences:
    """Some rows of a mart that only one side has; none are left when both are the same."""

    rows: int
    unexpected: list[Row]
    missing: list[Row]

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same rows."""
        return not self.unexpected and not self.missing


def table_of(entity: str, rows: Iterable[Mapping[str, object]], *, is_history: bool = False) -> pa.Table:
    """Return rows as a table of the entity's columns, with those of a history when it is one."""
    return pa.Table.from_pylist(list(rows), schema=_schema(entity, is_history=is_history))


def table_of_tuples(entity: str, rows: Sequence[Row], *, is_history: bool = False) -> pa.Table:
    """Return rows, given as tuples in the order of `columns_of`, as a table."""
    schema = _schema(entity, is_history=is_history)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


def columns_of(entity: str, *, is_history: bool = False) -> list[str]:
    """Return the names of the columns of an entity's table, or of its history's."""
    return list(_schema(entity, is_history=is_history).names)


def _schema(entity: str, *, is_history: bool) -> pa.Schema:
    declared = load_entity(entity)
    types = changelog_schema(declared)
    fields = [types.field(name).with_nullable(True) for name in declared.column_names]
    if is_history:
        extra = [("op", pa.string()), ("event_time", pa.timestamp("us")), ("seq", pa.int64())]
        fields = [*(pa.field(name, kind) for name, kind in extra), *fields]
    return pa.schema(fields)


def mart_names() -> list[str]:
    """Return the marts there is a query for."""
    return sorted(path.stem for path in QUERIES.glob("*.sql") if path.stem != DEFINITIONS)


def compute_marts(facts: Facts) -> dict[str, Counter[Row]]:
    """Return the rows every mart must have, with numbers made comparable; order does not matter."""
    with _defined(facts) as connection:
        return {mart: Counter(map(comparable, connection.execute(_query(mart)).fetchall())) for mart in mart_names()}


def compare_marts(facts: Facts, read: Callable[[str], Iterable[pa.Table]]) -> dict[str, Differences]:
    """Compare every mart with what the facts make of it, inside DuckDB: a year's lines do not fit into Python's lists.

    Args:
        facts: What the shop knows.
        read: Gives a mart's rows, its columns in the order of its contract, in pieces.
    """
    found = {}
    with _defined(facts) as connection:
        for mart in mart_names():
            connection.execute(f"create table wanted as {_named(connection, _query(mart))}")
            connection.execute("create table got as select * from wanted limit 0")
            for piece in read(mart):
                if any(pa.types.is_floating(kind) for kind in piece.schema.types):
                    raise TypeError(f"{mart} holds a float: {piece.schema}")
                connection.register("piece", piece)
                connection.execute("insert into got select * from piece")
            rows = connection.execute("select count(*) from wanted").fetchall()[0][0]
            sides = [
                connection.execute(f"select * from {one} except all select * from {other} limit 5").fetchall()
                for one, other in (("got", "wanted"), ("wanted", "got"))
            ]
            found[mart] = Differences(rows, *sides)
            connection.execute("drop table wanted")
            connection.execute("drop table got")
    return found


def _named(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Give the columns of a query names of their own: the hand-written ones name only what they must."""
    count = len(connection.execute(f"describe {query}").fetchall())
    return f"select * from ({query}) as rows ({', '.join(f'c{number}' for number in range(count))})"


def _query(mart: str) -> str:
    return (QUERIES / f"{mart}.sql").read_text(encoding="utf-8")


@contextmanager
def _defined(facts: Facts) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database that holds the facts and the shared definitions."""
    with duckdb.connect(config={"threads": 2}) as connection:
        for entity in ENTITIES:
            connection.register(f"given_{entity}", facts.rows[entity])
            connection.execute(f"create table {entity} as select * from given_{entity}")
        for entity in WITH_HISTORY:
            connection.register(f"given_{entity}_history", facts.history[entity])
            connection.execute(f"create table {entity}_history as select * from given_{entity}_history")
        connection.register("given_predictions", facts.predictions)
        connection.execute("create table predictions as select * from given_predictions")
        connection.execute("create table clock as select ?::timestamp as as_of", [facts.as_of])
        connection.execute("create table cost_ratios (category varchar, ratio decimal(5, 2))")
        connection.executemany("insert into cost_ratios values (?, ?)", _cost_ratios())
        connection.execute(_query(DEFINITIONS))
        yield connection


def comparable(row: Iterable[object]) -> Row:
    """Return a row whose numbers are exact and equal across drivers; a float is a fault."""
    return tuple(_exact(value) for value in row)


def _exact(value: object) -> object:
    if isinstance(value, float):
        raise TypeError(f"a float: {value}")
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _cost_ratios() -> list[tuple[str | None, str]]:
    text = (ProjectSettings().dbt_dir / "dbt_project.yml").read_text(encoding="utf-8")
    declared = yaml.safe_load(text)["vars"]
    named = [(name, str(ratio)) for name, ratio in declared["cost_ratios"].items()]
    return [*named, (None, str(declared["cost_ratio_of_other_categories"]))]
