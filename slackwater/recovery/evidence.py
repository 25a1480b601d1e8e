"""Reads what the stores prove of the work that was done. Writes nothing, decides nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_contents import MainHistory, ObjectRows, main_histories, object_rows
from slackwater.clients.s3 import ListedObject, ObjectStore
from slackwater.clients.snowflake import Scalar, Warehouse, quote_identifier
from slackwater.errors import TerminalError
from slackwater.ledger.model import object_id
from slackwater.naming import ENTITIES, raw_table
from slackwater.settings import LandingSettings

BATCHES_PER_QUERY = 500


@dataclass(frozen=True)
class Load:
    """One line of the warehouse's load history."""

    batch_id: str
    entity: str
    load_seq: int
    row_count: int
    attempt: int
    loaded_at: datetime


@dataclass(frozen=True)
class PublishedRefresh:
    """One publication and the refresh it published; `as_of` is naive UTC as the warehouse keeps it."""

    refresh_id: str
    mart_set: str
    publication_id: str
    publication_seq: int
    as_of: datetime | None
    started_at: datetime
    published_at: datetime
    bounds: Mapping[str, int]


@dataclass(frozen=True)
class Evidence:
    """All that was read.

    Attributes:
        histories: Per entity the known commits to main.
        lake_rows: What main holds, per batch and object.
        raw_rows: What raw holds of loaded batches of which main holds nothing.
        loads: The load history by batch.
        refreshes: Published ones in the order of their publication.
        unpublished_refreshes: Refreshes that were started and never published.
        listed: Per object id the landing objects whose rows are in `lake_rows` or `raw_rows`.
        unread_objects: Landing objects of which no store holds a row.
        bucket: The landing bucket.
    """

    histories: Mapping[str, MainHistory]
    lake_rows: tuple[ObjectRows, ...]
    raw_rows: tuple[ObjectRows, ...]
    loads: Mapping[str, Load]
    refreshes: tuple[PublishedRefresh, ...]
    unpublished_refreshes: int
    listed: Mapping[str, ListedObject]
    unread_objects: int
    bucket: str


def gather(*, lake: Lake, store: ObjectStore, warehouse: Warehouse, landing: LandingSettings) -> Evidence:
    """Read lake, warehouse and landing listing, in this order."""
    histories = main_histories(lake)
    lake_rows = tuple(rows for entity in ENTITIES for rows in object_rows(lake, entity))
    landed = {rows.batch_id for rows in lake_rows}
    loads = read_loads(warehouse)
    only_raw = [load for load in loads.values() if load.batch_id not in landed and load.row_count]
    raw_rows = tuple(rows for entity in ENTITIES for rows in _raw_rows(warehouse, entity, only_raw))
    refreshes = _refreshes(warehouse)
    started = warehouse.scalar("select count(*) from OPS.REFRESH")
    known = {rows.object_id for rows in (*lake_rows, *raw_rows)}
    listed: dict[str, ListedObject] = {}
    unread = 0
    for item in store.list(landing.bucket, landing.prefix):
        found = object_id(item.bucket, item.key, item.etag)
        if found in known:
            listed[found] = item
        else:
            unread += 1
    return Evidence(
        histories=histories,
        lake_rows=lake_rows,
        raw_rows=raw_rows,
        loads=loads,
        refreshes=refreshes,
        unpublished_refreshes=_whole(started) - len(refreshes),
        listed=listed,
        unread_objects=unread,
        bucket=landing.bucket,
    )


def read_loads(warehouse: Warehouse) -> dict[str, Load]:
    """Return the load history by batch."""
    rows = warehouse.query(
        "select batch_id, entity, load_seq, rows_loaded, attempt, loaded_at from OPS.LOAD_HISTORY order by load_seq"
    )
    return {
        str(row[0]): Load(str(row[0]), str(row[1]), _whole(row[2]), _whole(row[3]), _whole(row[4]), _utc(row[5]))
        for row in rows
    }


def _raw_rows(warehouse: Warehouse, entity: str, loads: Sequence[Load]) -> Iterator[ObjectRows]:
    wanted = [load.batch_id for load in loads if load.entity == entity]
    for start in range(0, len(wanted), BATCHES_PER_QUERY):
        chunk = wanted[start : start + BATCHES_PER_QUERY]
        rows = warehouse.query(
            "select batch_id, _object_id, file_name, _epoch, _source_partition, min(_position), max(_position),"
            f" cast(__source_ts_ms as date), count(*) from {quote_identifier(raw_table(entity))}"
            f" where batch_id in ({', '.join('?' * len(chunk))})"
            " group by batch_id, _object_id, file_name, _epoch, _source_partition, cast(__source_ts_ms as date)"
            " order by batch_id, _object_id",
            chunk,
        )
        places: dict[tuple[Scalar, ...], list[tuple[Scalar, ...]]] = {}
        for row in rows:
            places.setdefault(row[:5], []).append(row[5:])
        for (batch_id, key_id, key, epoch, partition), days in places.items():
            yield ObjectRows(
                entity=entity,
                batch_id=str(batch_id),
                object_id=str(key_id),
                key=str(key),
                epoch=_whole(epoch),
                source_partition=str(partition),
                first_position=min(_whole(day[0]) for day in days),
                last_position=max(_whole(day[1]) for day in days),
                days={date.fromisoformat(str(day[2])): _whole(day[3]) for day in days},
            )


def _refreshes(warehouse: Warehouse) -> tuple[PublishedRefresh, ...]:
    bounds: dict[str, dict[str, int]] = {}
    for refresh_id, entity, bound in warehouse.query("select refresh_id, entity, bound from OPS.REFRESH_BOUND"):
        bounds.setdefault(str(refresh_id), {})[str(entity)] = _whole(bound)
    rows = warehouse.query(
        "select started.refresh_id, started.mart_set, published.publication_id, published.publication_seq,"
        " started.as_of, started.started_at, published.published_at from MARTS.PUBLICATION as published"
        " inner join OPS.REFRESH as started on started.refresh_id = published.refresh_id"
        " order by published.publication_seq"
    )
    return tuple(
        PublishedRefresh(
            refresh_id=str(row[0]),
            mart_set=str(row[1]),
            publication_id=str(row[2]),
            publication_seq=_whole(row[3]),
            as_of=row[4] if isinstance(row[4], datetime) else None,
            started_at=_utc(row[5]),
            published_at=_utc(row[6]),
            bounds=bounds.get(str(row[0]), {}),
        )
        for row in rows
    )


def _whole(value: Scalar) -> int:
    return int(str(value))


def _utc(value: Scalar) -> datetime:
    if not isinstance(value, datetime):
        raise TerminalError(f"the warehouse gave {value!r} where a time was expected")
    return value.replace(tzinfo=UTC)
