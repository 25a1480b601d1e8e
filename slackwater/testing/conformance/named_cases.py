"""The cases that have a name: each is a known way to get change data wrong, small enough to be read.

Generated histories find what nobody thought of; these stay in every run and say what broke.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from slackwater.testing.conformance.change_files import (
    Case,
    ChangeFile,
    DeleteForm,
    Fault,
    FileForm,
    cut,
    empty_file,
    make_case,
    sent_again,
    with_fault,
)
from slackwater.testing.conformance.histories import AWKWARD_AMOUNTS, AWKWARD_TEXTS, AWKWARD_TIMES
from slackwater.testing.conformance.source import Delete, Rekey, Restore, Snapshot, Statement, Transaction, Write, run
from slackwater.testing.conformance.wording import WORDS, Words

MANY_ROWS = 100_000
MANY_KEYS = 2_000


def named_cases(entity_name: str, *, many_rows: int = MANY_ROWS) -> tuple[Case, ...]:
    """Return every named case of `products` or `orders`.

    Args:
        entity_name: Which.
        many_rows: Rows of the one large file.
    """
    words = WORDS[entity_name]
    return (
        *_lives(words),
        *_order_of_changes(words),
        *_withheld_values(words),
        *_deliveries(words),
        *_values(words),
        _large_file(words, many_rows),
    )


def _lives(w: Words) -> list[Case]:
    """Keys that come, go and come back."""
    return [
        w.case("insert, delete, insert", [w.write(text="a", large="A"), Delete(1), w.write(text="b")]),
        w.case("update of a key", [w.write(large="A"), Rekey(1, 2), w.write(2, "b")]),
        w.case("update of a key and back", [w.write(large="A"), Rekey(1, 2), w.write(), Delete(1), Rekey(2, 1)],
               after=[2, 3, 4, 6]),
        w.case(
            "late older change after a delete",
            [w.write(), w.write(text="b"), Delete(1)],
            orders=[(0, 2, 1), (2, 1, 0)],
        ),
        w.case("delete of a key never seen", [w.write(), Delete(1)], orders=[(1, 0)]),
        w.case("delete with only the key", [w.write(large="A"), w.write(2), Delete(1)], after=[2]),
        w.case(
            "delete with fabricated zeros",
            [w.write(large="A", amount=Decimal("1.00")), Delete(1), w.write(large="B"), w.write(withholds=True)],
            deletes=DeleteForm.ZEROS,
            orders=[(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (0, 1, 3, 2)],
        ),
        w.case(
            "partition of a row moving",
            [
                w.write(large="A", created_at=datetime.fromisoformat("2010-12-01 23:59:59.999999")),
                w.write(text="b", created_at=datetime.fromisoformat("2010-12-02 00:00:00"), withholds=True),
                Delete(1),
                w.write(text="c", created_at=datetime.fromisoformat("2010-11-30 00:00:00")),
            ],
        ),
    ]  # fmt: skip


def _order_of_changes(w: Words) -> list[Case]:
    """Which of two changes is the newer."""
    three = (w.write(text="a", large="A"), w.write(text="b", withholds=True), w.write(text="c", withholds=True))
    tied: list[Statement] = [
        w.write(text="a", large="A"),
        Snapshot(ties_later=True),
        w.write(text="b", withholds=True),
        Delete(1),
    ]
    restored: list[Statement] = [
        w.write(1, "a", large="A"), w.write(2, "kept"), w.write(1, "undone", large="B"), w.write(3, "vanishes"),
        Delete(2), Restore(back_to=2), w.write(1, "after", withholds=True),
    ]  # fmt: skip
    return [
        w.case("several changes of one key in one transaction", [Transaction((*three, Delete(1), w.write(text="d")))]),
        w.case("equal LSN", [Transaction(group, shares_lsn=True) for group in (three, (Delete(1), *three[:2]))],
               after=[1, 2, 3, 5]),
        w.case("snapshot against stream, equal LSN", tied),
        w.case(
            "snapshot against stream, stream newer",
            [w.write(large="A"), Snapshot(), w.write(text="b", large=None), Snapshot(), w.write(text="c")],
        ),
        w.case("snapshot at the LSN of the change before", [*three[:2], Snapshot(ties_earlier=True), three[2]]),
        w.case("epoch raised after a restore", restored, after=[2, 4, 8]),
        w.case("epoch raised over an empty table", [w.write(), Delete(1), w.write(2), Restore(), w.write(1, "new")]),
        _conflicting_content(w),
        w.case("greatest keys and LSNs", [w.write(large="A"), w.write(text="b", withholds=True), Delete(1), w.write()],
               first_lsn=2**63 - 100, uses_greatest_keys=True),
    ]  # fmt: skip


def _conflicting_content(w: Words) -> Case:
    """Two files with the same positions and other content: the greater object id wins, in every store."""
    case = w.case("conflicting content", [w.write(text="a", large="A"), w.write(text="b", large="B")], after=[])
    (file,) = case.files
    other = tuple(replace(change, values={**change.values, w.text: "other", w.large: "O"}) for change in file.changes)
    return replace(case, files=(file, replace(file, changes=other, copy=1)), orders=((0, 1), (1, 0)), table=None)


def _withheld_values(w: Words) -> list[Case]:
    """Large values that are not told when they did not change."""
    return [
        w.case(
            "value, withheld, late value between",
            [w.write(text="a", large="10"), w.write(text="b", large="20"), w.write(text="c", withholds=True)],
            orders=[(0, 2, 1), (2, 1, 0), (2, 0, 1), (1, 2, 0)],
        ),
        w.case("withheld after a null", [w.write(large="A"), w.write(large=None), w.write(text="b", withholds=True)]),
        w.case(
            "withheld value of an earlier life",
            [w.write(large="A"), Delete(1), w.write(text="b", large="B"), w.write(text="c", withholds=True)],
            orders=[(0, 1, 2, 3), (3, 2, 1, 0), (0, 1, 3, 2), (3, 0, 1, 2)],
        ),
        w.case(
            "update of a key that withholds",
            [w.write(2, large="of an earlier row"), Delete(2), w.write(1, large="A"), Rekey(1, 2, withholds=True),
             w.write(2, "b", withholds=True)],
            after=[1, 2, 4, 5],
        ),
        w.case(
            "update of a key that withholds, told again",
            [w.write(large="A"), Rekey(1, 2, withholds=True), w.write(2, "b", large="told")],
        ),
        w.case("null to value and back", [
            w.write(text=None), w.write(text="b", amount=Decimal("0.00"), number=0, large=""),
            w.write(text=None, amount=None, number=None, large=None),
            w.write(text="", amount=Decimal("0.10"), large="A"),
        ]),
    ]  # fmt: skip


def _deliveries(w: Words) -> list[Case]:
    """The same changes in other files and orders."""
    plain: list[Statement] = [
        w.write(text="a", large="A"),
        w.write(2, "b"),
        w.write(text="c", withholds=True),
        Delete(2),
        w.write(2, "d"),
    ]
    again = run(w.entity, [Transaction((statement,)) for statement in plain])
    repeated = (
        *cut(again, [2]),
        sent_again(again, 0, 3, first=5),
        sent_again(again, 1, 5, first=8, form=FileForm.JSON),
    )

    def with_copies(files: tuple[ChangeFile, ...]) -> Sequence[ChangeFile]:
        return (*files, *(replace(file, copy=1, form=FileForm.JSON_OFFSET) for file in files))

    def with_empty(files: tuple[ChangeFile, ...]) -> Sequence[ChangeFile]:
        return (empty_file(0, copy=1), *files, empty_file(5, form=FileForm.JSON), empty_file(5))

    def faulty(fault: Fault) -> Callable[[tuple[ChangeFile, ...]], Sequence[ChangeFile]]:
        return lambda files: (files[0], with_fault(files[1], fault), *files[2:])

    def repaired(files: tuple[ChangeFile, ...]) -> Sequence[ChangeFile]:
        return (files[0], with_fault(files[1], Fault.DROPPED_COLUMN), *files[2:], replace(files[1], copy=1))

    return [
        make_case("the same change in two files", again, repeated),
        w.case("the same positions in two objects", plain, after=[2], change_files=with_copies),
        w.case("out of order and repeated files", plain, orders=[(4, 0, 3, 1, 2, 0), (2, 2, 0, 4, 3, 1)]),
        w.case("late file", plain, after=[1, 3], orders=[(0, 2, 1), (1, 2, 0)]),
        # A merge that works file by file has folded the newer ones: rows replaced, kept, told and deleted.
        w.case("late file after a fold", [*plain, w.write(2, "e", large="E")], after=[2, 5], orders=[(0, 2, 1),
               (2, 1, 0), (2, 0, 1)]),
        w.case("one-row files", plain),
        w.case("empty files", plain, after=[2], change_files=with_empty),
        w.case("file with a dropped column", plain, after=[1, 3], change_files=faulty(Fault.DROPPED_COLUMN)),
        w.case("file with a dropped column, sent whole later", plain, after=[1, 3], change_files=repaired),
        w.case("a time in year 1", plain, after=[1, 3], change_files=faulty(Fault.YEAR_1)),
        w.case("a time in year 9999", plain, after=[1, 3], forms=[FileForm.JSON], change_files=faulty(Fault.YEAR_9999)),
    ]  # fmt: skip


def _values(w: Words) -> list[Case]:
    """Values at the edges of their types, each written in every physical form."""
    forms = tuple(FileForm)
    texts = [w.write(text=text, large=text) for text in AWKWARD_TEXTS]
    amounts = [w.write(text="a", amount=amount) for amount in AWKWARD_AMOUNTS]
    numbers = [w.write(text="a", number=number) for number in (0, 2**31 - 1, -(2**31), -1)]
    times = [w.write(text="a", created_at=at, updated_at=at) for at in AWKWARD_TIMES]
    return [
        # Every value is the newest at some prefix of some order, as each is the only change of its key.
        w.case("unicode", _each_on_its_key(texts), after=range(0, len(texts), 8), forms=forms),
        w.case("extreme decimals", _each_on_its_key(amounts), after=range(0, len(amounts), 3), forms=forms),
        w.case("extreme integers", _each_on_its_key(numbers), forms=forms),
        w.case("extreme timestamps", _each_on_its_key(times), after=range(0, len(times), 4), forms=forms),
        *(
            w.case(f"microseconds and clock changes as {form.value}", _each_on_its_key(times), after=[], forms=[form])
            for form in forms
        ),
    ]


def _each_on_its_key(writes: Sequence[Write]) -> list[Statement]:
    return [replace(write, key=key) for key, write in enumerate(writes, 1)]


def _large_file(w: Words, count: int) -> Case:
    """One file of many rows over a few keys, one small file that is older and one that is newer."""
    keys = min(MANY_KEYS, max(1, count // 2))
    writes = [
        w.write(1 + n % keys, f"text {n}", amount=Decimal(n % 10_000) / 100, withholds=True) for n in range(count)
    ]
    first: list[Statement] = [w.write(key, "first", large=f"large {key}") for key in (1, 2, 3)]
    last: list[Statement] = [Delete(1), w.write(2, "last", withholds=True)]
    statements = [Transaction(tuple(first)), Transaction(tuple(writes)), Transaction(tuple(last))]
    return w.case("a file of very many rows", statements, after=[3, 3 + count], orders=[(1, 0, 2), (2, 1, 0)])
