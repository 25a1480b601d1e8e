"""Hypothesis strategies: histories of one entity and their deliveries as files. Everything shrinks towards little.

Values lie inside what the landing contract accepts, often at its edges; what it refuses comes as a fault of a file.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from slackwater.entities.model import Column, ColumnType, Entity, load_entity
from slackwater.naming import TOAST_PLACEHOLDER
from slackwater.testing.conformance.change_files import (
    FAULTS_OF_ANY_ENTITY,
    Case,
    ChangeFile,
    DeleteForm,
    Fault,
    FileForm,
    cut,
    empty_file,
    make_case,
    sent_again,
    swapped,
    with_fault,
)
from slackwater.testing.conformance.source import (
    Delete,
    History,
    Rekey,
    Restore,
    Row,
    Snapshot,
    Statement,
    Transaction,
    Value,
    Write,
    run,
)

ENTITIES_UNDER_TEST = ("products", "orders")
"""Both have a toastable column; without one there is less to get wrong."""

Drawn = TypeVar("Drawn")

KEYS = st.sampled_from([1, 1, 1, 1, 2, 3])
AWKWARD_TEXTS = (
    "", " ", "a", "NULL", "null", "\\N", "'", '"', "\\", "a\nb\r\n", "\t", "\u2028", "ﬀ", "é", "e\u0301",
    "Zażółć", "日本語", "\U0001f9c2\U0001f30a", "‮abc", "\ufeff", "2010-12-01", "1e3", "0010", "{}", "x" * 5_000,
)  # fmt: skip
AWKWARD_TIMES = tuple(
    datetime.fromisoformat(text)
    for text in (
        "2010-12-01 08:26:00",
        "1900-01-01 00:00:00",  # first the contract accepts
        "2299-12-31 23:59:59.999999",  # last
        "1970-01-01 00:00:00",  # what a delete makes up, as a true value
        "1969-12-31 23:59:59.999999",
        "2010-03-28 00:59:59.999999",  # London's clocks go forward
        "2010-03-28 01:00:00.000001",
        "2010-10-31 00:30:00",  # and back: 01:30 happens twice
        "2010-10-31 01:30:00",
        "2262-04-11 23:47:16.854776",  # one past what nanoseconds in 64 bits can hold
        "2038-01-19 03:14:08",
        "2012-02-29 23:59:59",
    )
)
AWKWARD_AMOUNTS = tuple(
    Decimal(text) for text in ("0.00", "0.01", "-0.01", "0.10", "99999999.99", "-99999999.99", "1.15", "4.35", "70.07")
)

_TYPES: dict[ColumnType, st.SearchStrategy[Value]] = {
    ColumnType.INT32: st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1),
    ColumnType.INT64: st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1),
    ColumnType.STRING: st.sampled_from(AWKWARD_TEXTS)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8).filter(
        lambda text: text != TOAST_PLACEHOLDER
    ),
    ColumnType.TIMESTAMP: st.sampled_from(AWKWARD_TIMES)
    | st.datetimes(datetime(1900, 1, 1), datetime(2299, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
    ColumnType.MONEY: st.sampled_from(AWKWARD_AMOUNTS)
    | st.integers(-(10**10) + 1, 10**10 - 1).map(lambda cents: Decimal(cents).scaleb(-2)),
    ColumnType.LARGE_MONEY: st.sampled_from((*AWKWARD_AMOUNTS, Decimal("9999999999999999.99")))
    | st.integers(-(10**18) + 1, 10**18 - 1).map(lambda cents: Decimal(cents).scaleb(-2)),
}


def rows(entity: Entity) -> st.SearchStrategy[Row]:
    """Return a few columns with values, null among them; often a toastable one, where most can go wrong."""
    large = st.fixed_dictionaries({name: st.sampled_from(["A", "B", None, ""]) for name in entity.toastable_names})
    some = st.one_of([st.tuples(st.just(c.name), st.none() | _TYPES[c.type]) for c in _plain(entity)])
    return st.builds(
        lambda told, others: {**told, **dict(others)},
        st.just({}) | large,
        st.lists(some, max_size=2),
    )


def _plain(entity: Entity) -> list[Column]:
    return [column for column in entity.columns if column.name != entity.key]


def transactions(entity: Entity) -> st.SearchStrategy[Transaction]:
    """Return transactions: a few row changes, or a snapshot, or a restore."""
    write: st.SearchStrategy[Statement] = st.builds(Write, KEYS, rows(entity), st.sampled_from([False, True, True]))
    removal: st.SearchStrategy[Statement] = st.builds(Delete, KEYS)
    row_changes = _weighted((5, write), (2, removal), (1, st.builds(Rekey, KEYS, KEYS, st.booleans())))
    several = st.builds(Transaction, st.lists(row_changes, min_size=1, max_size=2).map(tuple), st.booleans())
    snapshot = st.builds(Snapshot, st.booleans(), st.booleans()).map(lambda taken: Transaction((taken,)))
    restore = st.builds(Restore, st.integers(0, 4)).map(lambda put_back: Transaction((put_back,)))
    return _weighted((8, several), (2, snapshot), (1, restore))


def _weighted(*choices: tuple[int, st.SearchStrategy[Drawn]]) -> st.SearchStrategy[Drawn]:
    """Return one of several strategies, the first the simplest; `one_of` would count a repeated one once."""
    return st.sampled_from([strategy for weight, strategy in choices for _ in range(weight)]).flatmap(lambda s: s)


def histories(entity: Entity) -> st.SearchStrategy[History]:
    """Return histories of at least one change."""
    first = st.builds(Write, KEYS, rows(entity)).map(lambda write: Transaction((write,)))
    one: st.SearchStrategy[tuple[Transaction, ...]] = transactions(entity).map(lambda transaction: (transaction,))
    rest = st.lists(_weighted((6, one), (1, _reborn(entity))), max_size=8)
    return st.builds(lambda begin, then: run(entity, [begin, *chain.from_iterable(then)]), first, rest)


def _reborn(entity: Entity) -> st.SearchStrategy[tuple[Transaction, ...]]:
    """Return a delete, an insert and an update that withholds: seldom drawn by chance, often merged wrong."""

    def of(key: int, row: Row) -> tuple[Transaction, ...]:
        return tuple(Transaction((s,)) for s in (Delete(key), Write(key, row), Write(key, withholds=True)))

    return st.builds(of, KEYS, rows(entity))


@st.composite
def cases(draw: st.DrawFn, of: Entity | None = None) -> Case:
    """Return cases of one or any entity under test: a history, its files, and the orders in which they arrive.

    What is drawn for the delivery does not depend on the size of the history, so that a history can shrink under it.
    """
    entity = of or load_entity(draw(st.sampled_from(ENTITIES_UNDER_TEST)))
    after = draw(st.just(range(1, 6)) | st.sets(st.integers(1, 6), max_size=2))
    forms = draw(st.lists(_FORMS, min_size=1, max_size=3))
    deletes = draw(st.sampled_from(DeleteForm))
    extras = draw(st.lists(_EXTRAS, max_size=2))
    ranks = draw(st.lists(st.integers(0, 5), max_size=6))
    repeated = draw(st.none() | st.integers(0, 5))
    history = draw(histories(entity))
    files = list(cut(history, after, forms=forms, deletes=deletes))
    for extra in extras:
        _add(files, extra, history)
    natural = tuple(range(len(files)))
    shuffled = sorted(natural, key=lambda index: (ranks[index] if index < len(ranks) else 0, index))
    again = () if repeated is None else (repeated % len(files),)
    orders = (natural, natural[::-1], swapped(natural), (*shuffled, *again))
    return make_case("generated", history, files, orders=orders)


@dataclass(frozen=True)
class Extra:
    """What makes a delivery messy; numbers are taken modulo what there is."""

    kind: str
    index: int
    length: int
    form: FileForm
    fault: Fault


_FORMS = st.sampled_from(FileForm)
_EXTRAS = st.builds(
    Extra,
    st.sampled_from(["empty", "copied", "sent again", "faulty"]),
    st.integers(0, 8),
    st.integers(1, 8),
    _FORMS,
    st.sampled_from(FAULTS_OF_ANY_ENTITY),
)


def _add(files: list[ChangeFile], extra: Extra, history: History) -> None:
    """Add to the files; positions go on after all there are."""
    next_position = max(file.last for file in files) + 1
    copy = len(files)
    index = extra.index % len(files)
    if extra.kind == "empty":
        files.append(empty_file(next_position, copy=copy, form=extra.form))
    elif extra.kind == "copied":
        files.append(replace(files[index], copy=copy, form=extra.form, fault=None))
    elif extra.kind == "sent again":
        start = extra.index % len(history.changes)
        end = min(start + extra.length, len(history.changes))
        files.append(sent_again(history, start, end, first=next_position, form=extra.form))
    else:
        files[index] = with_fault(files[index], extra.fault)


def generated_cases(
    count: int, *, seed_number: int, files_max: int, of: st.SearchStrategy[Case] | None = None
) -> tuple[Case, ...]:
    """Return a fixed set of cases for a merge that is too dear to be searched.

    Args:
        count: How many, > 0.
        seed_number: The same number gives the same cases.
        files_max: Cases that arrive as more files are left out; so are those of a single change.
        of: Where they are drawn from; `cases()` by default.
    """
    found: list[Case] = []
    batch = 0
    while len(found) < count:
        # Hypothesis varies what it found before; many short searches differ more than a long one.
        found += _search(seed_number * 1_000_003 + batch, files_max=files_max, of=cases() if of is None else of)
        batch += 1
    return tuple(replace(case, name=f"generated {seed_number}/{i}") for i, case in enumerate(found[:count]))


def _search(seed_number: int, *, files_max: int, of: st.SearchStrategy[Case]) -> list[Case]:
    found: list[Case] = []

    @seed(seed_number)
    @settings(
        max_examples=40,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(of)
    def collect(case: Case) -> None:
        if sum(len(file.changes) for file in case.files) > 1 and max(map(len, case.orders)) <= files_max:
            found.append(case)

    collect()
    return found
