"""Loading a batch into raw: once, exactly, or not at all."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.entities.model import load_entity
from slackwater.errors import CommitConflict, LoadMismatch, TerminalError
from slackwater.ledger.model import BatchLease, BatchState, SeenObject
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET
from slackwater.testing.processes import Processes
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.copy_files import copy_batch_files
from slackwater.warehouse.ddl import ensure_warehouse
from slackwater.warehouse.load import MAX_TRIES, insert_once, load_batch, transient_ddl, transient_table

pytestmark = pytest.mark.integration

ORDER = {
    "id": 1,
    "user_id": None,
    "status": "pending",
    "total_amount": Decimal("12345678.91"),
    "shipping_address": "Straße 1, 東京",
    "created_at": datetime.fromisoformat("2010-12-01 08:26:00.123456"),
    "updated_at": datetime.fromisoformat("2010-12-01 08:26:00.123456"),
}

WORKER = """
import json, sys
from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import TransientError
from slackwater.ledger.model import BatchLease, BatchState
from slackwater.ledger.store import Ledger
from slackwater.settings import LakeSettings, LedgerSettings, S3Settings, WarehouseSettings
from slackwater.warehouse.load import load_batch
lake = Lake(LakeSettings(), S3Settings())
with Warehouse(WarehouseSettings()) as warehouse, Ledger(LedgerSettings().dsn) as ledger:
    warehouse.connect()
    for line in sys.stdin:
        batch_id, owner, attempt = json.loads(line)
        lease = BatchLease(batch_id, owner, attempt, BatchState.LANDED, "worker")
        try:
            done = load_batch(batch_id, ledger=ledger, lake=lake, warehouse=warehouse, lease=lease, actor="worker")
            answer = {"load_seq": done.load_seq}
        except TransientError as error:
            answer = {"error": type(error).__name__}
        print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def path(sandbox) -> Iterator[WarehousePath]:
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        yield WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse)


def _load(path: WarehousePath, batch_id: str, **changed):
    arguments = {
        "ledger": path.ledger,
        "lake": path.lake,
        "warehouse": path.warehouse,
        "actor": "test",
        "lease": changed.pop("lease", None) or path.claim(batch_id),
    }
    return load_batch(batch_id, **arguments, **changed)


def test_every_value_arrives_in_raw_exactly_with_its_origin(path):
    done = path.load("orders", ORDER, {**ORDER, "id": 2, "user_id": 7, "op": "u", "lsn": 99})

    rows = path.warehouse.query(
        "select id, user_id, status, total_amount, shipping_address, created_at, __op, __source_lsn, batch_id,"
        " file_name, _source_partition, _position, load_seq from RAW.ORDERS order by id"
    )
    batch = path.ledger.batch(done.batch_id)
    key = batch.objects[0].key
    exact = (Decimal("12345678.91"), "Straße 1, 東京", datetime.fromisoformat("2010-12-01 08:26:00.123456"))
    assert rows == [
        (1, None, "pending", *exact, "c", 1, done.batch_id, key, "shop.orders+0", 1, 1),
        (2, 7, "pending", *exact, "u", 99, done.batch_id, key, "shop.orders+0", 2, 1),
    ]
    assert path.warehouse.scalar("select count(*) from RAW.ORDERS where loaded_at is null") == 0
    assert (batch.state, batch.load_seq) == (BatchState.LOADED, 1)


def test_the_history_keeps_the_query_id_of_the_insert(path):
    path.load("orders", ORDER)
    path.load("orders", ORDER, {**ORDER, "id": 2})

    rows = path.warehouse.query("select load_seq, query_id from OPS.LOAD_HISTORY order by load_seq")
    inserted = [path.warehouse.scalar(f"select * from table(result_scan('{query_id}'))") for _, query_id in rows]

    assert inserted == [1, 2]


def test_a_batch_without_rows_has_no_query(path):
    path.load("orders")

    assert path.warehouse.query("select rows_loaded, query_id from OPS.LOAD_HISTORY") == [(0, None)]


def test_a_history_made_by_an_older_version_gains_the_column_and_keeps_its_rows(path, sandbox):
    path.load("orders", ORDER)
    path.warehouse.execute("alter table OPS.LOAD_HISTORY drop column query_id")

    ensure_warehouse(path.warehouse, lake=sandbox.lake, s3=sandbox.s3)
    path.load("orders", {**ORDER, "id": 2})

    rows = path.warehouse.query("select load_seq, query_id is null from OPS.LOAD_HISTORY order by load_seq")
    assert rows == [(1, True), (2, False)]


