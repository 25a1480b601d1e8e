"""What makes a day final, and each thing that speaks against it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from slackwater.completeness.assess import assess
from slackwater.completeness.model import Cause, Counts, Hole, HoleKind, LedgerCounts, PartitionClock, percent_of

D1, D2, D3, D4, D5 = (date(2010, 12, day) for day in range(1, 6))
PARTITION = "shop.orders+0"


def _days(*rows, entity="orders"):
    """Rows of an entity on the first days of December."""
    return {(entity, date(2010, 12, number)): count for number, count in enumerate(rows, 1) if count}


def _clock(day, partition=PARTITION, entity="orders"):
    return PartitionClock(entity, partition, day)


EVERYWHERE = _days(5, 6, 7)
COMPLETE = Counts(
    source=EVERYWHERE,
    ledger=LedgerCounts(
        landed=EVERYWHERE, committed=EVERYWHERE, quarantined={}, discarded={}, clocks=(_clock(D3),), holes=()
    ),
    lake=EVERYWHERE,
    raw=EVERYWHERE,
    published=EVERYWHERE,
    clickhouse=EVERYWHERE,
    refresh_id="r1",
)


def _with(counts=COMPLETE, *, ledger=None, **changed):
    return replace(counts, ledger=replace(counts.ledger, **(ledger or {})), **changed)


def _gap(first, last, *, size=7, kind=HoleKind.MISSING, entity="orders"):
    return Hole(kind, entity, PARTITION, 100, 99 + size, 0 if kind is HoleKind.MISSING else 1, "the-file", first, last)


def _assessed(counts):
    return {row.day: row for row in assess(counts)}


def _causes(counts):
    return {row.day: row.causes for row in assess(counts)}


WITHOUT_SOURCE = _with(source=None)
WITHHELD = _days(5, 0, 7)
"""The second day's file is not there."""


def test_days_that_are_over_and_equal_everywhere_are_final_and_the_last_is_open():
    found = _assessed(COMPLETE)
    assert [(row.percent, row.is_final) for row in found.values()] == [
        (Decimal("100.00"), True),
        (Decimal("100.00"), True),
        (Decimal("100.00"), False),
    ]
    assert found[D3].causes == (Cause.STILL_OPEN,)
    assert found[D3].reasons == ("the source has not moved beyond this day",)


def test_without_a_known_source_the_partitions_say_when_a_day_is_over():
    found = _assessed(WITHOUT_SOURCE)
    assert [row.is_final for row in found.values()] == [True, True, False]
    assert found[D1].source_rows is None
    assert found[D3].reasons == (f"{PARTITION} has not moved beyond this day",)


@pytest.mark.parametrize("behind", [D1, None], ids=["at the first day", "nothing read yet"])
def test_a_partition_that_lags_holds_the_days_of_its_entity_open(behind):
    counts = _with(WITHOUT_SOURCE, ledger={"clocks": (_clock(D3), _clock(behind, "shop.orders+1"))})
    assert [Cause.STILL_OPEN in causes for causes in _causes(counts).values()] == [True, True, True]


def test_a_quiet_entity_is_over_when_its_known_source_moved_on():
    users = _days(2, entity="users")
    counts = COMPLETE
    for name in ("source", "lake", "raw", "published"):
        counts = replace(counts, **{name: getattr(counts, name) | users})
    clocks = (*counts.ledger.clocks, _clock(D1, "shop.users+0", "users"))
    arrived = {name: getattr(counts.ledger, name) | users for name in ("landed", "committed")}
    known = _with(counts, ledger={**arrived, "clocks": clocks})
    unknown = replace(known, source=None)

    def final(counts):
        return [row.is_final for row in assess(counts) if row.entity == "users"]

    assert final(known) == [True, True, False]
    assert final(unknown) == [False, False, False]


