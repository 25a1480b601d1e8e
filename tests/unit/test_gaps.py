"""How a missing file is named."""

from slackwater.ledger.gaps import MissingRange

HOLE = MissingRange("orders", "shop.orders+0", 100, 149, "cdc/orders/a.parquet", "cdc/orders/b.parquet")


def test_a_missing_range_counts_both_ends():
    assert HOLE.position_count == 50
    assert MissingRange("orders", "p+0", 7, 7, "a", "b").position_count == 1


def test_a_missing_range_names_the_file_that_would_fill_it_and_both_neighbours():
    assert HOLE.file_stem == "shop.orders+0+100-149"
    assert str(HOLE) == (
        "orders: 50 positions are missing, shop.orders+0+100-149, between cdc/orders/a.parquet and cdc/orders/b.parquet"
    )
