"""Reads rows of one key, object or batch from ClickHouse's change tables, the as-of source of the speed layer."""

from collections.abc import Iterable, Mapping
from datetime import date

from slackwater.clients.clickhouse import SpeedStore
from slackwater.entities.model import load_entity
from slackwater.errors import StoreRejected
from slackwater.explain.facts import ChangeRow, DayInSpeed, ObjectFacts, SpeedPart, scalar, utc
from slackwater.naming import clickhouse_changes_table


def speed_versions(speed: SpeedStore, entity: str, key: int) -> tuple[ChangeRow, ...]:
    """Return every row of a key; the table is ordered by key, so little is read."""
    declared = load_entity(entity)
    found = speed.query(
        f"select * from {clickhouse_changes_table(entity)} where {declared.key} = {{key:Int64}}", {"key": key}
    )
    names = [name for name in declared.column_names if name != declared.key]
    return tuple(_change_row(row, names) for row in found.to_pylist())


def speed_part(speed: SpeedStore, entity: str, objects: Iterable[ObjectFacts]) -> SpeedPart:
    """Count the rows that came from objects; every position counts once, however often it was fed."""
    wanted = [item for item in objects if item.source_partition is not None and item.first_position is not None]
    rows, last = 0, None
    by_partition: dict[str, list[ObjectFacts]] = {}
    for item in wanted:
        by_partition.setdefault(item.source_partition or "", []).append(item)
    for partition, members in by_partition.items():
        found = speed.query(
            "select _object_id, uniqExact(_position) as row_count, max(ingested_at) as last_at"
            f" from {clickhouse_changes_table(entity)} where _source_partition = {{partition:String}}"
            " and _position between {first:Int64} and {last:Int64} group by _object_id",
            {
                "partition": partition,
                "first": min(item.first_position or 0 for item in members),
                "last": max(item.last_position or 0 for item in members),
            },
        )
        ids = {item.object_id for item in members}
        for row in found.to_pylist():
            if row["_object_id"] in ids:
                rows += int(row["row_count"])
                at = utc(row["last_at"])
                last = at if last is None or (at is not None and at > last) else last
    return SpeedPart(rows, last)


def speed_day(speed: SpeedStore, day: date) -> DayInSpeed:
    """Count the orders of a day."""
    row = speed.query(
        f"select uniqExact(id) as orders, max(ingested_at) as last_at from {clickhouse_changes_table('orders')}"
        " where toDate32(created_at) = toDate32({day:String})",
        {"day": day.isoformat()},
    ).to_pylist()[0]
    orders = int(row["orders"])
    return DayInSpeed(orders, utc(row["last_at"]) if orders else None)


def _change_row(row: Mapping[str, object], names: Iterable[str]) -> ChangeRow:
    event_at = utc(row["__source_ts_ms"])
    if event_at is None:
        raise StoreRejected(f"__source_ts_ms came back as {type(row['__source_ts_ms']).__name__}, expected a time")
    return ChangeRow(
        op=str(row["__op"]),
        lsn=int(str(row["__source_lsn"])),
        epoch=int(str(row["_epoch"])),
        object_id=str(row["_object_id"]),
        source_partition=str(row["_source_partition"]),
        position=int(str(row["_position"])),
        event_at=event_at,
        captured_at=utc(row["__ts_ms"]),
        values={name: scalar(row[name]) for name in names},
        stored_at=utc(row["ingested_at"]),
    )
