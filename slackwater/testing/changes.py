"""Reads a plan's changes in tests: as rows, and folded to the state they leave behind."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.replay.changes import YearPlan

Row = dict[str, object]


def rows_of(plan: YearPlan, entity: str, *, until: datetime | None = None) -> list[Row]:
    """Return an entity's changes as rows, those dated before `until` (None: all)."""
    rows: list[Row] = _changes(plan, entity, until=until).to_pylist()
    return rows


def end_state(plan: YearPlan, entity: str, *, until: datetime | None = None) -> dict[int, Row]:
    """Return the rows an entity's changes leave behind, by key, in the entity's own columns.

    Raises:
        AssertionError: A change does not fit the state before it (an insert of a present key, an update or a delete of
            an absent one).
    """
    table = _changes(plan, entity, until=until)
    newest: dict[int, int] = {}
    for place, (key, op) in enumerate(zip(table["id"].to_pylist(), table["__op"].to_pylist(), strict=True)):
        if (op == "c") == (key in newest):
            raise AssertionError(f"{entity} {key}: {op} at LSN {table['__source_lsn'][place]} does not fit")
        if op == "d":
            del newest[key]
        else:
            newest[key] = place
    left = table.select(plan.changes[entity].entity.column_names).take(pa.array(newest.values(), pa.int64()))
    return dict(zip(newest, left.to_pylist(), strict=True))


def _changes(plan: YearPlan, entity: str, *, until: datetime | None) -> pa.Table:
    table: pa.Table = plan.changes[entity].table
    if until is None:
        return table
    return table.filter(pc.less(table["__source_ts_ms"], pa.scalar(until, pa.timestamp("us"))))
