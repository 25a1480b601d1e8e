"""An entity whose shape has changed, and its cases: files of every former shape among those of the newest.

`EVOLVED` is what the file of `products` would declare after columns were added, renamed and widened; put it in force
with `slackwater.testing.declaring`. The first shape is that of `products` itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from slackwater.entities.model import Column, ColumnType, Entity, load_entity
from slackwater.testing.conformance.change_files import Case, ChangeFile, DeleteForm, Fault, FileForm, with_fault
from slackwater.testing.conformance.histories import cases
from slackwater.testing.conformance.older_shapes import grown, written_at
from slackwater.testing.conformance.source import Delete, Statement, Write
from slackwater.testing.conformance.wording import Words


def _evolved() -> Entity:
    changed = {
        "name": {"name": "title", "renamed_from": ("name",)},
        "description": {"name": "details", "renamed_from": ("description",)},
        "price": {"type": ColumnType.LARGE_MONEY, "was": (ColumnType.MONEY,)},
        "stock_quantity": {"type": ColumnType.INT64, "was": (ColumnType.INT32,)},
    }
    products = load_entity("products")
    columns = [column.model_copy(update=changed.get(column.name, {})) for column in products.columns]
    columns += [
        Column(name="brand", type=ColumnType.STRING, since=2),
        Column(name="notes", type=ColumnType.STRING, since=3, toastable=True),
    ]
    return Entity(**{**dict(products), "columns": tuple(columns), "version": 3})


EVOLVED = _evolved()
_W = Words(EVOLVED, text="title", amount="price", large="details", number="stock_quantity")
_LARGE_NUMBER, _LARGE_AMOUNT = 2**40, Decimal("9999999999999999.99")


def evolved_cases() -> tuple[Case, ...]:
    """Return the named cases; none needs more than four files."""
    return (*_columns(), *_withheld_values(), *_deliveries())


@st.composite
def drawn_evolved_cases(draw: st.DrawFn) -> Case:
    """Return cases of `EVOLVED`, whose files are of any version in which their rows can have been written."""
    versions = draw(st.lists(st.sampled_from([1, 1, 2]), max_size=6))
    case = draw(cases(EVOLVED))
    return replace(case, files=grown(case.files, versions, EVOLVED))


def _aged(*versions: int) -> Callable[[tuple[ChangeFile, ...]], Sequence[ChangeFile]]:
    return lambda files: grown(files, versions, EVOLVED)


def _columns() -> list[Case]:
    """One change of the shape each, the older file first or late."""
    early = _W.write(text="a", large="A", number=7, amount=Decimal("1.10"))
    other = Write(2, {"title": "other", "stock_quantity": 2**31 - 1, "price": Decimal("-99999999.99")})
    return [
        _W.case("column added", [early, other, _W.write(text="b", large="B", brand="x")], after=[2],
                change_files=_aged(1)),
        _W.case("column added, then another", [early, _W.write(brand="x"), _W.write(text="b", large="B", notes="n")],
                change_files=_aged(1, 2)),
        _W.case("column renamed", [early, other, _W.write(text="b", large="B")], after=[2], change_files=_aged(1)),
        _W.case("column widened", [early, other, _W.write(number=_LARGE_NUMBER, amount=_LARGE_AMOUNT),
                                   Write(2, {"stock_quantity": -(2**63), "price": -_LARGE_AMOUNT})],
                after=[2, 3], change_files=_aged(1)),
        *(
            _W.case(f"column added, renamed and widened, older file as {form.value}",
                    [early, other, _W.write(text="b", large="B", number=_LARGE_NUMBER, amount=_LARGE_AMOUNT, brand="x",
                                            notes="n")],
                    after=[2], forms=[form], change_files=_aged(1))
            for form in FileForm
        ),
        _W.case("every version among the others",
                [early, _W.write(2), _W.write(2, "c", brand="x"), _W.write(text="b", large="B")],
                change_files=_aged(1, 1, 2), orders=[(0, 1, 2, 3), (3, 0, 2, 1), (2, 3, 1, 0), (1, 3, 0, 2)]),
    ]  # fmt: skip


def _withheld_values() -> list[Case]:
    """Large values over a rename, and a large value that was added."""
    first, silent = _W.write(text="a", large="A"), _W.write(text="b", withholds=True)
    return [
        _W.case("withheld over a rename", [first, silent, _W.write(text="c", withholds=True)], change_files=_aged(1, 1),
                orders=[(0, 1, 2), (2, 1, 0), (2, 0, 1), (1, 2, 0)]),
        _W.case("added large value withheld", [first, _W.write(notes="n"), silent], change_files=_aged(1),
                orders=[(0, 1, 2), (0, 2, 1), (2, 1, 0)]),
        _W.case("late file of before tells the withheld value", [first, _W.write(large="B"), silent],
                change_files=_aged(1, 1), orders=[(0, 2, 1), (2, 0, 1), (2, 1, 0)]),
    ]  # fmt: skip


def _deliveries() -> list[Case]:
    """Deletes and faults over a change of the shape."""
    life: list[Statement] = [_W.write(text="a", large="A"), Delete(1), _W.write(text="b", brand="x", notes="n")]

    def faulty(fault: Fault) -> Callable[[tuple[ChangeFile, ...]], Sequence[ChangeFile]]:
        return lambda files: (written_at(files[0], 1, EVOLVED), files[1], with_fault(files[2], fault))

    return [
        _W.case("delete of before, insert of after", life, change_files=_aged(1, 1)),
        _W.case("delete of before with fabricated zeros", life, change_files=_aged(1, 1), deletes=DeleteForm.ZEROS),
        _W.case("file that lacks a column of an earlier version", life, change_files=faulty(Fault.LOST_COLUMN)),
        _W.case("file with an old name beside the new one", life, change_files=faulty(Fault.TWO_NAMES)),
        _W.case("the same changes in an old and a new file", life[:2], after=[2], change_files=lambda files: (
            written_at(files[0], 1, EVOLVED), replace(files[0], copy=1))),
    ]  # fmt: skip
