"""An emulator process of its own, and short ways to ask it; for the contract tests of the Snowflake emulator."""

import datetime as dt
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector
from child_service import START_SECONDS, ChildService
from snowflake.connector.errors import DatabaseError

CONFLICT, DDL_IN_TRANSACTION, ABORTED, UNSUPPORTED = 625, 90230, 90232, 2
NOT_NULL, DUPLICATE_MERGE_ROW, STAGE_FILE = 100072, 100090, 91016
MIDNIGHT = dt.datetime.fromisoformat("2024-01-01")  # TIMESTAMP_NTZ has no zone


def wait_until_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer:\n{log.read_text()[-3000:]}")


@dataclass
class Emulator(ChildService):
    """One emulator process over a data folder, which can be killed and started again."""

    data: Path
    s3_url: str = "http://127.0.0.1:9"
    options: tuple[str, ...] = ()

    def start(self) -> "Emulator":
        environment = dict(
            os.environ,
            SLACKWATER_S3_ENDPOINT_URL=self.s3_url,
            SLACKWATER_S3_ACCESS_KEY_ID="test",
            SLACKWATER_S3_SECRET_ACCESS_KEY="test",
            SLACKWATER_S3_REGION="us-east-1",
        )
        command = [sys.executable, "-m", "slackwater.stack.snowflake_emulator", "--port", str(self.port)]
        log = self.data.with_suffix(".log")
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), *self.options], env=environment, stdout=output, stderr=output
            )
        wait_until_answers(f"http://127.0.0.1:{self.port}/health", self.process, log)
        return self

    def connect(self, schema: str = "RAW", **options: Any) -> snowflake.connector.SnowflakeConnection:
        return snowflake.connector.connect(
            user="SLACKWATER",
            password="x",
            account="slackwater",
            host="127.0.0.1",
            port=self.port,
            protocol="http",
            database=options.pop("database", "ECOMMERCE_DW"),
            schema=schema,
            network_timeout=30,
            login_timeout=20,
            platform_detection_timeout_seconds=0,  # else it looks for a cloud's metadata service, for seconds
            **options,
        )


def rows(connection: snowflake.connector.SnowflakeConnection, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
    return connection.cursor().execute(sql, params).fetchall()  # type: ignore[union-attr, return-value]


def refusal(connection: snowflake.connector.SnowflakeConnection, sql: str) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        connection.cursor().execute(sql)
    return caught.value


def make_table(connection: snowflake.connector.SnowflakeConnection, name: str, columns: str, *values: str) -> None:
    connection.cursor().execute(f"create or replace table {name} ({columns})")
    for value in values:
        connection.cursor().execute(f"insert into {name} values {value}")
