"""Writes a lost ledger anew from what the stores prove. One transaction: killed in the middle, nothing was written.

What is to be written is decided in `slackwater/recovery`; this module only knows the tables. It writes into an empty
ledger alone, so running it twice is refused, not doubled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain

from psycopg.types.json import Jsonb

from slackwater.clients.postgres import Connection
from slackwater.errors import ConfigurationError
from slackwater.ledger import object_days
from slackwater.ledger.journal import Change, Detail, record
from slackwater.ledger.model import BatchState, ObjectState, RefreshState, Subject
from slackwater.ledger.refreshes import note_published


@dataclass(frozen=True, slots=True)
class RestoredObject:
    """An object whose rows a store holds.

    Attributes:
        first_seen_at: The earliest time known of it.
        days: Rows per event day.
    """

    object_id: str
    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified: datetime | None
    entity: str
    source_partition: str
    first_position: int
    last_position: int
    epoch: int
    batch_id: str
    overwrites: str | None
    first_seen_at: datetime
    days: Mapping[date, int]


@dataclass(frozen=True)
class RestoredBatch:
    """A batch and the state its effects prove; see `Batch` for the fields.

    Attributes:
        doubled_ids: Objects whose rows it holds too although another batch owns them.
    """

    batch_id: str
    entity: str
    state: BatchState
    object_ids: tuple[str, ...]
    doubled_ids: tuple[str, ...]
    size_bytes: int
    row_count: int | None
    snapshot_id: int | None
    load_seq: int | None
    attempt: int
    sealed_at: datetime
    landed_at: datetime | None
    loaded_at: datetime | None


@dataclass(frozen=True)
class RestoredRefresh:
    """A published refresh and the batches it published first."""

    refresh_id: str
    mart_set: str
    bounds: Mapping[str, int]
    as_of: datetime | None
    publication_id: str
    started_at: datetime
    published_at: datetime
    batch_ids: tuple[str, ...]


@dataclass(frozen=True)
class LedgerContents:
    """All that is written.

    Attributes:
        flag_raises: Per mart set the number its refresh events go on from; above every number used before, since the
            event bus drops an id it has seen.
    """

    objects: tuple[RestoredObject, ...]
    batches: tuple[RestoredBatch, ...]
    refreshes: tuple[RestoredRefresh, ...]
    flag_raises: Mapping[str, int]


def restore(connection: Connection, contents: LedgerContents, *, actor: str) -> None:
    """Write everything into an empty ledger, every row with its transition.

    Raises:
        ConfigurationError: The ledger is not empty.
    """
    connection.execute("lock table ledger.object, ledger.batch, ledger.refresh in share row exclusive mode")
    require_empty(connection)
    _copy_objects(connection, contents.objects)
    _copy_batches(connection, contents.batches)
    object_days.write(connection, {item.object_id: item.days for item in contents.objects if item.days})
    _copy_refreshes(connection, contents.refreshes)
    for mart_set, raises in contents.flag_raises.items():
        connection.execute(
            "insert into ledger.work (work, raises) values (%s, %s)"
            " on conflict (work) do update set raises = greatest(ledger.work.raises, excluded.raises)",
            (mart_set, raises),
        )
    record(connection, _changes(contents), actor=actor)


def require_empty(connection: Connection) -> None:
    """Refuse a ledger that holds anything.

    Raises:
        ConfigurationError: It does; the message says what to do.
    """
    for table in ("object", "batch", "refresh"):
        row = connection.execute(f"select count(*) from ledger.{table}").fetchone()
        if row and row[0]:
            raise ConfigurationError(
                f"the ledger is not empty ({row[0]} rows in ledger.{table}): only an empty one is rebuilt. Compare it"
                " with `slackwater ledger verify`; to replace it, see docs/runbooks/ledger-lost.md"
            )


def _copy_objects(connection: Connection, objects: Sequence[RestoredObject]) -> None:
    _copy(
        connection,
        "object (object_id, bucket, key, etag, size_bytes, last_modified, entity, source_partition, first_position,"
        " last_position, epoch, state, batch_id, overwrites, first_seen_at)",
        (
            (
                *(item.object_id, item.bucket, item.key, item.etag, item.size_bytes, item.last_modified, item.entity),
                *(item.source_partition, item.first_position, item.last_position, item.epoch),
                *(ObjectState.BATCHED.value, item.batch_id, item.overwrites, item.first_seen_at),
            )
            for item in objects
        ),
    )


def _copy_batches(connection: Connection, batches: Sequence[RestoredBatch]) -> None:
    _copy(
        connection,
        "batch (batch_id, entity, state, object_count, size_bytes, row_count, snapshot_id, load_seq, attempt,"
        " sealed_at, landed_at, loaded_at)",
        (
            (
                *(
                    one.batch_id,
                    one.entity,
                    one.state.value,
                    len(one.object_ids) + len(one.doubled_ids),
                    one.size_bytes,
                ),
                *(one.row_count, one.snapshot_id, one.load_seq, one.attempt),
                *(one.sealed_at, one.landed_at, one.loaded_at),
            )
            for one in batches
        ),
    )
    _copy(
        connection,
        "batch_object (batch_id, object_id, is_skipped, reason)",
        chain.from_iterable(
            [
                *((one.batch_id, key, False, None) for key in one.object_ids),
                *((one.batch_id, key, True, "doubled") for key in one.doubled_ids),
            ]
            for one in batches
        ),
    )


def _copy_refreshes(connection: Connection, refreshes: Sequence[RestoredRefresh]) -> None:
    _copy(
        connection,
        "refresh (refresh_id, mart_set, state, bounds, as_of, publication_id, started_at, ended_at)",
        (
            (
                *(one.refresh_id, one.mart_set, RefreshState.PUBLISHED.value, Jsonb(dict(one.bounds)), one.as_of),
                *(one.publication_id, one.started_at, one.published_at),
            )
            for one in refreshes
        ),
    )
    _copy(
        connection,
        "refresh_batch (refresh_id, batch_id)",
        ((one.refresh_id, batch_id) for one in refreshes for batch_id in one.batch_ids),
    )
    note_published(connection, [one.refresh_id for one in refreshes])


def _copy(connection: Connection, target: str, rows: Iterable[Sequence[object]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"copy ledger.{target} from stdin") as copy:
        for row in rows:
            copy.write_row(row)


def _changes(contents: LedgerContents) -> list[Change]:
    changes = [
        Change(
            Subject.OBJECT, item.object_id, None, ObjectState.BATCHED, {"batch_id": item.batch_id, "is_rebuilt": True}
        )
        for item in contents.objects
    ]
    for one in contents.batches:
        detail: Detail = {
            "rows": one.row_count,
            "snapshot_id": one.snapshot_id,
            "load_seq": one.load_seq,
            "is_rebuilt": True,
        }
        changes.append(Change(Subject.BATCH, one.batch_id, None, one.state, detail))
    for refresh in contents.refreshes:
        named: Detail = {
            "publication_id": refresh.publication_id,
            "batches": len(refresh.batch_ids),
            "mart_set": refresh.mart_set,
            "is_rebuilt": True,
        }
        changes.append(Change(Subject.REFRESH, refresh.refresh_id, None, RefreshState.PUBLISHED, named))
    return changes
