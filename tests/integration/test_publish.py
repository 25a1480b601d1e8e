"""Publishing: one transaction, only rows that differ, one publication per refresh, and only for tested refreshes."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import IllegalTransition, LeaseLost, TerminalError
from slackwater.ledger.model import RefreshState
from slackwater.ledger.store import Ledger
from slackwater.testing.processes import Processes
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.marts import Mart
from slackwater.warehouse.publish import PublishedMart, publish, write_publication

pytestmark = pytest.mark.integration

MART = Mart("sales", (("day", "date"), ("amount", "number(18,2)"), ("note", "varchar")), ("day",))

WORKER = """
import json, sys
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import TransientError
from slackwater.settings import WarehouseSettings
from slackwater.warehouse.marts import Mart
from slackwater.warehouse.publish import write_publication
from slackwater.warehouse.refresh import Refresh
mart = Mart("sales", (("day", "date"), ("amount", "number(18,2)"), ("note", "varchar")), ("day",))
with Warehouse(WarehouseSettings()) as warehouse:
    warehouse.connect()
    for line in sys.stdin:
        refresh_id, mart_set, bounds = json.loads(line)
        refresh = Refresh(refresh_id, mart_set, bounds, None, (), {})
        try:
            answer = str(write_publication(warehouse, refresh, marts=(mart,)).was_already_published)
        except TransientError as error:
            answer = "lost"
        print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def path(sandbox) -> Iterator[WarehousePath]:
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        warehouse.execute("create table CANDIDATE.SALES (day date, amount number(18,2), note varchar)")
        warehouse.execute(
            "create table MARTS.SALES (day date, amount number(18,2), note varchar, publication_id varchar not null)"
        )
        yield WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse)


IN_PARTS = replace(MART, impact={"impact_scope": "date", "impact_column": "day"})
"""The same mart, built in parts: a refresh of `_started` touches 2010-12-01 alone."""

TOUCHED, UNTOUCHED = "2010-12-01", "2010-12-02"


def _candidate(path: WarehousePath, *rows: tuple[str, str | None, str | None]) -> None:
    path.warehouse.execute("delete from CANDIDATE.SALES")
    for row in rows:
        path.warehouse.execute("insert into CANDIDATE.SALES select ?, ?, ?", row)


def _marts(path: WarehousePath) -> list[tuple[object, ...]]:
    return path.warehouse.query("select day::varchar, amount, note, publication_id from MARTS.SALES order by day")


def _started(path: WarehousePath):
    path.load("orders", {"id": 1, "created_at": datetime.fromisoformat("2010-12-01 00:00:00")})
    return path.start()


def _published(path: WarehousePath, mart: Mart = MART):
    refresh, lease = _started(path)
    path.ledger.mark_tested(lease, refresh.refresh_id)
    done = publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease, marts=(mart,))
    path.ledger.release_work(lease)
    return done


@pytest.fixture
def in_parts(path) -> WarehousePath:
    """A mart of two days, published, whose candidate then changed in both: one more than the refresh knows."""
    _candidate(path, (TOUCHED, "1.00", None), (UNTOUCHED, "2.00", None))
    _published(path, IN_PARTS)
    _candidate(path, (TOUCHED, "1.01", None), (UNTOUCHED, "2.01", None))
    return path


def _amounts(path: WarehousePath) -> dict[object, object]:
    return {day: amount for day, amount, *_ in _marts(path)}


BOTH = {TOUCHED: Decimal("1.01"), UNTOUCHED: Decimal("2.01")}


def test_of_a_mart_built_in_parts_only_touched_rows_are_compared(in_parts):
    done = _published(in_parts, IN_PARTS)

    assert done.marts == (PublishedMart("sales", 1, 1),)
    assert _amounts(in_parts) == {TOUCHED: Decimal("1.01"), UNTOUCHED: Decimal("2.00")}


def test_a_mart_whose_candidate_was_built_whole_is_compared_whole_once(in_parts):
    in_parts.warehouse.execute(
        "insert into OPS.WHOLE_MARTS (table_name, event, happened_at) select 'SALES', 'built', sysdate()"
    )

    assert _published(in_parts, IN_PARTS).marts == (PublishedMart("sales", 2, 2),)
    assert _amounts(in_parts) == BOTH
    assert in_parts.warehouse.query("select event from OPS.WHOLE_MARTS") == [("compared",)]


def test_a_mart_nobody_compared_whole_for_a_day_is(in_parts):
    in_parts.warehouse.execute("update OPS.WHOLE_MARTS set happened_at = dateadd('hour', -25, happened_at)")

    assert _published(in_parts, IN_PARTS).marts == (PublishedMart("sales", 2, 2),)
    assert _amounts(in_parts) == BOTH


def test_another_number_of_rows_has_the_whole_mart_compared(in_parts):
    in_parts.warehouse.execute("delete from MARTS.SALES where day = ?", (UNTOUCHED,))

    assert _published(in_parts, IN_PARTS).marts == (PublishedMart("sales", 1, 2),)
    assert _amounts(in_parts) == BOTH


def test_a_rejected_refresh_leaves_its_whole_build_to_the_next_publication(in_parts):
    refresh, lease = _started(in_parts)
    in_parts.warehouse.execute(
        "insert into OPS.WHOLE_MARTS (table_name, event, happened_at) select 'SALES', 'built', sysdate()"
    )
    in_parts.ledger.mark_rejected(lease, refresh.refresh_id, reasons=["test"])
    in_parts.ledger.release_work(lease)

    _published(in_parts, IN_PARTS)

    assert _amounts(in_parts) == BOTH


