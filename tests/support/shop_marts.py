"""The marts of a running system, beside what DuckDB makes of its shop: both for `independent_marts.compare_marts`."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import pyarrow as pa
from independent_marts import (
    PREDICTIONS,
    WITH_HISTORY,
    Differences,
    Facts,
    Row,
    columns_of,
    compare_marts,
    table_of_tuples,
)
from world import World

from slackwater.clients.snowflake import Warehouse, quote_identifier
from slackwater.naming import ENTITIES
from slackwater.warehouse.marts import Mart, load_marts

CHUNK_KEYS = 100_000
HISTORY_NAMES = {"op": "operation", "seq": "history_id"}


def compare_with_shop(world: World) -> dict[str, Differences]:
    """Compare every published mart with the shop's own tables, as of the newest publication."""
    marts = {mart.name: mart for mart in load_marts()}
    with Warehouse(world.systems.warehouse, query_tag="test") as warehouse:
        return compare_marts(shop_facts(world), lambda name: _published(warehouse, marts[name]))


def shop_facts(world: World) -> Facts:
    """Read the shop's rows, their history, and the moment the newest publication counts from."""
    as_of = world.warehouse("select as_of from MARTS.PUBLICATION order by publication_seq desc limit 1")[0][0]
    assert isinstance(as_of, datetime)
    rows = {
        entity: table_of_tuples(entity, world.shop(f"select {', '.join(columns_of(entity))} from shop.{entity}"))
        for entity in ENTITIES
    }
    history = {}
    for entity in WITH_HISTORY:
        columns = ", ".join(HISTORY_NAMES.get(name, name) for name in columns_of(entity, is_history=True))
        found = world.shop(f"select {columns} from shop_history.{entity}")
        history[entity] = table_of_tuples(entity, found, is_history=True)
    return Facts(rows, history, as_of, spend_predictions(world.warehouse, as_of))


def spend_predictions(query: Callable[[str], Sequence[Row]], as_of: datetime) -> pa.Table:
    """Read what the newest fit predicted; none when it is older than a fit may be (14 days), or there is none."""
    fits = query("select fit_id, cutoff_date, known_until from OPS.LTV_FIT order by known_until desc, fitted_at desc")
    valid = [fit for fit in fits if 0 <= (as_of.date() - fit[2]).days <= 14]  # type: ignore[operator]
    if not valid:
        return PREDICTIONS.empty_table()
    fit_id, cutoff, _ = valid[0]
    rows = query(
        f"select customer_id, expected_spend, held_out_spend from OPS.LTV_PREDICTION where fit_id = '{fit_id}'"
    )
    named = [
        {"customer_id": key, "cutoff_date": cutoff, "expected": spend, "held_out": before}
        for key, spend, before in rows
    ]
    return pa.Table.from_pylist(named, schema=PREDICTIONS)


def _published(warehouse: Warehouse, mart: Mart) -> Iterator[pa.Table]:
    """Give a published mart's rows in pieces of its whole-number key, where it has one."""
    columns = ", ".join(quote_identifier(name) for name in mart.column_names)
    types = dict(mart.columns)
    key = next((name for name in mart.key if types[name].startswith("number")), None)
    bounds = [(None, None)]
    if key is not None:
        found = warehouse.query(f"select min({key}), max({key}) from {mart.published_table}")[0]
        if found[0] is not None:
            low, high = int(str(found[0])), int(str(found[1]))
            bounds = [(start, start + CHUNK_KEYS) for start in range(low, high + 1, CHUNK_KEYS)]  # type: ignore[misc]
    for low_key, high_key in bounds:
        piece = "" if low_key is None else f" where {key} >= {low_key} and {key} < {high_key}"
        names, rows = warehouse.select(f"select {columns} from {mart.published_table}{piece}")
        yield pa.table({name: pa.array([row[place] for row in rows]) for place, name in enumerate(names)})
