"""Deliveries: a history cut into change files, some of them repeated, copied, empty or unreadable. Pure.

A file is described here by its changes; `landing_bytes.py` writes it. A case is what one merge is held to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from random import Random

from slackwater.entities.model import Entity
from slackwater.testing.conformance.source import Change, History, Row


class FileForm(StrEnum):
    """Physical forms of the landing contract, each exact."""

    PARQUET = "parquet"  # native types, times of change as epoch milliseconds
    PARQUET_ZONED = "parquet, zoned"  # times with a zone, money as text, operations as a dictionary
    JSON = "json"  # ISO times with Z, money as text
    JSON_OFFSET = "json, offset"  # ISO times with the offset of London's or India's clocks


class DeleteForm(StrEnum):
    """What a delete says beside its key."""

    KEY_ONLY = "key only"
    ZEROS = "fabricated zeros"  # what a source with REPLICA IDENTITY DEFAULT makes up


class Fault(StrEnum):
    """Why a file is quarantined as a whole; the value is the reason the reader gives."""

    DROPPED_COLUMN = "missing_column"
    YEAR_1 = "wrong_type: year 1"
    YEAR_9999 = "wrong_type: year 9999"
    LOST_COLUMN = "missing_column: added earlier than another one the file has"
    TWO_NAMES = "schema_change: an old name beside the new one"

    @property
    def reason(self) -> str:
        """Return the reason of the quarantine."""
        return self.value.split(":")[0]


FAULTS_OF_ANY_ENTITY = (Fault.DROPPED_COLUMN, Fault.YEAR_1, Fault.YEAR_9999)
"""The others need an entity whose shape has changed."""


@dataclass(frozen=True)
class ChangeFile:
    """One file: consecutive changes of one epoch, from source position `first`.

    Attributes:
        copy: Files with equal positions differ in this number (another folder of the landing zone).
        fault: What is wrong with it; a file with a fault holds a row that is not a delete.
        version: Of the entity's shape it was written in (`older_shapes.py`); None: as declared now.
    """

    changes: tuple[Change, ...]
    first: int
    form: FileForm = FileForm.PARQUET
    deletes: DeleteForm = DeleteForm.KEY_ONLY
    copy: int = 0
    epoch: int = 0
    fault: Fault | None = None
    version: int | None = None

    @property
    def last(self) -> int:
        """Return the last position, `first - 1` without changes."""
        return self.first + len(self.changes) - 1


@dataclass(frozen=True)
class Case:
    """One history as files, and the orders in which they arrive.

    Attributes:
        files: In the order of their positions.
        orders: Each a sequence of indices into `files`; one may occur again (the same object delivered twice).
        table: The source's own table after everything, None when the files do not tell all of it.
        uses_greatest_keys: Its keys lie at the end of 64 bits.
    """

    name: str
    entity: Entity
    files: tuple[ChangeFile, ...]
    orders: tuple[tuple[int, ...], ...]
    table: Mapping[int, Row] | None
    uses_greatest_keys: bool = False


def make_case(
    name: str,
    history: History,
    files: Iterable[ChangeFile],
    *,
    orders: Sequence[tuple[int, ...]] = (),
    uses_greatest_keys: bool = False,
) -> Case:
    """Put a case together; without `orders` it gets `usual_orders`."""
    found = tuple(files)
    told = {id(change) for file in found if file.fault is None for change in file.changes}
    tells_all = all(id(change) in told for change in history.changes)
    return Case(
        name=name,
        entity=history.entity,
        files=found,
        orders=tuple(dict.fromkeys(orders or usual_orders(len(found)))),
        table=history.table if tells_all else None,
        uses_greatest_keys=uses_greatest_keys,
    )


def usual_orders(count: int, *, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Return orders of `count` files: as written, backwards, neighbours swapped, shuffled with one file repeated."""
    natural = tuple(range(count))
    shuffled = list(natural)
    Random(seed * 1_000 + count).shuffle(shuffled)  # noqa: S311 - a permutation, no secret
    return tuple(dict.fromkeys((natural, natural[::-1], swapped(natural), (*shuffled, *shuffled[:1]))))


def swapped(order: tuple[int, ...]) -> tuple[int, ...]:
    """Return an order with its neighbours swapped: the second, the first, the fourth, the third."""
    return tuple(index for i in range(0, len(order), 2) for index in order[i : i + 2][::-1])


def cut(
    history: History, after: Iterable[int], *, forms: Sequence[FileForm] = (), deletes: DeleteForm = DeleteForm.KEY_ONLY
) -> tuple[ChangeFile, ...]:
    """Cut a history into files.

    Args:
        history: What happened.
        after: Numbers of changes after which a file ends; an epoch's end always ends one.
        forms: Form of each file in turn, over again when there are more files.
        deletes: Form of every delete.
    """
    changes = history.changes
    epoch_ends = {i for i in range(1, len(changes)) if changes[i].epoch != changes[i - 1].epoch}
    bounds = sorted({0, *(n for n in after if 0 < n < len(changes)), *epoch_ends, len(changes)})
    used = forms or (FileForm.PARQUET,)
    return tuple(
        ChangeFile(changes[start:end], start, form=used[i % len(used)], deletes=deletes, epoch=changes[start].epoch)
        for i, (start, end) in enumerate(pairwise(bounds))
    )


def sent_again(history: History, start: int, end: int, *, first: int, form: FileForm = FileForm.PARQUET) -> ChangeFile:
    """Return changes `start` to `end` as capture repeats them after a restart: the same changes at new positions.

    Capture repeats up to where it was, so the slice grows to the end of its last LSN; it stays within one epoch.
    """
    changes = history.changes
    epoch = changes[start].epoch
    while end < len(changes) and (changes[end].epoch, changes[end].lsn) == (
        changes[end - 1].epoch,
        changes[end - 1].lsn,
    ):
        end += 1
    again = tuple(change for change in changes[start:end] if change.epoch == epoch)
    return ChangeFile(again, first, form=form, epoch=epoch)


def with_fault(file: ChangeFile, fault: Fault) -> ChangeFile:
    """Return the file with a fault, or as it is when no row of it can have one (deletes have no columns)."""
    return replace(file, fault=fault) if any(change.op != "d" for change in file.changes) else file


def empty_file(first: int, *, copy: int = 0, form: FileForm = FileForm.PARQUET) -> ChangeFile:
    """Return a file without rows."""
    return ChangeFile((), first, form=form, copy=copy)
