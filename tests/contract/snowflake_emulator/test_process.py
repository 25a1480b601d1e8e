"""The life of the process: kills, stops, memory."""

import signal
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import snowflake.connector
from snowflake_sessions import (
    Emulator,
    make_table,
    refusal,
    rows,
)

from slackwater.stack.snowflake_emulator.result_cache import BoundedResultCache

pytestmark = pytest.mark.contract


def test_committed_rows_and_stages_survive_a_kill_and_open_transactions_do_not(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "data").start()
    try:
        session = emulator.connect()
        make_table(session, "kept", "id number, s varchar(7)", "(1, 'a'), (2, 'b')")
        rows(session, "create stage kept_stage url='s3://lake/wh/'")
        rows(session, "begin")
        rows(session, "insert into kept values (3, 'c')")
        emulator.stop(signal.SIGKILL)
        emulator.start()
        with closing(emulator.connect()) as again:
            assert rows(again, "select id from kept order by id") == [(1,), (2,)]
            assert rows(
                again, "select character_maximum_length from information_schema.columns where column_name = 'S'"
            ) == [(7,)]
            assert "already exists" in str(refusal(again, "create stage kept_stage url='s3://lake/wh/'"))
            rows(again, "insert into kept values (4, 'd')")
        assert emulator.stop(signal.SIGTERM) < 5
        assert emulator.process is not None
        assert emulator.process.returncode == 0
        emulator.start()
        with closing(emulator.connect()) as again:
            assert rows(again, "select count(*) from kept") == [(3,)]
    finally:
        emulator.stop(signal.SIGKILL)


def test_terminate_does_not_wait_for_a_running_statement(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "data").start()
    session = emulator.connect()

    def endless() -> None:
        with pytest.raises(snowflake.connector.errors.Error):
            rows(
                session,
                "select count(*) from table(generator(rowcount => 100000)) a, table(generator(rowcount => 1000000)) b",
            )

    running = threading.Thread(target=endless, daemon=True)
    running.start()
    time.sleep(0.5)
    assert emulator.stop(signal.SIGTERM) < 6


def test_the_result_cache_forgets_the_oldest_but_never_the_newest() -> None:
    cache = BoundedResultCache(max_entries=3, max_bytes=1_000)
    big = pa.table({"a": pa.array(range(1_000), pa.int64())})
    for n in range(5):
        cache[str(n)] = (None,)
    assert list(cache) == ["2", "3", "4"]
    cache["big"] = (big,)
    assert list(cache) == ["big"]
    cache["next"] = (None,)
    assert list(cache) == ["next"]


def test_memory_is_bounded_by_option(emulator: Emulator, connection: Any) -> None:
    assert emulator.process is not None
    for _ in range(5):
        assert (
            len(
                connection.cursor()
                .execute("select seq4() as a, repeat('x', 100) as b from table(generator(rowcount => 200000))")
                .fetch_arrow_all()
            )
            == 200000
        )
    status = Path(f"/proc/{emulator.process.pid}/status").read_text()
    resident_kb = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    assert resident_kb < 1_200_000
