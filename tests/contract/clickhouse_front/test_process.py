"""The process: its password, its kills and stops."""

import http.client
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from clickhouse_fronts import Front

pytestmark = pytest.mark.contract


def test_the_right_password_opens_the_door_from_every_place(guarded: Front) -> None:
    with closing(guarded.client(username="speed", password="tide")) as client:
        assert client.query("select 1").result_rows == [(1,)]
    assert guarded.get("/?query=select+1&user=speed&password=tide") == (200, b"1\n")
    assert guarded.get("/?query=select+1", {"X-ClickHouse-User": "speed", "X-ClickHouse-Key": "tide"}) == (200, b"1\n")
    assert guarded.get("/ping")[0] == 200


@pytest.mark.parametrize("credentials", [{}, {"password": "wrong"}, {"username": "other", "password": "tide"}])
def test_a_wrong_password_is_refused(guarded: Front, credentials: dict[str, str]) -> None:
    with pytest.raises(DatabaseError, match="516"):
        guarded.client(**{"username": "speed", **credentials})
    assert guarded.get("/?query=select+1")[0] == 401


def test_acknowledged_rows_survive_a_kill(tmp_path: Path) -> None:
    front = Front(tmp_path / "data").start()
    try:
        with closing(front.client()) as client:
            client.command("create table kept (a Int64) engine = MergeTree order by a")
        acknowledged = 0

        def insert_until_killed() -> None:
            nonlocal acknowledged
            with closing(front.client()) as writer:
                while True:
                    try:
                        writer.insert("kept", [[acknowledged + n] for n in range(500)], column_names=["a"])
                    except (ClickHouseError, OSError):
                        return
                    acknowledged += 500

        writing = threading.Thread(target=insert_until_killed)
        writing.start()
        time.sleep(1.0)
        front.stop(signal.SIGKILL)
        writing.join(timeout=20)
        assert acknowledged >= 500
        front.start()
        with closing(front.client()) as client:
            found = client.query("select count() from kept").result_rows[0][0]
            assert acknowledged <= found <= acknowledged + 500  # one insert may be stored and not acknowledged
        assert front.stop(signal.SIGTERM) < 5
        assert front.process is not None
        assert front.process.returncode == 0
    finally:
        front.stop(signal.SIGKILL)


def test_terminate_does_not_wait_for_a_running_query(tmp_path: Path) -> None:
    front = Front(tmp_path / "data").start()

    def endless() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            front.post(b"select count() from numbers(1000000000000) where sipHash64(number) = 1")

    running = threading.Thread(target=endless, daemon=True)
    running.start()
    time.sleep(0.5)
    assert front.stop(signal.SIGTERM) < 8
    running.join(timeout=5)
