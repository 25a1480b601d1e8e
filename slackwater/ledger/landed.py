"""Which batches the ledger believes the lake holds. Over an open transaction; what the lake says is asked elsewhere."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from slackwater.clients.postgres import Connection


@dataclass(frozen=True)
class LandedBatch:
    """A batch that is landed or loaded and has rows.

    Attributes:
        row_count: Rows its append committed, > 0.
        landed_at: When the ledger was told.
    """

    batch_id: str
    entity: str
    state: str
    row_count: int
    landed_at: datetime


def landed_batches(connection: Connection, entity: str, *, since: datetime | None = None) -> tuple[LandedBatch, ...]:
    """Return an entity's landed and loaded batches with rows, oldest first; only those landed since a time if given.

    Batches of which rows were purged are left out: the lake need not hold them any more.
    """
    with connection.cursor(row_factory=class_row(LandedBatch)) as cursor:
        cursor.execute(
            "select batch_id, entity, state, row_count, landed_at from ledger.batch"
            " where entity = %(entity)s and state <> 'sealed' and row_count > 0"
            " and purged_at is null and (%(since)s::timestamptz is null or landed_at >= %(since)s)"
            " order by landed_at, batch_id",
            {"entity": entity, "since": since},
        )
        return tuple(cursor.fetchall())


def unknown_batches(connection: Connection, batch_ids: Collection[str]) -> set[str]:
    """Return which of these batches the ledger does not have at all."""
    rows = connection.execute(
        "select batch_id from ledger.batch where batch_id = any(%s)", (sorted(batch_ids),)
    ).fetchall()
    return set(batch_ids) - {row[0] for row in rows}
