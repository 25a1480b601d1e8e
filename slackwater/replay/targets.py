"""Where a replay sends what it makes, and what it tells while it does."""

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from slackwater.replay.files import FileForm, TimeSlice


class FileTarget(Protocol):
    """Where landing files go: `clients.s3.ObjectStore`, or anything that puts bytes under a key."""

    def put(self, bucket: str, key: str, data: bytes) -> str:
        """Write an object and return its etag; the same bytes give the same etag."""
        ...


class FeedTarget(Protocol):
    """The speed layer: `clients.clickhouse.SpeedStore`."""

    def insert_changes(self, entity: str, rows: pa.Table) -> int:
        """Insert the rows that are not there yet and return their number."""
        ...


@dataclass(frozen=True)
class Landing:
    """Where and how files land.

    Attributes:
        target: The object store.
        bucket: Bucket.
        prefix: Prefix, ending in `/`.
        epoch: Epoch of the source, for the feed.
        form: Physical form.
    """

    target: FileTarget
    bucket: str
    prefix: str = "cdc/"
    epoch: int = 0
    form: FileForm = FileForm.PARQUET


@dataclass(frozen=True)
class SliceDone:
    """Told after every slice that had changes, for a progress display.

    Attributes:
        part: The slice.
        done_us: Length of the range that is done, in microseconds.
        total_us: Length of the whole range.
        files: Files sent so far.
        rows: Rows in them.
    """

    part: TimeSlice
    done_us: int
    total_us: int
    files: int
    rows: int
