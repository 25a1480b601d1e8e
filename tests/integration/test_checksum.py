"""The checksum of rows: equal for equal rows in any order, different for every other change one can think of."""

from datetime import date
from decimal import Decimal

import pytest

from spark.transforms.checksum import CHECKS, checks

pytestmark = [pytest.mark.integration, pytest.mark.spark]

DAY, NEXT = date(2010, 12, 6), date(2010, 12, 7)
TYPES = "id bigint, name string, status string, price decimal(10,2), stock int, date date"
ROWS = [
    (1, "a", "b", Decimal("1.00"), 1, DAY),
    (2, "ab", "c", Decimal("2.50"), None, DAY),
    (3, None, "", None, 0, DAY),
    (1, "a", "b", Decimal("1.00"), 1, NEXT),
]


@pytest.fixture(scope="module")
def session(module_sandbox):
    return module_sandbox.spark()


@pytest.fixture(scope="module")
def check(session):
    """Return the checks of the first day of rows."""

    def checked(rows, types=TYPES):
        (found,) = (
            checks(session.createDataFrame(rows, types), key=("id",), by=("date",)).where(f"date = '{DAY}'").collect()
        )
        return {name: int(found[name]) for name in CHECKS}

    return checked


def changed(row, **columns):
    names = [part.split()[0] for part in TYPES.split(", ")]
    return tuple(columns.get(name, value) for name, value in zip(names, ROWS[row], strict=True))


def with_row(row, **columns):
    return [changed(row, **columns) if number == row else held for number, held in enumerate(ROWS)]


def test_rows_in_another_order_in_other_partitions_and_other_columns_first_are_the_same(session, check):
    expected = check(ROWS)
    assert expected["row_count"] == 3
    assert check(ROWS[::-1]) == expected
    frame = session.createDataFrame(ROWS, TYPES).repartition(4).select("status", "date", "stock", "price", "name", "id")
    (found,) = checks(frame, key=("id",), by=("date",)).where(f"date = '{DAY}'").collect()
    assert {name: int(found[name]) for name in CHECKS} == expected


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(with_row(2, name="", status=None), id="a null in another column"),
        pytest.param(with_row(2, name=""), id="null and empty text"),
        pytest.param(with_row(1, stock=0), id="null and zero"),
        pytest.param(with_row(1, name="a", status="bc"), id="text moved to the next column"),
        pytest.param(with_row(0, name="b", status="a"), id="two values exchanged"),
        pytest.param(with_row(0, price=Decimal("1.01")), id="a cent"),
    ],
)
def test_a_changed_value_changes_both_checksums_of_the_content_and_none_of_the_keys(check, rows):
    before, after = check(ROWS), check(rows)
    assert {name for name in CHECKS if before[name] != after[name]} == {"content_sum", "content_xor"}


def test_two_rows_that_exchange_their_values_change_the_content_alone(check):
    before, after = check(ROWS), check([changed(0, id=2), changed(1, id=1), *ROWS[2:]])
    assert {name for name in CHECKS if before[name] != after[name]} == {"content_sum", "content_xor"}


def test_a_row_that_came_twice_and_two_that_are_both_doubled_are_seen(check):
    before = check(ROWS)
    once, twice = check([*ROWS, ROWS[0]]), check([*ROWS, ROWS[0], ROWS[0]])
    assert all(before[name] != once[name] for name in CHECKS)
    assert {name for name in CHECKS if before[name] != twice[name]} == {"row_count", "key_sum", "content_sum"}


def test_a_row_replaced_by_a_copy_of_another_is_seen_in_the_keys(check):
    before, after = check(ROWS), check([ROWS[0], ROWS[0], *ROWS[2:]])
    assert before["row_count"] == after["row_count"]
    assert all(before[name] != after[name] for name in CHECKS if name != "row_count")


def test_the_same_number_of_another_type_is_another_content(check):
    of_int, of_text = check(ROWS), check(ROWS, TYPES.replace("stock int", "stock bigint"))
    assert of_int["content_sum"] != of_text["content_sum"]
    assert of_int["key_sum"] == of_text["key_sum"]


def test_a_table_of_too_many_columns_is_refused(session):
    wide = session.createDataFrame([tuple(range(64))], [f"c{number}" for number in range(64)])
    with pytest.raises(ValueError, match="64 columns"):
        checks(wide, key=("c0",), by=("c0",))
