"""What the sweep remembers: which day folders of the landing prefix brought something lately, and when it listed all.

Functions over an open transaction; time is the database's clock. Losing any of it costs a longer listing, never an
object: a folder that is not known is listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from slackwater.clients.postgres import Connection

RECENT = "recent"
FULL = "full"


@dataclass(frozen=True)
class SweepStart:
    """When a sweep began, and whether the last full one is too long ago."""

    started_at: datetime
    is_full_due: bool


def note_new(connection: Connection, places: Sequence[tuple[str, str]]) -> None:
    """Note that objects first seen now lie in folders, given as bucket and folder."""
    if places:
        connection.execute(
            "insert into ledger.landing_folder (bucket, folder)"
            " select * from unnest(%s::text[], %s::text[]) on conflict (bucket, folder)"
            " do update set newest_at = clock_timestamp()",
            ([bucket for bucket, _ in places], [folder for _, folder in places]),
        )


def note_listed(connection: Connection, bucket: str, folders: Sequence[str]) -> None:
    """Note folders a sweep has listed to their end, so that they are known; those that are known stay as they are."""
    connection.execute(
        "insert into ledger.landing_folder (bucket, folder) select %s, unnest(%s::text[]) on conflict do nothing",
        (bucket, list(folders)),
    )


def known(connection: Connection, bucket: str, *, recent_hours: float) -> dict[str, bool]:
    """Return every folder of a bucket the ledger knows, and whether something new came to it within the hours."""
    rows = connection.execute(
        "select folder, newest_at > clock_timestamp() - make_interval(secs => %s) from ledger.landing_folder"
        " where bucket = %s",
        (recent_hours * 3_600, bucket),
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def begin_sweep(connection: Connection, *, full_hours: float) -> SweepStart:
    """Look at the clock, and whether no full sweep began within the hours."""
    row = connection.execute(
        "select clock_timestamp(), not exists (select 1 from ledger.sweep where kind = 'full'"
        " and started_at > clock_timestamp() - make_interval(secs => %s))",
        (full_hours * 3_600,),
    ).fetchone()
    if row is None:
        raise AssertionError("a select without a from clause returns a row")
    return SweepStart(row[0], row[1])


def require_full_sweep(connection: Connection) -> None:
    """Have the next sweep list everything: events were, or may have been, lost."""
    connection.execute("delete from ledger.sweep where kind = 'full'")


def record_sweep(
    connection: Connection,
    start: SweepStart,
    *,
    kind: str,
    prefixes: int,
    listed_objects: int,
    recorded_objects: int,
    actor: str,
) -> None:
    """Record a sweep that listed everything it meant to."""
    connection.execute(
        "insert into ledger.sweep (kind, prefixes, listed_objects, recorded_objects, actor, started_at)"
        " values (%s, %s, %s, %s, %s, %s)",
        (kind, prefixes, listed_objects, recorded_objects, actor, start.started_at),
    )
