"""The fault suite counts what is lost and what is doubled, and is not fooled by one hiding the other."""

import pytest
from accounts import Place, compare_places, sent_places

KEY = "cdc/orders/date=2010-12-0{day}/hour=00/shop.orders+0+{first}-{last}.parquet"
ORDERS = ("orders", "shop.orders+0")
SENT = {ORDERS: Place(10, 10, 0, 9)}


def test_what_was_sent_is_read_from_the_names_alone() -> None:
    assert sent_places([KEY.format(day=2, first=4, last=9), KEY.format(day=1, first=0, last=3)]) == SENT


def test_files_with_a_gap_between_them_are_no_basis_for_an_account() -> None:
    with pytest.raises(AssertionError, match="overlap or leave a gap"):
        sent_places([KEY.format(day=1, first=0, last=3), KEY.format(day=2, first=5, last=9)])


@pytest.mark.parametrize(
    ("found", "lost", "doubled", "is_said"),
    [
        pytest.param(Place(10, 10, 0, 9), 0, 0, False, id="everything once"),
        pytest.param(Place(9, 9, 0, 9), 1, 0, True, id="one lost"),
        pytest.param(Place(11, 10, 0, 9), 0, 1, False, id="one twice"),
        pytest.param(Place(10, 9, 0, 9), 1, 1, True, id="one lost and one twice"),
        pytest.param(Place(10, 10, 1, 10), 0, 0, True, id="as many, but others"),
    ],
)
def test_lost_and_doubled_rows_are_counted(found: Place, lost: int, doubled: int, is_said: bool) -> None:
    gone, twice, problems = compare_places("raw", SENT, {ORDERS: found})
    assert (gone, twice, bool(problems)) == (lost, doubled, is_said)


def test_a_store_without_an_entity_lost_all_of_it() -> None:
    gone, _, problems = compare_places("raw", SENT, {})
    assert gone == 10
    assert problems