def test_a_mart_made_before_its_contract_gained_columns_gains_them(path, sandbox):
    path.warehouse.execute("alter table MARTS.INVENTORY drop column stock_outs")
    path.warehouse.execute("alter table MARTS.ORDER_FULFILMENT drop column delivery_rate")

    ensure_warehouse(path.warehouse, lake=sandbox.lake, s3=sandbox.s3)

    assert path.warehouse.query("select stock_outs from MARTS.INVENTORY") == []
    assert path.warehouse.query("select delivery_rate from MARTS.ORDER_FULFILMENT") == []


def test_loads_of_an_entity_are_numbered_without_gaps(path):
    first, second = path.load("orders", ORDER), path.load("orders", {**ORDER, "id": 2})
    other = path.load("users", {"id": 1, "created_at": datetime.fromisoformat("2010-12-01 00:00:00")})

    assert [first.load_seq, second.load_seq, other.load_seq] == [1, 2, 1]


def test_a_second_load_changes_nothing_and_answers_the_first_number(path):
    done = path.load("orders", ORDER)
    path.load("orders", {**ORDER, "id": 2})
    batch = path.ledger.batch(done.batch_id)
    lease = path.ledger.claim_batch(done.batch_id, actor="test")

    again = _load(path, done.batch_id, lease=lease or _dead_lease(batch))

    assert (again.was_already_loaded, again.load_seq, again.row_count) == (True, 1, 1)
    assert path.warehouse.scalar("select count(*) from RAW.ORDERS") == 2


def _dead_lease(batch):
    return BatchLease(batch.id, "dead", batch.attempt, batch.state, "test")


def test_a_load_that_died_before_the_ledger_knew_is_found_in_the_history(path):
    batch_id = path.land("orders", [ORDER])
    _insert_only(path, batch_id, expected=1)

    done = _load(path, batch_id)

    assert (done.was_already_loaded, done.load_seq) == (True, 1)
    assert path.ledger.batch(batch_id).state is BatchState.LOADED
    assert path.warehouse.scalar("select count(*) from RAW.ORDERS") == 1


def _insert_only(path: WarehousePath, batch_id: str, *, expected: int) -> None:
    """Do what a load does in the warehouse, and die before the ledger is told."""
    entity, table = load_entity("orders"), transient_table(batch_id, 7)
    path.warehouse.execute(transient_ddl(entity, table))
    copy_batch_files(entity, batch_id, lake=path.lake, warehouse=path.warehouse, table=table)
    insert_once(
        path.warehouse,
        entity,
        batch_id=batch_id,
        table=table,
        expected=expected,
        attempt=7,
        actor="dead",
        sleep=_no_sleep,
    )


def _no_sleep(_seconds: float) -> None:
    return None


def test_another_number_of_rows_than_promised_is_rolled_back(path):
    batch_id = path.land("orders", [ORDER])

    with pytest.raises(LoadMismatch, match=r"promises 2 rows.*gave 1"):
        _insert_only(path, batch_id, expected=2)

    assert path.warehouse.scalar("select count(*) from RAW.ORDERS") == 0
    assert path.warehouse.scalar("select count(*) from OPS.LOAD_HISTORY") == 0
    assert path.warehouse.scalar("select next_load_seq from OPS.LOAD_LOCK where entity = 'orders'") == 1


def test_a_batch_without_rows_loads_with_a_history_row(path):
    done = path.load("orders")

    assert (done.row_count, done.load_seq) == (0, 1)
    assert path.warehouse.query("select batch_id, rows_loaded from OPS.LOAD_HISTORY") == [(done.batch_id, 0)]


def test_a_batch_that_has_not_landed_is_refused(path, sandbox):
    key = "cdc/orders/date=2010-12-01/hour=00/shop.orders+0+1-1.parquet"
    path.ledger.record_objects([SeenObject("a" * 32, "b", key, "e", 1, "orders", "shop.orders+0", 1, 1)], actor="test")
    batch_id = path.ledger.seal("orders", ["a" * 32], actor="test")

    with pytest.raises(TerminalError, match="expected landed"):
        _load(path, batch_id)


