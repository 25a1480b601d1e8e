"""What waits at the bridge's end of the ledger: objects without a batch, batches without a load.

Functions over an open transaction; every question reads waiting rows only, however many are done.
"""

from dataclasses import dataclass

from slackwater.clients.postgres import Connection
from slackwater.ledger.batches import unloaded_counts


@dataclass(frozen=True)
class Waiting:
    """Objects of an entity that wait for a batch."""

    objects: int
    oldest_seconds: float


@dataclass(frozen=True)
class Pending:
    """What waits, per entity; an entity without any is absent."""

    waiting: dict[str, Waiting]
    unloaded_batches: dict[str, int]


def has_room(connection: Connection, *, max_waiting_objects: int) -> bool:
    """Say whether fewer objects than the limit wait for a batch; asks for no more than the limit."""
    row = connection.execute(
        "select count(*) from (select 1 from ledger.object where state = 'seen' limit %s) w", (max_waiting_objects,)
    ).fetchone()
    return row is None or int(row[0]) < max_waiting_objects


def pending(connection: Connection) -> Pending:
    """Count what waits."""
    rows = connection.execute(
        "select entity, count(*), extract(epoch from clock_timestamp() - min(greatest(first_seen_at, changed_at)))"
        " from ledger.object where state = 'seen' group by 1"
    ).fetchall()
    return Pending({row[0]: Waiting(row[1], max(0.0, float(row[2]))) for row in rows}, unloaded_counts(connection))
