"""Steps about the data itself: the shop's row, the change, its object, the mart's rows, ClickHouse's. Pure."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from slackwater.explain.facts import DAILY_MART, ChangeRow, MartDay, ObjectFacts, ShopVersion, Silent, SpeedPart, Store
from slackwater.explain.model import Mark, Step, StepKind, Value
from slackwater.explain.versions import Version, changed_columns
from slackwater.explain.work_facts import PublicationFacts
from slackwater.naming import SCHEMA_MARTS, clickhouse_changes_table

SHOWN_TEXT = frozenset({"status", "category"})
"""Text columns whose values are shown; of any other only the name is: an explanation must not spread personal data."""

OPERATIONS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot row"}

SHOWN_DAYS = 5


def shop_step(version: Version, *, entity: str, is_kept: bool, silent: Silent) -> Step:
    """Say which row of the shop a version came from.

    Args:
        version: The version.
        entity: Its entity.
        is_kept: Whether the shop keeps the history of this entity at all.
        silent: Stores that did not answer.
    """
    where = f"{Store.SHOP}, shop_history.{entity}"
    if version.shop is not None:
        row: ShopVersion = version.shop
        what = f"{OPERATIONS[row.operation]} in the shop"
        return Step(StepKind.SHOP, Mark.DONE, what, where, f"history {row.history_id}", row.event_at)
    if Store.SHOP in silent:
        return Step(StepKind.SHOP, Mark.UNKNOWN, "the shop did not answer", where)
    what = "the shop's history has no such version" if is_kept else "the source keeps no history here"
    return Step(StepKind.SHOP, Mark.UNKNOWN, what, where)


def change_step(version: Version, *, before: Version | None) -> Step:
    """Say what changed, with its LSN and its place in the source."""
    row = version.change
    if row is None:
        what = "no file and no store brought it yet"
        return Step(StepKind.CHANGE, Mark.WAITING, what, "change data capture")
    detail: tuple[tuple[str, Value], ...] = (
        ("epoch", row.epoch),
        *((("captured at", row.captured_at),) if row.captured_at else ()),
        *_differences(version, before),
    )
    return Step(
        kind=StepKind.CHANGE,
        mark=Mark.DONE,
        what=f"{OPERATIONS[row.op]} at LSN {row.lsn}",
        where=f"{row.source_partition}, position {row.position}",
        id=f"lsn {row.lsn}",
        at=row.event_at,
        detail=detail,
    )


def object_step(found: ObjectFacts | None, row: ChangeRow | None = None, *, also_in: Sequence[str] = ()) -> Step:
    """Say which object brought it and what the ledger says of the object.

    Args:
        found: The object in the ledger; None when the ledger has none.
        row: The row that names the object, when a row was asked for.
        also_in: Other objects that brought the same change.
    """
    if found is None:
        place = f"{row.source_partition}, position {row.position}" if row else "the landing bucket"
        named = row.object_id if row else None
        return Step(StepKind.OBJECT, Mark.FAILED, "no object of the ledger holds it: its file is missing", place, named)
    detail: tuple[tuple[str, Value], ...] = (
        ("positions", f"{found.first_position}-{found.last_position}" if found.first_position is not None else None),
        ("bytes", found.size_bytes),
        ("state", found.state),
        ("recorded by", found.seen_by),
        ("reason", found.reason),
        ("message", found.message),
        ("overwrites", found.overwrites),
        ("overwritten by", found.overwritten_by),
        ("the same change also in", ", ".join(also_in) or None),
    )
    return Step(
        kind=StepKind.OBJECT,
        mark=Mark.DONE if found.state in {"seen", "batched"} else Mark.FAILED,
        what=_object_words(found),
        where=f"s3://{found.bucket}/{found.key}",
        id=found.object_id,
        at=found.first_seen_at,
        detail=tuple((name, value) for name, value in detail if value is not None),
    )


def mart_step(days: Sequence[MartDay], own: PublicationFacts | None, *, is_published: bool, silent: Silent) -> Step:
    """Say which rows of the daily mart a value reaches and who last wrote them.

    Args:
        days: The days it touches, oldest first.
        own: The publication that brought the value to the mart, if one did and the warehouse said so.
        is_published: Whether the value was published at all.
        silent: Stores that did not answer.
    """
    where = f"{Store.WAREHOUSE}, {SCHEMA_MARTS}.{DAILY_MART.upper()}"
    if Store.WAREHOUSE in silent:
        return Step(StepKind.MART, Mark.UNKNOWN, "the warehouse did not answer", where)
    shown = [day for day in days if day.publication_id is not None]
    if not shown:
        mark = Mark.DONE if is_published else Mark.WAITING
        what = "no published row depends on it" if is_published else "no published row shows it yet"
        return Step(StepKind.MART, mark, what, where)
    newest = shown[-1]
    named = f"row of {newest.day}" if len(shown) == 1 else f"{len(shown)} days, the newest {newest.day}"
    what = f"{named}: {_writer_words(newest, own)}" if is_published else f"{named}: without this, it is not published"
    detail: list[tuple[str, Value]] = []
    if len(shown) > 1:
        detail.append(("days", ", ".join(str(day.day) for day in shown[-SHOWN_DAYS:])))
    if own is not None and len(shown) > 1:
        detail.append(("days last written by it", sum(day.publication_id == own.publication_id for day in shown)))
    mark = Mark.DONE if is_published else Mark.WAITING
    return Step(StepKind.MART, mark, what, where, newest.publication_id, newest.published_at, tuple(detail))


def speed_step(entity: str, row: ChangeRow | None, *, silent: Silent) -> Step:
    """Say whether ClickHouse holds the version's row."""
    where = f"{Store.CLICKHOUSE}, {clickhouse_changes_table(entity)}"
    if Store.CLICKHOUSE in silent:
        return Step(StepKind.SPEED, Mark.UNKNOWN, "ClickHouse did not answer", where)
    if row is None:
        return Step(StepKind.SPEED, Mark.FAILED, "ClickHouse does not have this change (or its TTL dropped it)", where)
    place = f"{row.source_partition}@{row.position}"
    return Step(StepKind.SPEED, Mark.DONE, "the same change in ClickHouse", where, place, row.stored_at)


