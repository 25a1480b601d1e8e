"""How many rows of which event day each object holds. Exact, written when a batch lands; over an open transaction.

An object version never changes, so neither do its rows per day: writing them again changes nothing.
"""

from collections.abc import Mapping
from datetime import date

from slackwater.clients.postgres import Connection

ObjectDays = Mapping[str, Mapping[date, int]]
"""Rows per event day (UTC date of `__source_ts_ms`), per object id; objects without rows are left out."""


def write(connection: Connection, days: ObjectDays) -> int:
    """Write the rows per day of objects the ledger knows, and return how many pairs of object and day there are."""
    flat = [(object_id, day, count) for object_id, found in days.items() for day, count in found.items()]
    if flat:
        connection.execute(
            "insert into ledger.object_day (object_id, day, row_count)"
            " select * from unnest(%s::text[], %s::date[], %s::bigint[])"
            " on conflict (object_id, day) do update set row_count = excluded.row_count",
            [list(column) for column in zip(*flat, strict=True)],
        )
    return len(flat)


def unknown_objects(connection: Connection) -> dict[str, frozenset[str]]:
    """Return per entity the objects of landed batches whose rows per day were never written.

    Batches landed by an earlier version of the software, or restored without them.
    """
    rows = connection.execute(
        "select b.entity, array_agg(o.object_id) from ledger.batch b"
        " join ledger.batch_object m using (batch_id) join ledger.object o using (object_id)"
        " where b.state in ('landed', 'loaded') and b.row_count > 0 and not m.is_skipped"
        "  and o.last_position >= o.first_position"
        "  and not exists (select 1 from ledger.object_day d where d.object_id = o.object_id) group by 1"
    ).fetchall()
    return {entity: frozenset(object_ids) for entity, object_ids in rows}