def test_a_day_without_rows_is_complete_by_nothing_of_nothing():
    (quiet,) = [row for row in assess(_with(source=_days(5, 6, 7) | _days(1, entity="users"))) if row.entity == "users"
                and row.day == D2]  # fmt: skip
    assert (quiet.expected_rows, quiet.percent, quiet.is_final) == (0, Decimal("100.00"), True)


def test_a_withheld_file_shows_its_day_below_100_and_blocks_it_and_the_days_after():
    counts = _with(
        **dict.fromkeys(("lake", "raw", "published"), WITHHELD),
        ledger={"landed": WITHHELD, "committed": WITHHELD, "holes": (_gap(D1, D3, size=6),)},
    )
    found = _assessed(counts)
    assert [(row.percent, row.missing_positions, row.is_final) for row in found.values()] == [
        (Decimal("100.00"), 0, True),
        (Decimal("0.00"), 6, False),
        (Decimal("100.00"), 0, False),
    ]
    assert found[D2].causes == (Cause.MISSING, Cause.SOURCE_DIFFERS)
    assert found[D2].reasons[0] == "6 positions are missing: the-file"


def test_without_a_source_a_gap_shows_on_every_day_it_may_belong_to_even_one_without_rows():
    counts = _with(
        WITHOUT_SOURCE,
        **dict.fromkeys(("lake", "raw", "published"), WITHHELD),
        clickhouse=None,
        ledger={"landed": WITHHELD, "committed": WITHHELD, "clocks": (_clock(D3),), "holes": (_gap(D1, D3, size=5),)},
    )
    found = _assessed(counts)
    assert [(row.day, row.missing_positions, row.percent) for row in found.values()] == [
        (D1, 5, Decimal("50.00")),
        (D2, 5, Decimal("0.00")),
        (D3, 5, Decimal("58.33")),
    ]
    assert not any(row.is_final for row in found.values())


def test_days_before_a_hole_are_not_blocked():
    counts = _with(WITHOUT_SOURCE, ledger={"holes": (_gap(D2, D2),)})
    assert [Cause.MISSING in causes for causes in _causes(counts).values()] == [False, True, True]


def test_a_gap_that_the_source_denies_blocks_only_what_comes_after_it():
    """Every day it may belong to is whole by the source, so it belongs to none of them; yet positions are missing."""
    counts = _with(
        source=_days(5, 6, 7, 8),
        **dict.fromkeys(("lake", "raw", "published"), _days(5, 6, 7, 8)),
        ledger={**dict.fromkeys(("landed", "committed"), _days(5, 6, 7, 8)), "holes": (_gap(D1, D2),)},
    )
    assert [Cause.MISSING in causes for causes in _causes(counts).values()] == [False, False, True, True]
    assert [row.missing_positions for row in assess(counts)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [(HoleKind.QUARANTINED, Cause.QUARANTINED), (HoleKind.IN_FLIGHT, Cause.IN_FLIGHT)],
    ids=["quarantined", "in flight"],
)
def test_a_file_that_is_not_published_blocks_its_first_possible_day_and_all_after(kind, cause):
    counts = _with(WITHOUT_SOURCE, ledger={"holes": (_gap(D2, None, kind=kind),)})
    assert [cause in causes for causes in _causes(counts).values()] == [False, True, True]
    assert {row.missing_positions for row in assess(counts)} == {0}
    anywhere = _with(WITHOUT_SOURCE, ledger={"holes": (_gap(None, None, kind=kind),)})
    assert all(cause in causes for causes in _causes(anywhere).values())


def test_a_file_on_the_way_does_not_block_days_that_are_whole_by_the_source():
    counts = _with(source=_days(5, 6, 7, 9), ledger={"holes": (_gap(D1, None, kind=HoleKind.IN_FLIGHT),)})
    assert [Cause.IN_FLIGHT in causes for causes in _causes(counts).values()] == [False, False, False, True]


