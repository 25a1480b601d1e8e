"""One front for the contract tests of the ClickHouse front, and one that asks for a password."""

import signal
from collections.abc import Iterator
from contextlib import closing

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_fronts import Front


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    running = Front(tmp_path_factory.mktemp("clickhouse") / "data", options=("--max-memory-bytes", "400000000")).start()
    with closing(running.client()) as client:
        client.command("create database speed")
    yield running
    running.stop(signal.SIGKILL)


@pytest.fixture
def client(front: Front) -> Iterator[Client]:
    with closing(front.client(database="speed")) as opened:
        yield opened


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    running = Front(
        tmp_path_factory.mktemp("guarded") / "data",
        options=("--user", "speed", "--password-env", "FRONT_PASSWORD"),
        environment={"FRONT_PASSWORD": "tide"},
    ).start()
    yield running
    running.stop(signal.SIGKILL)