def test_only_rows_that_differ_are_written_and_the_others_keep_their_publication(path):
    _candidate(
        path,
        ("2010-12-01", "1.00", None),
        ("2010-12-02", "2.00", "same"),
        ("2010-12-03", "3.00", "goes"),
        ("2010-12-04", None, None),
    )
    first = _published(path)
    _candidate(
        path,
        ("2010-12-01", "1.01", None),
        ("2010-12-02", "2.00", "same"),
        ("2010-12-04", None, None),
        ("2010-12-05", "5.00", "new"),
    )

    second = _published(path)

    one, two = first.publication_id, second.publication_id
    assert one != two
    assert _marts(path) == [
        ("2010-12-01", Decimal("1.01"), None, two),
        ("2010-12-02", Decimal("2.00"), "same", one),
        ("2010-12-04", None, None, one),
        ("2010-12-05", Decimal("5.00"), "new", two),
    ]
    assert first.marts == (PublishedMart("sales", 0, 4),)
    assert second.marts == (PublishedMart("sales", 2, 2),)
    assert path.warehouse.query(
        "select publication_id, publication_seq, rows_deleted, rows_inserted from MARTS.PUBLICATION order by 2"
    ) == [(one, 1, 0, 4), (two, 2, 2, 2)]
    assert path.warehouse.query(
        "select publication_id, publication_seq, refresh_id from MARTS.PUBLICATION_CURRENT"
    ) == [(two, 2, second.refresh_id)]
    assert path.ledger.refresh(second.refresh_id).state is RefreshState.PUBLISHED


def test_publishing_again_changes_nothing_and_gives_the_same_answer(path):
    _candidate(path, ("2010-12-01", "1.00", None))
    refresh, lease = _started(path)
    path.ledger.mark_tested(lease, refresh.refresh_id)
    first = write_publication(path.warehouse, refresh, marts=(MART,))
    _candidate(path, ("2010-12-01", "9.99", None))  # what a repetition must not pick up

    again = publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease, marts=(MART,))
    third = publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease, marts=(MART,))

    assert (first.was_already_published, again.was_already_published, third.was_already_published) == (
        False,
        True,
        True,
    )
    assert (again.publication_id, again.marts) == (first.publication_id, first.marts)
    assert _marts(path) == [("2010-12-01", Decimal("1.00"), None, first.publication_id)]
    assert path.ledger.refresh(refresh.refresh_id).state is RefreshState.PUBLISHED


def test_a_refresh_that_the_gate_has_not_passed_is_not_published(path):
    _candidate(path, ("2010-12-01", "1.00", None))
    refresh, lease = _started(path)

    with pytest.raises(IllegalTransition, match="expected tested"):
        publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease, marts=(MART,))
    path.ledger.mark_rejected(lease, refresh.refresh_id, reasons=["volume"])
    with pytest.raises(IllegalTransition, match="rejected"):
        publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease, marts=(MART,))

    assert _marts(path) == []
    assert path.warehouse.scalar("select count(*) from MARTS.PUBLICATION") == 0


def test_a_failure_on_the_way_leaves_marts_as_they_were(path):
    _candidate(path, ("2010-12-01", "1.00", None))
    _published(path)
    before = (_marts(path), path.warehouse.query("select * from MARTS.PUBLICATION_CURRENT"))
    _candidate(path, ("2010-12-02", "2.00", None))
    refresh, _ = _started(path)
    missing = Mart("absent", (("day", "date"),), ("day",))

    with pytest.raises(TerminalError, match="ABSENT"):
        write_publication(path.warehouse, refresh, marts=(MART, missing))

    assert (_marts(path), path.warehouse.query("select * from MARTS.PUBLICATION_CURRENT")) == before


def test_an_older_refresh_cannot_publish_once_a_newer_one_has_started(path):
    _candidate(path, ("2010-12-01", "1.00", None))
    older, lease = _started(path)
    path.ledger.mark_rejected(lease, older.refresh_id, reasons=["test"])
    path.ledger.release_work(lease)
    newer, _ = _started(path)

    with pytest.raises(LeaseLost, match=newer.refresh_id):
        write_publication(path.warehouse, older, marts=(MART,))

    assert _marts(path) == []


def test_two_processes_that_publish_at_once_give_one_publication(path, sandbox):
    with Processes(WORKER, sandbox.env, count=2) as workers:
        for number in range(1, 5):
            _candidate(path, *((f"2010-12-{day:02d}", f"{number}.00", None) for day in range(1, 8)))
            refresh, lease = _started(path)
            path.ledger.mark_tested(lease, refresh.refresh_id)

            answers = workers.ask([[refresh.refresh_id, refresh.mart_set, dict(refresh.bounds)]] * 2)

            assert sorted(answers) in (["False", "True"], ["False", "lost"])
            assert path.warehouse.query(
                "select publication_seq, rows_deleted, rows_inserted from MARTS.PUBLICATION where refresh_id = ?",
                (refresh.refresh_id,),
            ) == [(number, 0 if number == 1 else 7, 7)]
            assert {row[1] for row in _marts(path)} == {Decimal(number)}
            assert path.warehouse.scalar("select publication_seq from MARTS.PUBLICATION_CURRENT") == number
            path.ledger.mark_published(lease, refresh.refresh_id, publication_id="p")
            path.ledger.release_work(lease)
