"""Files of any other program below the landing prefix: good ones are published, bad ones named, neighbours unharmed."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import boto3
import pytest
from landing_files import FOREIGN_LSN, key_of, parquet_bytes
from world import World

from slackwater.ledger.status import status
from slackwater.stack.environment import full_environment

pytestmark = pytest.mark.e2e


def test_files_of_another_program_are_picked_up_and_bad_ones_are_named(december: World) -> None:
    environment = full_environment(december.profile)
    s3 = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    bucket = environment["SLACKWATER_LANDING_BUCKET"]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    user = {
        "id": 990_001,
        "email": "new@example.com",
        "first_name": "New",
        "last_name": "User",
        "created_at": at,
        "updated_at": at,
    }
    good = key_of("users", first=100, count=1)
    bad = key_of("users", first=101, count=1)
    s3.put_object(Bucket=bucket, Key=good, Body=parquet_bytes([user], op="c", lsn=FOREIGN_LSN + 100))
    s3.put_object(Bucket=bucket, Key=bad, Body=b"this is not Parquet")
    december.settle()

    assert december.warehouse("select email from STAGING.STG_USERS where id = 990001") == [("new@example.com",)]
    with december.ledger() as ledger:
        users = next(entity for entity in status(ledger).entities if entity.entity == "users")
    assert any(bad in name for name in users.quarantined)
    assert not any(good in name for name in users.quarantined)
    shown = subprocess.run(
        [sys.executable, "-m", "slackwater.cli", "status"],
        env={**os.environ, "COLUMNS": "250", "SLACKWATER_STACK_HOME": str(december.profile.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.rsplit("/", 1)[1] in shown.stdout, shown.stdout + shown.stderr
