"""Refreshes in the ledger: when one is due, the frozen set, its end. Over an open transaction.

Flag and lease of a mart set are in `work`. A refresh left open by a dead holder is continued by the next one with the
same frozen set, never started anew: its impact was computed for that set and its publication may be committed already.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from slackwater.clients.postgres import Connection
from slackwater.errors import IllegalTransition
from slackwater.ledger import work
from slackwater.ledger.frontier import advance_floors
from slackwater.ledger.journal import Change, Detail, record
from slackwater.ledger.model import LedgerRefresh, RefreshState, Subject, WorkLease

_UNPUBLISHED = "select b.batch_id from ledger.batch b where b.state = 'loaded' and b.published_in is null"
"""There is one set of marts (`naming.MART_SET`): what it published is published."""

_LAST_IF_REJECTED = """
select refresh_id from (
    select refresh_id, state from ledger.refresh where mart_set = %(mart_set)s order by started_at desc limit 1) last
where state = 'rejected'
"""


def is_due(connection: Connection, mart_set: str) -> bool:
    """Say whether a refresh is open or would have something new to publish."""
    if _open_refresh(connection, mart_set) is not None:
        return True
    batch_ids = {row[0] for row in connection.execute(_UNPUBLISHED).fetchall()}
    return bool(batch_ids - _rejected_set(connection, mart_set))


def start(
    connection: Connection,
    lease: WorkLease,
    *,
    bounds: Mapping[str, int],
    as_of: datetime | None,
    is_forced: bool = False,
) -> LedgerRefresh | None:
    """Freeze the set of a new refresh, or continue the one a dead holder left open.

    Args:
        connection: Open transaction.
        lease: The mart set's lease.
        bounds: Per entity the greatest `load_seq` to include; an entity without one contributes nothing.
        as_of: The refresh's only "now" (UTC).
        is_forced: Start even when the set is the one that was rejected last.

    Returns:
        The refresh; None when there is nothing unpublished, or nothing the last rejected refresh did not hold.

    Raises:
        LeaseLost: Somebody else holds the lease now.
    """
    work.require_lease(connection, lease)
    left_open = _open_refresh(connection, lease.work)
    if left_open is not None:
        return left_open
    rows = connection.execute(
        _UNPUBLISHED + " and b.load_seq <= (%(bounds)s::jsonb ->> b.entity)::bigint order by b.batch_id",
        {"bounds": Jsonb(dict(bounds))},
    ).fetchall()
    batch_ids = tuple(row[0] for row in rows)
    rejected = set() if is_forced else _rejected_set(connection, lease.work)
    if not set(batch_ids) - rejected:
        return None
    refresh_id = uuid4().hex
    naive_as_of = as_of.astimezone(UTC).replace(tzinfo=None) if as_of is not None and as_of.tzinfo else as_of
    connection.execute(
        "insert into ledger.refresh (refresh_id, mart_set, state, bounds, as_of) values (%s, %s, 'building', %s, %s)",
        (refresh_id, lease.work, Jsonb(dict(bounds)), naive_as_of),
    )
    connection.execute(
        "insert into ledger.refresh_batch (refresh_id, batch_id) select %s, unnest(%s::text[])",
        (refresh_id, list(batch_ids)),
    )
    detail: Detail = {"batches": len(batch_ids), "mart_set": lease.work}
    change = Change(Subject.REFRESH, refresh_id, None, RefreshState.BUILDING, detail)
    record(connection, [change], actor=lease.actor)
    return LedgerRefresh(refresh_id, lease.work, RefreshState.BUILDING, dict(bounds), naive_as_of, batch_ids)


def mark(
    connection: Connection,
    lease: WorkLease,
    refresh_id: str,
    *,
    to_state: RefreshState,
    publication_id: str | None = None,
    reasons: Sequence[str] = (),
    report: str | None = None,
) -> None:
    """Move a refresh on; marking the state it is in, or `tested` after its end, does nothing (a repeated step).

    Raises:
        LeaseLost: Somebody else holds the lease now.
        IllegalTransition: The model does not allow it.
    """
    work.require_lease(connection, lease)
    row = connection.execute(
        "select state from ledger.refresh where refresh_id = %s for update", (refresh_id,)
    ).fetchone()
    if row is None:
        raise IllegalTransition(f"refresh {refresh_id} is not in the ledger")
    has_ended = row[0] in {RefreshState.PUBLISHED, RefreshState.REJECTED}
    if row[0] == to_state or (has_ended and to_state == RefreshState.TESTED):
        return
    detail: Detail = {"publication_id": publication_id, "report": report, "reasons": "; ".join(reasons) or None}
    record(connection, [Change(Subject.REFRESH, refresh_id, row[0], to_state, detail)], actor=lease.actor)
    time_column = "tested_at" if to_state == RefreshState.TESTED else "ended_at"
    connection.execute(
        f"update ledger.refresh set state = %s, publication_id = %s, reasons = %s,"
        f" report = coalesce(%s, report), {time_column} = clock_timestamp() where refresh_id = %s",
        (to_state, publication_id, Jsonb(list(reasons)), report, refresh_id),
    )
    if to_state == RefreshState.PUBLISHED:
        note_published(connection, [refresh_id])


def note_published(connection: Connection, refresh_ids: Sequence[str]) -> None:
    """Tell the batches of published refreshes, and note how far their partitions are settled now."""
    connection.execute(
        "update ledger.batch b set published_in = m.refresh_id from ledger.refresh_batch m"
        " where m.refresh_id = any(%s) and b.batch_id = m.batch_id and b.published_in is null",
        (list(refresh_ids),),
    )
    advance_floors(connection)


def refresh(connection: Connection, refresh_id: str) -> LedgerRefresh | None:
    """Read a refresh with its frozen set; None when there is none."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "select refresh_id, mart_set, state, bounds, as_of, publication_id, reasons, report,"
            " array(select batch_id from ledger.refresh_batch m"
            "  where m.refresh_id = r.refresh_id order by 1) as batch_ids"
            " from ledger.refresh r where refresh_id = %s",
            (refresh_id,),
        ).fetchone()
    if row is None:
        return None
    state, batch_ids, reasons = RefreshState(row["state"]), tuple(row["batch_ids"]), tuple(row["reasons"])
    return LedgerRefresh(**{**row, "state": state, "batch_ids": batch_ids, "reasons": reasons})


def _open_refresh(connection: Connection, mart_set: str) -> LedgerRefresh | None:
    row = connection.execute(
        "select refresh_id from ledger.refresh where mart_set = %s and state in ('building', 'tested')", (mart_set,)
    ).fetchone()
    found = refresh(connection, row[0]) if row else None
    return LedgerRefresh(**{**vars(found), "is_resumed": True}) if found else None


def _rejected_set(connection: Connection, mart_set: str) -> set[str]:
    row = connection.execute(_LAST_IF_REJECTED, {"mart_set": mart_set}).fetchone()
    if row is None:
        return set()
    found = connection.execute("select batch_id from ledger.refresh_batch where refresh_id = %s", (row[0],)).fetchall()
    return {item[0] for item in found}
