"""Which batches' events are to be sent, and which were. Functions over an open transaction.

An event is numbered per batch and never sent under a number twice: the bus drops an id it has seen. `emitted_at` null
means "due at once": it was never sent, or the batch was opened or driven again since.
"""

from dataclasses import dataclass

from psycopg.rows import class_row

from slackwater.clients.postgres import Connection


@dataclass(frozen=True)
class DueBatch:
    """A batch whose event is to be sent (again); `emission` numbers the event, from 1."""

    batch_id: str
    entity: str
    object_count: int
    emission: int
    is_first: bool


def due_batches(connection: Connection, *, grace_seconds: float, is_first_only: bool = False) -> list[DueBatch]:
    """Return the unloaded batches whose event is to be sent.

    A batch is due when its event was never sent; when its holder died (the lease ran out after the last event); or when
    nobody holds it and nothing happened for the grace, which doubles with every event sent, up to 16 times.

    Args:
        connection: Open transaction.
        grace_seconds: How long a sent event is trusted.
        is_first_only: Only those whose event was never sent.
    """
    with connection.cursor(row_factory=class_row(DueBatch)) as cursor:
        cursor.execute(
            "select batch_id, entity, object_count, emissions + 1 as emission, emissions = 0 as is_first"
            " from ledger.batch where state <> 'loaded' and (emitted_at is null or not %(first_only)s) and ("
            " (emitted_at is null and lease_owner is null)"
            " or (leased_until < clock_timestamp() and coalesce(emitted_at <= leased_until, true))"
            " or ((leased_until is null or leased_until < clock_timestamp())"
            "  and greatest(emitted_at, touched_at) < clock_timestamp()"
            "   - make_interval(secs => %(grace)s * power(2, least(greatest(emissions - 1, 0), 4)))))"
            " order by sealed_at, batch_id",
            {"first_only": is_first_only, "grace": grace_seconds},
        )
        return cursor.fetchall()


def mark_emitted(connection: Connection, batch_id: str, *, emission: int) -> bool:
    """Note that an event was sent; False when another process noted the same one before."""
    changed = connection.execute(
        "update ledger.batch set emissions = %s, emitted_at = clock_timestamp()"
        " where batch_id = %s and emissions = %s - 1",
        (emission, batch_id, emission),
    )
    return changed.rowcount == 1