def speed_part_step(entity: str, part: SpeedPart | None, *, expected: int | None, named: str, silent: Silent) -> Step:
    """Say how many of an object's or batch's rows ClickHouse holds."""
    where = f"{Store.CLICKHOUSE}, {clickhouse_changes_table(entity)}"
    if Store.CLICKHOUSE in silent or part is None:
        return Step(StepKind.SPEED, Mark.UNKNOWN, "ClickHouse did not answer", where)
    mark = Mark.DONE if expected is None or part.rows == expected else Mark.FAILED
    of = "" if expected is None else f" of {expected:,}"
    return Step(StepKind.SPEED, mark, f"{part.rows:,}{of} rows in ClickHouse", where, named, part.last_ingested_at)


def _object_words(found: ObjectFacts) -> str:
    rows = f"file of {found.row_count:,} rows" if found.row_count is not None else "file"
    if found.state == "seen":
        return f"{rows} seen, waits for a batch"
    if found.state == "batched":
        return f"{rows} seen"
    because = f": {found.reason}" if found.reason else ""
    return f"{rows} {found.state}{because}"


def _writer_words(day: MartDay, own: PublicationFacts | None) -> str:
    if own is None:
        return "as published"
    if day.publication_id == own.publication_id:
        return "last written by this publication"
    if day.published_at and own.published_at and day.published_at > own.published_at:
        return "written anew since, by a later publication"
    return "not changed by this publication"


def _differences(version: Version, before: Version | None) -> list[tuple[str, Value]]:
    if version.change is None or before is None or before.change is None:
        return []
    new, old = version.change.values, before.change.values
    said: list[tuple[str, Value]] = []
    for name in changed_columns(version, before):
        is_shown = name in SHOWN_TEXT or not (isinstance(new[name], str) or isinstance(old[name], str))
        said.append((name, f"{_short(old[name])} -> {_short(new[name])}" if is_shown else "changed"))
    return said


def _short(value: Value) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:f}" if isinstance(value, Decimal) else "null" if value is None else str(value)
