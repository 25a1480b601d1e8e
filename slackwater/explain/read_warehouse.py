"""Reads rows of one key, object or batch from raw, and what the warehouse says of its own work.

One statement per kind, whatever the number of ids: a round trip to Snowflake costs more than the rows.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from slackwater.clients.snowflake import Row, Scalar, Warehouse, quote_identifier
from slackwater.entities.model import Entity, load_entity
from slackwater.errors import TerminalError
from slackwater.explain.facts import DAILY_MART, ChangeRow, DayPart, DayRow, MartDay, RawPart, utc
from slackwater.explain.work_facts import BadCheck, CheckFacts, LoadFacts, PublicationFacts
from slackwater.naming import ENTITIES, SCHEMA_STAGING, raw_table
from slackwater.warehouse.impact import base_table
from slackwater.warehouse.marts import PUBLICATION_COLUMN, Mart, load_marts

_PLACE = (
    "__op, __source_lsn, _epoch, _object_id, _source_partition, _position, __source_ts_ms, __ts_ms, loaded_at,"
    " batch_id, file_name, load_seq"
)

_ORDERS_OF: dict[str, str] = {
    "orders": "select id from ({keys}) as touched",
    "order_items": "select order_id from RAW.ORDER_ITEMS where id in ({keys})",
    "users": "select id from RAW.ORDERS where user_id in ({keys})",
    "products": "select order_id from RAW.ORDER_ITEMS where product_id in ({keys})",
}
"""The orders that keys of an entity belong to, before or after any change."""


def raw_versions(warehouse: Warehouse, entity: str, key: int) -> tuple[ChangeRow, ...]:
    """Return every row of a key in raw."""
    declared = load_entity(entity)
    names = [name for name in declared.column_names if name != declared.key]
    listed = ", ".join(quote_identifier(name) for name in names)
    rows = warehouse.query(f"select {_PLACE}, {listed} from {_raw(entity)} where {declared.key} = ?", (key,))
    return tuple(_change_row(row, names) for row in rows)


def raw_part(warehouse: Warehouse, entity: str, *, column: str, value: str) -> RawPart | None:
    """Summarise the rows of an object (`_object_id`) or a batch (`batch_id`) in raw; None without rows."""
    row = warehouse.query(
        "select count(*), min(__source_lsn), max(__source_lsn), min(__source_ts_ms), max(__source_ts_ms)"
        f" from {_raw(entity)} where {quote_identifier(column)} = ?",
        (value,),
    )[0]
    if not row[0]:
        return None
    return RawPart(_int(row[0]), _int(row[1]), _int(row[2]), utc(row[3]), utc(row[4]))


def load_history(warehouse: Warehouse, batch_ids: Sequence[str]) -> dict[str, LoadFacts]:
    """Return the load history of batches; those never loaded are left out."""
    if not batch_ids:
        return {}
    rows = warehouse.query(
        "select batch_id, load_seq, rows_loaded, attempt, loaded_at, actor, query_id from OPS.LOAD_HISTORY"
        f" where batch_id in ({_marks(batch_ids)})",
        tuple(batch_ids),
    )
    return {
        str(row[0]): LoadFacts(
            _int(row[1]), _int(row[2]), _int(row[3]), utc(row[4]), str(row[5]), None if row[6] is None else str(row[6])
        )
        for row in rows
    }


def check_results(warehouse: Warehouse, refresh_ids: Sequence[str]) -> dict[str, CheckFacts]:
    """Return the gate's results of refreshes: counts per outcome, and every check that did not pass."""
    if not refresh_ids:
        return {}
    rows = warehouse.query(
        "select refresh_id, outcome, count(*), max(checked_at) from OPS.CHECK_RESULTS"
        f" where refresh_id in ({_marks(refresh_ids)}) group by refresh_id, outcome",
        tuple(refresh_ids),
    )
    bad = _bad_checks(warehouse, refresh_ids) if any(row[1] != "passed" for row in rows) else {}
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        counts[str(row[0])][str(row[1])] = _int(row[2])
    times = [(str(row[0]), at) for row in rows if (at := utc(row[3])) is not None]
    return {
        refresh_id: CheckFacts(
            counts=dict(found),
            checked_at=max((at for owner, at in times if owner == refresh_id), default=None),
            bad=tuple(bad.get(refresh_id, ())),
        )
        for refresh_id, found in counts.items()
    }


def publications(warehouse: Warehouse, refresh_ids: Sequence[str]) -> dict[str, PublicationFacts]:
    """Return the publications of refreshes by refresh id; those not published are left out."""
    if not refresh_ids:
        return {}
    rows = warehouse.query(
        "select publication_id, publication_seq, refresh_id, rows_deleted, rows_inserted, published_at"
        f" from MARTS.PUBLICATION where refresh_id in ({_marks(refresh_ids)})",
        tuple(refresh_ids),
    )
    return {
        str(row[2]): PublicationFacts(str(row[0]), _int(row[1]), str(row[2]), _int(row[3]), _int(row[4]), utc(row[5]))
        for row in rows
    }


