"""The reference: an incremental merge with an order guard, right whatever the order of arrival.

Keeps per key one version with its place in the change order, tombstones included, and per toastable column the newest
value that was told, with a place of its own, so that a late change may update that column alone. Nothing else is
remembered: exactly what a state table with `_epoch`, `_position` and `_<column>_order` can hold. A merge in another
engine can be read off from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from slackwater.entities.model import ChangeKey, load_entity
from slackwater.naming import TOAST_PLACEHOLDER
from slackwater.testing.conformance.landing_bytes import LandingObject, read_changelog
from slackwater.testing.conformance.runs import Run
from slackwater.testing.conformance.source import Row, Value


@dataclass(frozen=True)
class ToldValue:
    """A toastable column's value and the change that told it."""

    value: Value
    order: ChangeKey


@dataclass(frozen=True)
class Version:
    """What is kept of one key; of `row` the toastable columns are not read."""

    order: ChangeKey
    is_deleted: bool
    row: Row
    told: Mapping[str, ToldValue] = field(default_factory=dict)


class ReferenceMerge:
    """Merges files row by row into a table of newest versions, in memory."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[int, Version]] = {}

    def apply(self, run: Run, files: Sequence[LandingObject]) -> None:
        """Take files in; what was there before stays unless something newer is in them."""
        versions = self.versions.setdefault(run.id, {})
        for item in files:
            rows = read_changelog(item)
            if rows is None:
                continue
            entity = load_entity(item.entity)
            for row in rows:
                key = int(str(row[entity.key]))
                versions[key] = self.merge(versions.get(key), row, toastable=entity.toastable_names)

    def state(self, run: Run) -> dict[int, Row]:
        """Return the rows that exist, by key."""
        versions = self.versions.get(run.id, {})
        entity = run.case.entity
        plain = [n for n in entity.column_names if n != entity.key and n not in entity.toastable_names]
        return {
            key: {name: version.row[name] for name in plain}
            | {name: version.told[name].value if name in version.told else None for name in entity.toastable_names}
            for key, version in versions.items()
            if not version.is_deleted
        }

    def merge(self, held: Version | None, row: Row, *, toastable: Sequence[str]) -> Version:
        """Merge one row into what is kept of its key.

        Args:
            held: What is kept, None for a key never seen.
            row: A row of the changelog.
            toastable: Columns resolved on their own.
        """
        order = self.order(row)
        told = dict(held.told) if held else {}
        for name in toastable:
            value = self.told_value(row, name)
            if value is not None and (name not in told or self.is_newer(value.order, told[name].order)):
                told[name] = value
        if held is not None and not self.is_newer(order, held.order):
            return replace(held, told=told)
        return Version(order, row["__op"] == "d", row, told)

    def order(self, row: Row) -> ChangeKey:
        """Return a row's place in the change order."""
        return ChangeKey(
            int(str(row["_epoch"])),
            int(str(row["__source_lsn"])),
            row["__op"] != "r",
            int(str(row["_position"])),
            str(row["_object_id"]),
        )

    def is_newer(self, order: ChangeKey, held: ChangeKey) -> bool:
        """Say whether a change replaces what is held."""
        return held < order

    def told_value(self, row: Row, name: str) -> ToldValue | None:
        """Return what a row tells of a toastable column, None when it withholds it.

        An insert that withholds a value (its key was changed) tells null: what an earlier row of that key held is not
        its value. A delete tells null too.
        """
        value = row[name]
        if value != TOAST_PLACEHOLDER:
            return ToldValue(value, self.order(row))
        return ToldValue(None, self.order(row)) if row["__op"] in ("c", "r") else None
