"""How a slice's changes become statements: neighbours together, never a key twice, never out of order."""

from datetime import datetime

import pyarrow as pa

from slackwater.replay.source_writer import Run, array_text, plan_runs, statement


def part(*rows: tuple[int, str, int, int]) -> pa.Table:
    """Return changes as (lsn, op, id, minute)."""
    lsns, ops, keys, minutes = (list(column) for column in zip(*rows, strict=True))
    times = [datetime.fromisoformat(f"2010-12-01T09:{minute:02}") for minute in minutes]
    columns = {"id": keys, "__op": ops, "__source_lsn": lsns, "__source_ts_ms": pa.array(times, pa.timestamp("us"))}
    return pa.table(columns)


def test_neighbours_of_one_entity_and_operation_are_one_run() -> None:
    parts = {"orders": part((1, "c", 1, 0), (4, "c", 2, 0)), "order_items": part((2, "c", 1, 0), (3, "c", 2, 0))}
    assert list(plan_runs(parts)) == [Run("orders", "c", 0, 1), Run("order_items", "c", 0, 2), Run("orders", "c", 1, 2)]


def test_a_run_ends_where_a_key_would_repeat() -> None:
    runs = list(plan_runs({"orders": part((1, "u", 1, 0), (2, "u", 2, 0), (3, "u", 1, 1), (4, "u", 2, 1))}))
    assert runs == [Run("orders", "u", 0, 2), Run("orders", "u", 2, 4)]


def test_a_run_ends_where_the_operation_changes() -> None:
    runs = list(plan_runs({"orders": part((1, "c", 1, 0), (2, "u", 1, 1), (3, "u", 2, 1))}))
    assert runs == [Run("orders", "c", 0, 1), Run("orders", "u", 1, 3)]


def test_a_run_ends_at_another_time_only_where_the_rows_do_not_hold_it() -> None:
    rows = ((1, "u", 1, 0), (2, "u", 2, 1))
    assert list(plan_runs({"order_items": part(*rows)})) == [
        Run("order_items", "u", 0, 1),
        Run("order_items", "u", 1, 2),
    ]
    assert list(plan_runs({"orders": part(*rows)})) == [Run("orders", "u", 0, 2)]


def test_a_slice_without_changes_has_no_runs() -> None:
    assert list(plan_runs({"orders": part((1, "c", 1, 0)).slice(1)})) == []


def test_an_update_leaves_the_key_alone() -> None:
    text = statement("order_items", "u")
    assert "set order_id = source.order_id" in text
    assert text.endswith("where target.id = source.id")


def test_columns_become_array_literals_with_nulls_and_text_becomes_a_list() -> None:
    assert array_text(pa.chunked_array([pa.array([1, None, 3])])) == "{1,NULL,3}"
    assert array_text(pa.chunked_array([pa.array(['a"b', None])])) == ['a"b', None]