def touched_days(warehouse: Warehouse, entity: str, *, column: str, values: Sequence[Scalar]) -> tuple[MartDay, ...]:
    """Return the days of the daily mart that rows of raw reach, by any of their versions, oldest first.

    Args:
        warehouse: Session.
        entity: The rows' entity.
        column: What chooses the rows: the key, `_object_id` or `batch_id`.
        values: Wanted values of the column.
    """
    keys = f"select id from {_raw(entity)} where {quote_identifier(column)} in ({_marks(values)})"
    rows = warehouse.query(
        f"with touched as (select distinct created_at::date as day from RAW.ORDERS where created_at is not null"
        f" and id in ({_ORDERS_OF[entity].format(keys=keys)}))"
        " select touched.day, shown.publication_id, published.published_at from touched"
        f" left join MARTS.{DAILY_MART} as shown on shown.date = touched.day"
        " left join MARTS.PUBLICATION as published on published.publication_id = shown.publication_id"
        " order by touched.day",
        tuple(values),
    )
    return tuple(MartDay(_date(row[0]), None if row[1] is None else str(row[1]), utc(row[2])) for row in rows)


def day_row(warehouse: Warehouse, day: date) -> DayRow | None:
    """Return the published row of a day, None when there is none."""
    mart = daily_mart()
    listed = ", ".join(quote_identifier(name) for name in (PUBLICATION_COLUMN, *mart.column_names))
    rows = warehouse.query(f"select {listed} from {mart.published_table} where date = ?", (day,))
    if not rows:
        return None
    return DayRow(day, str(rows[0][0]), tuple(zip(mart.column_names, rows[0][1:], strict=True)))


def day_parts(warehouse: Warehouse, day: date) -> tuple[DayPart, ...]:
    """Return the newest versions that make up a day, per entity and object, as the last refresh built them."""
    if not is_built(warehouse):
        return ()
    chosen = {
        "orders": "created_at::date = ?",
        "order_items": f"order_id in ({_ORDERS_OF_DAY})",
        "users": f"id in (select user_id from {base_table('orders')} where __op <> 'd' and created_at::date = ?)",
        "products": f"id in (select product_id from {base_table('order_items')} where __op <> 'd'"
        f" and order_id in ({_ORDERS_OF_DAY}))",
    }
    union = " union all ".join(
        f"select '{entity}' as entity, batch_id, _object_id, file_name, count(*) as row_count"
        f" from {base_table(entity)} where __op <> 'd' and {where} group by batch_id, _object_id, file_name"
        for entity, where in chosen.items()
    )
    rows = warehouse.query(f"select * from ({union}) as parts order by entity, file_name", (day,) * len(chosen))
    return tuple(DayPart(str(row[0]), str(row[1]), str(row[2]), str(row[3]), _int(row[4])) for row in rows)


def publication_refresh(warehouse: Warehouse, publication_id: str) -> str | None:
    """Return the refresh that a publication published, None when there is no such publication."""
    found = warehouse.scalar("select refresh_id from MARTS.PUBLICATION where publication_id = ?", (publication_id,))
    return None if found is None else str(found)


def is_built(warehouse: Warehouse) -> bool:
    """Say whether dbt has built every `base_` table."""
    rows = warehouse.query("select table_name from information_schema.tables where table_schema = ?", (SCHEMA_STAGING,))
    names = {str(name).lower() for (name,) in rows}
    return all(f"base_{entity}" in names for entity in ENTITIES)


def daily_mart() -> Mart:
    """Return the mart that has one row per day."""
    return next(mart for mart in load_marts() if mart.name == DAILY_MART)


_ORDERS_OF_DAY = f"select id from {base_table('orders')} where __op <> 'd' and created_at::date = ?"


def _bad_checks(warehouse: Warehouse, refresh_ids: Sequence[str]) -> dict[str, list[BadCheck]]:
    rows = warehouse.query(
        "select refresh_id, check_name, dataset, outcome, message, failing_keys, files from OPS.CHECK_RESULTS"
        f" where outcome <> 'passed' and refresh_id in ({_marks(refresh_ids)}) order by outcome, dataset, check_name",
        tuple(refresh_ids),
    )
    bad: dict[str, list[BadCheck]] = defaultdict(list)
    for row in rows:
        refresh_id, name, dataset, outcome, message = (str(value or "") for value in row[:5])
        bad[refresh_id].append(BadCheck(name, dataset, outcome, message, _texts(row[5]), _texts(row[6])))
    return bad


def _change_row(row: Row, names: Sequence[str]) -> ChangeRow:
    event_at = utc(row[6])
    if event_at is None:
        raise TerminalError(f"__source_ts_ms came back as {type(row[6]).__name__}, expected a timestamp")
    return ChangeRow(
        op=str(row[0]),
        lsn=_int(row[1]),
        epoch=_int(row[2]),
        object_id=str(row[3]),
        source_partition=str(row[4]),
        position=_int(row[5]),
        event_at=event_at,
        captured_at=utc(row[7]),
        values=dict(zip(names, row[12:], strict=True)),
        stored_at=utc(row[8]),
        batch_id=str(row[9]),
        file_name=str(row[10]),
        load_seq=_int(row[11]),
    )


def _raw(entity: str) -> str:
    declared: Entity = load_entity(entity)
    return quote_identifier(raw_table(declared.name))


def _marks(values: Sequence[Scalar]) -> str:
    return ", ".join("?" for _ in values)


def _texts(value: Scalar) -> tuple[str, ...]:
    return tuple(str(item) for item in json.loads(str(value))) if value else ()


def _int(value: Scalar) -> int:
    if isinstance(value, int | Decimal):
        return int(value)
    raise TerminalError(f"a number was expected, the warehouse returned {value!r}")


def _date(value: Scalar) -> date:
    if isinstance(value, date):
        return value
    raise TerminalError(f"a date was expected, the warehouse returned {value!r}")
