"""A source table in memory: transactions go in, what change data capture would say of them comes out.

Models PostgreSQL under logical decoding as far as a merge can tell: every change has an LSN, a snapshot shares one, an
update of the key is a delete and an insert at one LSN, an unchanged large value is withheld, a restore begins a new
epoch with smaller LSNs. Knows nothing of files, merges or the change order. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from slackwater.entities.model import Entity
from slackwater.naming import TOAST_PLACEHOLDER

Value = str | int | Decimal | datetime | None
Row = Mapping[str, Value]
"""A row without its key."""

NOTHING: Row = MappingProxyType({})
FIRST_CHANGE_AT = datetime(2010, 12, 1, 8, 0)  # noqa: DTZ001 - every store holds UTC without a zone
LSN_STEP = 10


@dataclass(frozen=True)
class Write:
    """Update the row `key`, or insert it when it is absent.

    Attributes:
        values: The columns it sets; an insert leaves the others null.
        withholds: An update does not tell the toastable columns it leaves as they are (unless null: null is told).
    """

    key: int
    values: Row = field(default_factory=dict)
    withholds: bool = False


@dataclass(frozen=True)
class Delete:
    """Delete the row `key`; nothing happens when it is absent."""

    key: int


@dataclass(frozen=True)
class Rekey:
    """Change the key of a row; nothing happens when `key` is absent or `new_key` taken.

    With `withholds` the unchanged toastable columns are not told: the insert under the new key carries placeholders,
    and no later reader can know the values.
    """

    key: int
    new_key: int
    withholds: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Tell every row as it is (`r`), all at one LSN.

    Attributes:
        ties_earlier: It has the LSN of the change before it, otherwise the next one.
        ties_later: The change after it has its LSN too.
    """

    ties_earlier: bool = False
    ties_later: bool = False


@dataclass(frozen=True)
class Restore:
    """Put the table back to where it was after transaction `back_to` (0 = empty), raise the epoch, take a snapshot.

    LSNs start over, smaller than before. The snapshot cannot tell which keys vanished; as the runbook demands, they are
    told as deletes.
    """

    back_to: int = 0


Statement = Write | Delete | Rekey | Snapshot | Restore


@dataclass(frozen=True)
class Transaction:
    """Statements committed together; with `shares_lsn` all their changes carry one LSN."""

    statements: tuple[Statement, ...]
    shares_lsn: bool = False


@dataclass(frozen=True)
class Change:
    """One change as capture tells it.

    Attributes:
        values: Every column but the key; empty for a delete.
        changed_at: Time of change, naive UTC.
    """

    epoch: int
    lsn: int
    op: str
    key: int
    values: Row
    changed_at: datetime


@dataclass(frozen=True)
class History:
    """All changes of a source table in the order of the stream, and the table it ended with.

    Attributes:
        table: Rows by key. A toastable value that a withholding update of the key made unknowable is null here.
    """

    entity: Entity
    changes: tuple[Change, ...]
    table: Mapping[int, Row]


def run(entity: Entity, transactions: Sequence[Transaction], *, first_lsn: int = 1_000) -> History:
    """Execute transactions on an empty table.

    Args:
        entity: The table's shape.
        transactions: In order of commit; statements that do not fit the table at that point do nothing.
        first_lsn: LSN of the first change.
    """
    source = _Source(entity, lsn=first_lsn)
    for transaction in transactions:
        source.commit(transaction)
    return History(entity, tuple(source.changes), source.knowable())


@dataclass
class _Source:
    entity: Entity
    lsn: int
    epoch: int = 0
    table: dict[int, Row] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    _checkpoints: list[Mapping[int, Row]] = field(default_factory=lambda: [{}])
    _unknowable: set[tuple[int, str]] = field(default_factory=set)
    _holds_lsn: bool = False

    def commit(self, transaction: Transaction) -> None:
        for index, statement in enumerate(transaction.statements):
            if not (transaction.shares_lsn and index):
                self._advance()
            match statement:
                case Write():
                    self._write(statement)
                case Delete():
                    self._delete(statement.key)
                case Rekey():
                    self._rekey(statement)
                case Snapshot():
                    self._snapshot(statement)
                case Restore():
                    self._restore(statement)
        self._checkpoints.append(dict(self.table))

    def _advance(self) -> None:
        if not self._holds_lsn:
            self.lsn += LSN_STEP
        self._holds_lsn = False

    def _tell(self, op: str, key: int, values: Row = NOTHING) -> None:
        at = FIRST_CHANGE_AT + timedelta(minutes=len(self.changes))
        self.changes.append(Change(self.epoch, self.lsn, op, key, values, at))

    def _write(self, write: Write) -> None:
        before = self.table.get(write.key)
        if before is None:
            row = {name: write.values.get(name) for name in self._names}
            self.table[write.key] = row
            self._tell("c", write.key, row)
            return
        row = {**before, **write.values}
        told = self._withheld(row, changed=write.values) if write.withholds else row
        self._unknowable -= {(write.key, name) for name, value in told.items() if value != TOAST_PLACEHOLDER}
        self.table[write.key] = row
        self._tell("u", write.key, told)

    def _delete(self, key: int) -> None:
        if self.table.pop(key, None) is None:
            return
        self._unknowable = {(k, name) for k, name in self._unknowable if k != key}
        self._tell("d", key)

    def _rekey(self, rekey: Rekey) -> None:
        if rekey.new_key in self.table or rekey.key not in self.table:
            return
        row = self.table[rekey.key]
        self._delete(rekey.key)
        told = self._withheld(row, changed=NOTHING) if rekey.withholds else row
        self.table[rekey.new_key] = row
        self._unknowable |= {(rekey.new_key, n) for n, value in told.items() if value == TOAST_PLACEHOLDER}
        self._tell("c", rekey.new_key, told)

    def _snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.ties_earlier and self.changes and self.changes[-1].epoch == self.epoch:
            self.lsn = self.changes[-1].lsn
        else:
            self._holds_lsn = snapshot.ties_later
        # A row inserted at the snapshot's own LSN counts as newer than the snapshot, with what it did not tell.
        inserted = {c.key for c in self.changes if (c.epoch, c.lsn, c.op) == (self.epoch, self.lsn, "c")}
        self._unknowable = {(key, name) for key, name in self._unknowable if key in inserted}
        for key, row in self.table.items():
            self._tell("r", key, row)

    def _restore(self, restore: Restore) -> None:
        vanished = set(self.table)
        self.table = dict(self._checkpoints[min(restore.back_to, len(self._checkpoints) - 1)])
        self.epoch += 1
        self.lsn = LSN_STEP
        self._snapshot(Snapshot())
        for key in sorted(vanished - set(self.table)):
            self._tell("d", key)

    def knowable(self) -> dict[int, Row]:
        """Return the table, values that were never told as null."""
        return {
            key: {name: None if (key, name) in self._unknowable else value for name, value in row.items()}
            for key, row in self.table.items()
        }

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name in self.entity.column_names if name != self.entity.key)

    def _withheld(self, row: Row, *, changed: Row) -> Row:
        silent = {n for n in self.entity.toastable_names if n not in changed and row[n] is not None}
        return {name: TOAST_PLACEHOLDER if name in silent else value for name, value in row.items()}
