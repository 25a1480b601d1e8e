"""The shortest way from a landing file to a loaded batch, over the real ledger, lake and store; for tests."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from slackwater.clients.events import Payload
from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.errors import ConfigurationError, StoreUnavailable
from slackwater.lake.append import AppendResult, append_batch
from slackwater.landing.s3_notice import Notice, seen_object
from slackwater.ledger.model import BatchState, SeenObject
from slackwater.ledger.store import Ledger
from slackwater.settings import LandingSettings
from slackwater.testing.landing_files import LandingFile


@dataclass
class RecordingBus:
    """An event bus that keeps what was sent; refuses while `is_down`."""

    sent: list[tuple[str, str, dict[str, str | int | float | bool], str]] = field(default_factory=list)
    is_down: bool = False

    def emit(self, event: str, resource_id: str, payload: Payload, *, event_id: str) -> None:
        """Keep one event."""
        if self.is_down:
            raise StoreUnavailable("the bus is down")
        self.sent.append((event, resource_id, dict(payload), event_id))


@dataclass
class Bench:
    """A ledger, a lake and a landing bucket."""

    ledger: Ledger
    lake: Lake
    store: ObjectStore
    landing: LandingSettings

    def put(self, key: str, data: bytes) -> str:
        """Write an object, record it as a notification would, and return its id."""
        return self.record(key, self.store.put(self.landing.bucket, key, data), len(data))

    def record(self, key: str, etag: str, size_bytes: int) -> str:
        """Record an object version without writing anything."""
        notice = Notice(self.landing.bucket, key, etag, size_bytes, None, datetime.now(UTC))
        seen = seen_object(notice, prefix=self.landing.prefix, epoch=self.landing.epoch)
        self.ledger.record_objects([seen], actor="test")
        return seen.object_id

    def put_file(self, file: LandingFile) -> str:
        """Write and record a good Parquet file."""
        return self.put(file.key(), file.parquet())

    def seal(self, entity: str, *object_ids: str) -> str:
        """Make a batch of recorded objects."""
        batch_id = self.ledger.seal(entity, object_ids, actor="test")
        if batch_id is None:
            raise ConfigurationError("one of the objects is not waiting")
        return batch_id

    def append(self, batch_id: str, *, actor: str = "test") -> AppendResult:
        """Append a batch to the lake."""
        return append_batch(
            batch_id, ledger=self.ledger, lake=self.lake, store=self.store, landing=self.landing, actor=actor
        )

    def load(self, batch_id: str, *, load_seq: int) -> None:
        """Mark a batch landed (where it is not) and loaded, without any warehouse."""
        lease = self.ledger.claim_batch(batch_id, actor="test")
        if lease is None:
            raise ConfigurationError(f"batch {batch_id} cannot be claimed")
        if lease.state == BatchState.SEALED:
            self.ledger.mark_landed(lease, snapshot_id=None, row_count=0)
        self.ledger.mark_loaded(lease, load_seq=load_seq)


def seen(file: LandingFile, *, etag: str = "e1", bucket: str = "landing") -> SeenObject:
    """Return what the ledger records of a file that nobody wrote."""
    return seen_object(Notice(bucket, file.key(), etag, 100, None, None), prefix="cdc/", epoch=0)
