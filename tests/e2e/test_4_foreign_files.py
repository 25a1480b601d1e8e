"""Files of any other program below the landing prefix: good ones are published, bad ones named, neighbours unharmed."""

import os
import subprocess
import sys

import boto3
import pytest
from world import FOREIGN_LSN, World

from slackwater.ledger.status import status
from slackwater.stack.environment import full_environment
from slackwater.testing.landing_files import LandingFile

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
    user = {"id": 990_001, "email": "new@example.com", "__source_lsn": FOREIGN_LSN + 100_000}
    good = LandingFile("users", topic="foreign.users", first=0, count=1, overrides={0: user})
    bad = LandingFile("users", topic="foreign.users", first=1, count=1)
    s3.put_object(Bucket=bucket, Key=good.key(), Body=good.parquet())
    s3.put_object(Bucket=bucket, Key=bad.key(), Body=b"this is not Parquet")
    december.settle()

    assert december.warehouse("select email from STAGING.STG_USERS where id = 990001") == [("new@example.com",)]
    with december.ledger() as ledger:
        users = next(entity for entity in status(ledger).entities if entity.entity == "users")
    assert any(bad.key() in name for name in users.quarantined)
    assert not any(good.key() in name for name in users.quarantined)
    shown = subprocess.run(
        [sys.executable, "-m", "slackwater.cli", "status"],
        env={**os.environ, "COLUMNS": "250", "SLACKWATER_STACK_HOME": str(december.profile.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.key().rsplit("/", 1)[1] in shown.stdout, shown.stdout + shown.stderr