def test_quarantined_rows_count_as_expected_where_the_source_is_not_known():
    counts = _with(WITHOUT_SOURCE, ledger={"quarantined": _days(0, 2)})
    assert _assessed(counts)[D2].percent == Decimal("75.00")
    assert _assessed(_with(ledger={"quarantined": _days(0, 2)}))[D2].percent == Decimal("100.00")


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"published": _days(5, 5, 7)}, Cause.UNPUBLISHED),
        ({"published": _days(5, 5, 7), "raw": _days(5, 5, 7)}, Cause.UNPUBLISHED),
        ({"raw": _days(5, 7, 7)}, Cause.UNPUBLISHED),
        ({"lake": _days(5, 5, 7)}, Cause.LAKE_DIFFERS),
        ({"lake": _days(5, 7, 7)}, Cause.LAKE_DIFFERS),
        ({"raw": _days(5, 7, 7), "published": _days(5, 7, 7)}, Cause.WAREHOUSE_DIFFERS),
        ({"source": _days(5, 7, 7)}, Cause.SOURCE_DIFFERS),
        ({"source": _days(5, 5, 7)}, Cause.SOURCE_DIFFERS),
    ],
    ids=[
        "loaded and not published",
        "landed and not loaded",
        "more loaded than published",
        "lake lacks",
        "lake has more",
        "raw has more than arrived",
        "the source wrote more",
        "the source wrote less",
    ],
)
def test_counts_that_differ_name_which_and_only_that_day(changed, cause):
    causes = _causes(_with(**changed))
    assert cause in causes[D2]
    assert causes[D1] == ()


def test_a_repeated_delivery_counts_twice_in_the_lake_alone():
    twice = _days(5, 12, 7)
    assert _causes(_with(lake=twice, ledger={"committed": twice}))[D2] == ()
    assert _assessed(_with(lake=twice, ledger={"committed": twice}))[D2].lake_rows == 12


def test_what_was_discarded_ends_the_day_below_100():
    counts = _with(source=_days(5, 8, 7), ledger={"discarded": _days(0, 2)})
    day = _assessed(counts)[D2]
    assert (day.percent, day.is_final) == (Decimal("75.00"), True)
    assert not _assessed(_with(source=_days(5, 9, 7), ledger={"discarded": _days(0, 2)}))[D2].is_final


def test_clickhouse_decides_nothing():
    for fast in (None, {}, _days(9, 9, 9)):
        assert [row.is_final for row in assess(_with(clickhouse=fast))] == [True, True, False]
    assert _assessed(_with(clickhouse=None))[D1].clickhouse_rows is None


def test_before_the_first_publication_nothing_is_complete():
    found = assess(_with(published={}, refresh_id=None))
    assert [(row.percent, row.is_final) for row in found] == [(Decimal("0.00"), False)] * 3


def test_an_entity_nobody_saw_has_no_row_and_nothing_gives_none():
    assert {row.entity for row in assess(COMPLETE)} == {"orders"}
    nothing = Counts(None, LedgerCounts({}, {}, {}, {}, (), ()), {}, {}, {}, {}, None)
    assert assess(nothing) == ()


def test_of_several_holes_the_first_is_named_and_the_others_counted():
    holes = (_gap(D3, D3), replace(_gap(D2, D2), name="first-file"), _gap(D5, D5))
    found = _assessed(_with(WITHOUT_SOURCE, ledger={"holes": holes}))
    assert found[D2].reasons == ("7 positions are missing: first-file",)
    assert found[D3].reasons[1] == "7 positions are missing: first-file and 1 more"


@pytest.mark.parametrize(
    ("part", "whole", "percent"),
    [(0, 0, "100.00"), (0, 3, "0.00"), (2, 3, "66.66"), (99_999, 100_000, "99.99"), (3, 3, "100.00")],
    ids=["nothing of nothing", "none", "rounded down", "nearly all is not all", "all"],
)
def test_percent_is_rounded_down_so_that_100_means_all(part, whole, percent):
    assert percent_of(part, whole) == Decimal(percent)
