"""The lake's own merge under the kit: changelog rows appended as an ingest does, then folded into the state tables.

The fold is given as a function, so that this module needs no Spark. A fold costs seconds, so the files of all runs are
gathered and folded together when a state is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa

from slackwater.clients.iceberg import Lake
from slackwater.entities.model import AMOUNTS, Column, Entity, changelog_schema, load_entity
from slackwater.lake.fold import FoldRequest, FoldResult
from slackwater.naming import state_table
from slackwater.testing.conformance.landing_bytes import LandingObject, read_changelog
from slackwater.testing.conformance.runs import KEYS_PER_RUN, Run
from slackwater.testing.conformance.source import Row, Value


@dataclass
class LakeMerge:
    """`Merge` over one lake.

    Attributes:
        lake: With empty tables.
        fold: Folds batches into the state table.
        after_fold: Called after every fold, for what else a lake does meanwhile.
        results: What the folds did, in order.
    """

    lake: Lake
    fold: Callable[[FoldRequest], FoldResult]
    after_fold: Callable[[str], None] = lambda _: None
    results: list[FoldResult] = field(default_factory=list)
    _waiting: dict[str, dict[str, LandingObject]] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)
    _rows: dict[str, dict[int, dict[int, Row]]] = field(default_factory=dict)

    def apply(self, run: Run, files: Sequence[LandingObject]) -> None:
        """Keep files until a state is asked for; an object that came before is the same object."""
        waiting = self._waiting.setdefault(run.case.entity.name, {})
        waiting |= {item.object_id: item for item in files if item.object_id not in self._known}

    def state(self, run: Run) -> Mapping[int, Row]:
        """Return the run's rows of `ecommerce.<entity>` that exist after everything applied so far."""
        gathered, self._waiting = self._waiting, {}
        for entity, items in gathered.items():
            if items or entity not in self._rows:
                self._known |= set(items)
                self._fold(load_entity(entity), list(items.values()))
                self._rows[entity] = self._read(load_entity(entity))
        return self._rows[run.case.entity.name].get(run.first_key, {})

    def read_again(self) -> None:
        """Read every state table anew, after something else was done to it."""
        self._rows = {entity: self._read(load_entity(entity)) for entity in self._rows}

    def _fold(self, entity: Entity, items: Sequence[LandingObject]) -> None:
        rows = [row for item in items for row in read_changelog(item) or ()]
        if not rows:
            return
        batch_id = f"batch-{len(self.results)}-{entity.name}"
        table = pa.Table.from_pylist([{**row, "_batch_id": batch_id} for row in rows], schema=changelog_schema(entity))
        self.lake.append_batch_rows(entity.name, table, batch_id=batch_id)
        dates = tuple(sorted(set(table["date"].to_pylist())))
        request = FoldRequest(entity=entity.name, batch_ids=(batch_id,), dates=dates, row_count=table.num_rows)
        self.results.append(self.fold(request))
        self.after_fold(entity.name)

    def _read(self, entity: Entity) -> dict[int, dict[int, Row]]:
        """Return the state table's rows that exist, by key, grouped by the first key of their run."""
        grouped: dict[int, dict[int, Row]] = {}
        others = [column for column in entity.columns if column.name != entity.key]
        for row in self.lake.load_table(state_table(entity.name)).scan().to_arrow().to_pylist():
            key = int(row[entity.key])
            held = grouped.setdefault(key // KEYS_PER_RUN * KEYS_PER_RUN, {})
            if key in held:
                raise AssertionError(f"{state_table(entity.name)} holds key {key} twice")
            held[key] = {"__op": row["__op"]} | {column.name: _exact(column, row[column.name]) for column in others}
        return {
            first: {key: _without_op(row) for key, row in rows.items() if row["__op"] != "d"}
            for first, rows in grouped.items()
        }


def _exact(column: Column, value: Value) -> Value:
    if isinstance(value, float):
        raise TypeError(f"{column.name} came back as a float: {value!r}")
    return value if value is None or column.type not in AMOUNTS else Decimal(str(value))


def _without_op(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "__op"}
