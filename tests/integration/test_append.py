"""One batch into the lake: once, complete, whatever else happens meanwhile."""

from dataclasses import dataclass

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.lake.append import AppendResult, append_batch
from slackwater.landing.s3_notice import Notice, seen_object
from slackwater.ledger.model import BatchState
from slackwater.ledger.store import Ledger
from slackwater.settings import LandingSettings
from slackwater.testing.landing_files import LandingFile

pytestmark = pytest.mark.integration


@dataclass
class Bench:
    """A ledger, a lake and a landing bucket, with the shortest way from a file to a batch."""

    ledger: Ledger
    lake: Lake
    store: ObjectStore
    landing: LandingSettings

    def put(self, key: str, data: bytes) -> str:
        etag = self.store.put(self.landing.bucket, key, data)
        notice = Notice(self.landing.bucket, key, etag, len(data), None, None)
        seen = seen_object(notice, prefix=self.landing.prefix, epoch=0)
        self.ledger.record_objects([seen], actor="test")
        return seen.object_id

    def seal(self, entity: str, *object_ids: str) -> str:
        batch_id = self.ledger.seal(entity, object_ids, actor="test")
        assert batch_id is not None
        return batch_id

    def append(self, batch_id: str) -> AppendResult:
        return append_batch(
            batch_id, ledger=self.ledger, lake=self.lake, store=self.store, landing=self.landing, actor="test"
        )


@pytest.fixture
def bench(sandbox):
    with Ledger(sandbox.ledger.dsn, lease_seconds=5) as ledger:
        lake = Lake(sandbox.lake, sandbox.s3)
        yield Bench(ledger, lake, ObjectStore(sandbox.s3), sandbox.landing)
        lake.close()


def test_a_batch_lands_once_however_often_it_is_appended(bench):
    first = LandingFile(count=3)
    second = LandingFile(first=3, count=2)
    ids = [bench.put(first.key(), first.parquet()), bench.put(second.key(form="jsonl.gz"), second.jsonl_gz())]
    batch_id = bench.seal("orders", *ids)
    done = bench.append(batch_id)
    again = bench.append(batch_id)
    assert (done.row_count, done.object_count, done.was_already_landed) == (5, 2, False)
    assert (again.row_count, again.data_files, again.was_already_landed) == (5, done.data_files, True)
    rows = bench.lake.scan("orders")
    assert sorted(rows["_position"].to_pylist()) == [0, 1, 2, 3, 4]
    assert rows["_file_name"].to_pylist().count(first.key()) == 3
    assert bench.ledger.batch(batch_id).state == BatchState.LANDED
