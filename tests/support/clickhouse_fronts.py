"""A ClickHouse front of its own process, and a table to try on it."""

import datetime as dt
import http.client
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
from child_service import START_SECONDS, ChildService
from clickhouse_connect.driver.client import Client

MIDNIGHT = dt.datetime.fromisoformat("2024-01-01")


@dataclass
class Front(ChildService):
    """One front process over a data folder, which can be killed and started again."""

    data: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> "Front":
        command = [sys.executable, "-m", "slackwater.stack.clickhouse_front", "--port", str(self.port)]
        log = self.data.with_suffix(".log")
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), *self.options],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/ping") == (200, b"Ok.\n"):
                    return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the front does not answer:\n{log.read_text()[-3000:]}")

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read()

    def post(self, body: bytes, headers: dict[str, str] | None = None, **parameters: str) -> http.client.HTTPResponse:
        url = f"http://127.0.0.1:{self.port}/?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(url, data=body, headers=headers or {})
        with urllib.request.urlopen(request, timeout=20) as response:
            response.text = response.read().decode()
            return response  # type: ignore[no-any-return]

    def client(self, **options: Any) -> Client:
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **options)


def orders(first: int, count: int) -> pa.Table:
    ids = list(range(first, first + count))
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "total_amount": pa.array([Decimal(i) / 4 for i in ids], pa.decimal128(18, 2)),
            "status": pa.array(["pending" if i % 2 else None for i in ids]),
            "updated_at": pa.array([MIDNIGHT + dt.timedelta(seconds=i) for i in ids], pa.timestamp("us")),
        }
    )


def create_orders(client: Client, name: str, *, settings: str = "") -> None:
    client.command(f"drop table if exists {name}")
    client.command(
        f"create table {name}"
        " (id Int64, total_amount Decimal(18, 2), status Nullable(String), updated_at DateTime64(6))"
        f" engine = MergeTree order by id {settings}"
    )