def test_the_transient_table_is_gone_after_success_and_failure(path):
    path.load("orders", ORDER)
    batch_id = path.land("orders", [{**ORDER, "id": 2}])
    path.warehouse.execute("delete from OPS.LOAD_LOCK where entity = 'orders'")
    with pytest.raises(TerminalError, match="no row for orders"):
        _load(path, batch_id)

    left = path.warehouse.query(
        "select table_name from information_schema.tables where table_schema = 'RAW' and table_name like 'LOAD%'"
    )
    assert left == []


def test_only_the_call_that_raises_the_flag_says_that_a_refresh_is_due(path):
    assert path.load("orders", ORDER).is_refresh_due is True
    assert path.load("orders", {**ORDER, "id": 2}).is_refresh_due is False
    path.ledger.lower_flag(MART_SET)
    assert path.load("orders", {**ORDER, "id": 3}).is_refresh_due is True


class ContestedWarehouse(Warehouse):
    """A warehouse whose first transactions lose against somebody else, as the driver's lock errors would say."""

    conflicts_left = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.conflicts_left:
            self.conflicts_left -= 1
            raise CommitConflict("another transaction was first")
        with super().transaction():
            yield


@pytest.mark.parametrize(("conflicts", "is_loaded"), [(MAX_TRIES - 1, True), (MAX_TRIES, False)])
def test_a_conflict_is_tried_again_inside_a_bound(path, sandbox, conflicts, is_loaded):
    batch_id = path.land("orders", [ORDER])
    waits: list[float] = []
    with ContestedWarehouse(sandbox.warehouse) as contested:
        contested.conflicts_left = conflicts
        path.warehouse = contested
        if is_loaded:
            assert _load(path, batch_id, sleep=waits.append).load_seq == 1
        else:
            with pytest.raises(CommitConflict):
                _load(path, batch_id, sleep=waits.append)
        assert len(waits) == MAX_TRIES - 1
        assert 5 < sum(waits) < 20
        assert contested.scalar("select count(*) from RAW.ORDERS") == int(is_loaded)


def test_a_load_waits_for_the_entity_s_lock_and_for_no_other_entity(path, sandbox):
    orders, users = path.land("orders", [ORDER]), path.land("users", [{"id": 1}])
    with Warehouse(sandbox.warehouse) as other, other.transaction():
        other.execute("update OPS.LOAD_LOCK set next_load_seq = next_load_seq + 1 where entity = 'orders'")
        assert _load(path, users).load_seq == 1
        with Warehouse(sandbox.warehouse) as second, ThreadPoolExecutor(1) as pool:
            waiting = WarehousePath(path.ledger, path.lake, second)
            loading = pool.submit(_load, waiting, orders)
            with pytest.raises(TimeoutError):
                loading.result(timeout=1.5)
            other.execute("update OPS.LOAD_LOCK set next_load_seq = next_load_seq - 1 where entity = 'orders'")
            other.execute("commit")
            other.execute("begin")
            assert loading.result(timeout=20).load_seq == 1


def test_two_processes_that_load_one_batch_at_once_have_one_effect(path, sandbox):
    rounds = 5
    with Processes(WORKER, sandbox.env, count=2) as workers, Ledger(sandbox.ledger.dsn, lease_seconds=0.01) as short:
        for number in range(1, rounds + 1):
            batch_id = path.land("orders", [{**ORDER, "id": n} for n in range(200)])
            dead = short.claim_batch(batch_id, actor="dead")
            time.sleep(0.1)
            live = path.ledger.claim_batch(batch_id, actor="live")
            assert dead is not None
            assert live is not None

            answers = workers.ask([[batch_id, lease.owner, lease.attempt] for lease in (dead, live)])

            assert answers[1] == {"load_seq": number}, answers
            assert answers[0] in ({"load_seq": number}, {"error": "LeaseLost"})
            assert path.ledger.batch(batch_id).state is BatchState.LOADED
            assert path.warehouse.query(
                "select load_seq, rows_loaded from OPS.LOAD_HISTORY where batch_id = ?", (batch_id,)
            ) == [(number, 200)]
            assert path.warehouse.scalar("select count(*) from RAW.ORDERS") == 200 * number
    assert path.warehouse.scalar("select next_load_seq from OPS.LOAD_LOCK where entity = 'orders'") == rounds + 1
