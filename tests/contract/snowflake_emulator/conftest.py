"""One emulator and one S3 for all contract tests of the emulator."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
import snowflake.connector
from child_service import free_port
from snowflake_sessions import Emulator, wait_until_answers


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A ministack process; yields a boto3 client whose endpoint the emulator uses too."""
    folder, port = tmp_path_factory.mktemp("ministack"), free_port()
    log = folder / "ministack.log"
    environment = dict(
        os.environ,
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        S3_PERSIST="1",
        PERSIST_STATE="1",
        S3_DATA_DIR=str(folder / "s3"),
        STATE_DIR=str(folder / "state"),
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
    )
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ministack"))], env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    wait_until_answers(f"{url}/_ministack/health", process, log)
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    yield client
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def emulator(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    options = ("--conflict-wait-seconds", "3", "--disconnect-grace-seconds", "0.3", "--idle-transaction-seconds", "30")
    running = Emulator(
        tmp_path_factory.mktemp("snowflake") / "data", s3_url=s3.meta.endpoint_url, options=options
    ).start()
    yield running
    assert running.process is not None
    running.process.kill()
    running.process.wait()


@pytest.fixture
def connection(emulator: Emulator) -> Iterator[snowflake.connector.SnowflakeConnection]:
    with closing(emulator.connect()) as opened:
        yield opened
