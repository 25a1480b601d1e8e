"""Reads a plan's changes in tests: as rows, and folded to the state they leave behind."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.replay.changes import YearPlan

Row = dict[str, object]


def rows_of(plan: YearPlan, entity: str, *, until: datetime | None = None) -> list[Row]:
    """Return an entity's changes as rows, those dated before `until` (None: all)."""
    table: pa.Table = plan.changes[entity].table
    if until is not None:
        table = table.filter(pc.less(table["__source_ts_ms"], pa.scalar(until, pa.timestamp("us"))))
    rows: list[Row] = table.to_pylist()
    return rows


def end_state(plan: YearPlan, entity: str, *, until: datetime | None = None) -> dict[int, Row]:
    """Return the rows an entity's changes leave behind, by key, in the entity's own columns.

    Raises:
        AssertionError: A change does not fit the state before it (an insert of a present key, an update or a delete of
            an absent one).
    """
    names = plan.changes[entity].entity.column_names
    state: dict[int, Row] = {}
    for row in rows_of(plan, entity, until=until):
        key = int(str(row["id"]))
        if (row["__op"] == "c") == (key in state):
            raise AssertionError(f"{entity} {key}: {row['__op']} at LSN {row['__source_lsn']} does not fit")
        if row["__op"] == "d":
            del state[key]
        else:
            state[key] = {name: row[name] for name in names}
    return state
