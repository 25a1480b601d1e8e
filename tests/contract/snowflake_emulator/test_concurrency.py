"""Several sessions: waiting, conflicts, killed clients, repeated requests."""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing
from typing import Any

import pytest
from snowflake_sessions import (
    ABORTED,
    CONFLICT,
    Emulator,
    make_table,
    refusal,
    rows,
)

pytestmark = pytest.mark.contract


def test_a_transaction_waits_for_the_row_that_another_one_holds_and_sees_its_commit(
    emulator: Emulator, connection: Any
) -> None:
    make_table(connection, "load_lock", "entity string, load_seq number", "('orders', 0)")
    rows(connection, "begin")
    rows(connection, "update load_lock set load_seq = load_seq + 1 where entity = 'orders'")
    seen: list[tuple[Any, ...]] = []

    def second() -> None:
        with closing(emulator.connect()) as other:
            rows(other, "begin")
            rows(other, "update load_lock set load_seq = load_seq + 1 where entity = 'orders'")
            seen.extend(rows(other, "select load_seq from load_lock"))
            rows(other, "commit")

    waiting = threading.Thread(target=second)
    waiting.start()
    time.sleep(0.5)
    assert seen == []
    rows(connection, "commit")
    waiting.join(timeout=10)
    assert seen == [(2,)]


def test_a_conflict_late_in_a_transaction_is_a_transient_error(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "late", "id number, v number", "(1, 0)")
    with closing(emulator.connect()) as other:
        rows(other, "begin")
        rows(other, "select * from late")
        rows(connection, "update late set v = 1")
        error = refusal(other, "update late set v = 2")
        assert error.errno == CONFLICT
        assert refusal(other, "commit").errno in (CONFLICT, ABORTED)
        rows(other, "rollback")
    assert rows(connection, "select v from late") == [(1,)]


def test_a_row_held_too_long_is_a_transient_error_in_autocommit(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "held", "id number", "(1)")
    rows(connection, "begin")
    rows(connection, "update held set id = 2")
    with closing(emulator.connect()) as other:
        began = time.monotonic()
        assert refusal(other, "update held set id = 3").errno == CONFLICT
        assert 2 < time.monotonic() - began < 10
    rows(connection, "rollback")


def test_concurrent_sessions_lose_nothing(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "shared", "worker number, n number")
    make_table(connection, "counter", "n number", "(0)")
    failures: list[Exception] = []

    def work(worker: int) -> None:
        try:
            with closing(emulator.connect()) as own:
                for n in range(8):
                    rows(own, "insert into shared values (%s, %s)", (worker, n))
                    rows(own, "update counter set n = n + 1")
                    rows(own, f"create or replace table t{worker} as select * from shared")
                    rows(own, "create or replace view same_view as select * from shared")
                    rows(own, "select count(*), sum(n) from shared")
        except Exception as exc:  # noqa: BLE001  # reported by the test itself
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert rows(connection, "select count(*), count(distinct worker) from shared") == [(32, 4)]
    assert rows(connection, "select n from counter") == [(32,)]


def test_a_killed_client_does_not_hold_its_rows(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "orphaned", "id number", "(1)")
    script = (
        "import snowflake.connector as sc, time\n"
        f"c = sc.connect(user='u', password='p', account='a', host='127.0.0.1', port={emulator.port}, protocol='http',"
        " database='ECOMMERCE_DW', schema='RAW')\n"
        "c.cursor().execute('begin'); c.cursor().execute('update orphaned set id = 2'); print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"held\n"
        client.kill()
    rows(connection, "update orphaned set id = 3")
    assert rows(connection, "select id from orphaned") == [(3,)]


def test_the_same_request_sent_twice_runs_once(emulator: Emulator, connection: Any) -> None:
    make_table(connection, "repeated", "id number")
    token = connection.rest.token
    url = f"http://127.0.0.1:{emulator.port}/queries/v1/query-request?requestId=0b7e6c1e-same"
    for _ in range(2):
        request = urllib.request.Request(
            url,
            data=json.dumps({"sqlText": "insert into repeated values (1)"}).encode(),
            headers={"Authorization": f'Snowflake Token="{token}"', "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["success"]
    assert rows(connection, "select count(*) from repeated") == [(1,)]
