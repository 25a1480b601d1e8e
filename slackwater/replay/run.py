"""Replays a range of days: the shop's rows, then the landing files, then the speed layer's feed, slice by slice.

Order and progress make a killed replay resume exactly: a slice's rows and the shop's progress are one transaction;
files and feed come after it, say the same when repeated, and have their own progress, from which the next call resumes.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
from pydantic import SecretStr

from slackwater.clients.postgres import Connection, connect
from slackwater.errors import ConfigurationError
from slackwater.ledger.model import object_id
from slackwater.naming import ENTITIES
from slackwater.replay.changes import YearPlan
from slackwater.replay.files import LandingFile, SliceBy, TimeSlice, feed_rows, landing_file, time_slices
from slackwater.replay.mapping import plan_year
from slackwater.replay.progress import Progress, advance, lock_replay, read_progress
from slackwater.replay.report import ReplayReport, tally_range
from slackwater.replay.rules import MAPPING_VERSION
from slackwater.replay.sample import SAMPLE_FILE, fingerprint_of, read_sample
from slackwater.replay.source_writer import write_changes
from slackwater.replay.synthetic import DAY_US
from slackwater.replay.targets import FeedTarget, Landing, SliceDone

DEFAULT_TO = date(2010, 12, 31)
"""Last day of the demo's range."""


@dataclass(frozen=True)
class PlannedYear:
    """The changes of a sample, and what identifies them."""

    plan: YearPlan
    fingerprint: str


def plan_sample(sample: Path = SAMPLE_FILE) -> PlannedYear:
    """Plan the whole year of a sample (about 7 CPU-seconds for the committed one)."""
    return PlannedYear(plan_year(read_sample(sample)), fingerprint_of(sample, mapping_version=MAPPING_VERSION))


@dataclass
class _Counts:
    shop_rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent_rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: int = 0
    file_bytes: int = 0
    fed: int = 0
    slices: int = 0


@dataclass(frozen=True)
class _Session:
    """One replay on its way: what it plays, where to, and how far the targets were when it began."""

    connection: Connection
    plan: YearPlan
    landing: Landing
    feed: FeedTarget | None
    progress: Progress
    counts: _Counts = field(default_factory=_Counts)


def replay(
    dsn: SecretStr | str,
    landing: Landing,
    *,
    feed: FeedTarget | None,
    from_date: date | None = None,
    to_date: date = DEFAULT_TO,
    slice_by: SliceBy = SliceBy.DAY,
    speed: float | None = None,
    sample: Path = SAMPLE_FILE,
    year: PlannedYear | None = None,
    on_slice: Callable[[SliceDone], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ReplayReport:
    """Replay the days from `from_date` to `to_date`, both included, UTC.

    Repeating a range sends the same bytes under the same keys and leaves the shop's rows alone.

    Args:
        dsn: The shop's database; `ensure_shop` was called on it.
        landing: Where files go.
        feed: The speed layer, or None for none.
        from_date: First day; None continues where the last replay ended.
        to_date: Last day. Changes dated later are not emitted.
        slice_by: Source time per file.
        speed: How many seconds of source time pass in one second, > 0; None is as fast as possible.
        sample: The invoice lines.
        year: The same, already planned; None plans `sample`.
        on_slice: Told after every slice with changes.
        clock: Monotonic seconds.
        sleep: Waits for seconds.

    Raises:
        ConfigurationError: `from_date` lies beyond the end of what was replayed, the sample or the mapping is not the
            one this shop was filled with, or another replay is running.
        StoreUnavailable: A store did not answer; call again to resume.
    """
    if speed is not None and speed <= 0:
        raise ConfigurationError(f"--speed must be greater than 0, not {speed}")
    began = clock()
    year = year or plan_sample(sample)
    plan, planned = year.plan, clock()
    with connect(dsn, application_name="slackwater replay") as connection:
        lock_replay(connection)
        progress = read_progress(connection, fingerprint=year.fingerprint, start_us=plan.start_us)
        session = _Session(connection, plan, landing, feed, progress)
        start_us = _start(from_date, sent_us=progress.sent_until_us(has_feed=feed is not None), plan=plan)
        end_us = max(_midnight(to_date) + DAY_US, start_us)
        _play_range(
            session,
            TimeSlice(start_us, end_us),
            slice_by=slice_by,
            pace=_pacer(start_us, speed=speed, clock=clock, sleep=sleep),
            on_slice=on_slice,
        )
    counts = session.counts
    return ReplayReport(
        chosen=tally_range(plan, start_us, end_us),
        so_far=tally_range(plan, plan.start_us, max(progress.shop_until_us, end_us)),
        shop_rows=dict(counts.shop_rows),
        sent_rows=dict(counts.sent_rows),
        file_count=counts.files,
        file_bytes=counts.file_bytes,
        fed_rows=counts.fed,
        slice_count=counts.slices,
        seconds=clock() - began,
        plan_seconds=planned - began,
    )


def _start(from_date: date | None, *, sent_us: int, plan: YearPlan) -> int:
    if from_date is None:
        return sent_us // DAY_US * DAY_US
    start_us = max(_midnight(from_date), plan.start_us)
    if start_us > sent_us:
        end = datetime.fromtimestamp(sent_us / 1e6, tz=UTC)
        raise ConfigurationError(
            f"--from {from_date} lies beyond the end of what was already replayed ({end:%Y-%m-%d %H:%M} UTC);"
            f" there would be a gap. Use --from {end:%Y-%m-%d} or earlier, or leave it out"
        )
    return start_us


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_US


def _pacer(
    start_us: int, *, speed: float | None, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Callable[[TimeSlice], None]:
    """Return what waits until a slice is over in source time."""
    began = clock()

    def wait(part: TimeSlice) -> None:
        if speed is not None:
            due = began + (part.end_us - start_us) / 1e6 / speed
            sleep(max(due - clock(), 0.0))

    return wait


def _play_range(
    session: _Session,
    whole: TimeSlice,
    *,
    slice_by: SliceBy,
    pace: Callable[[TimeSlice], None],
    on_slice: Callable[[SliceDone], None],
) -> None:
    counts = session.counts
    for part in time_slices(whole.start_us, whole.end_us, slice_by=slice_by):
        files = _slice_files(session, part)
        if files:
            pace(part)
            _play_slice(session, part, files)
            rows = sum(counts.sent_rows.values())
            on_slice(SliceDone(part, part.end_us - whole.start_us, whole.end_us - whole.start_us, counts.files, rows))
    # The range is done to its end, quiet hours and days included.
    for column in ("shop_until", "files_until", *(("feed_until",) if session.feed is not None else ())):
        advance(session.connection, column, whole.end_us)
    session.connection.commit()


def _slice_files(session: _Session, part: TimeSlice) -> Mapping[str, LandingFile]:
    landing, changes = session.landing, session.plan.changes
    made = {e: landing_file(changes[e], part, prefix=landing.prefix, form=landing.form) for e in ENTITIES}
    return {entity: file for entity, file in made.items() if file is not None}


def _play_slice(session: _Session, part: TimeSlice, files: Mapping[str, LandingFile]) -> None:
    connection, counts, landing = session.connection, session.counts, session.landing
    if part.end_us > session.progress.shop_until_us:
        new = {entity: _since(file.rows, session.progress.shop_until_us) for entity, file in files.items()}
        write_changes(connection, new)
        advance(connection, "shop_until", part.end_us)
        connection.commit()
        _count_ops(counts.shop_rows, new)
    # The speed layer first: killed in between, it is ahead of the published frontier and not behind it.
    if session.feed is not None:
        for entity, file in files.items():
            made = object_id(landing.bucket, file.key, _single_part_etag(file.data))
            rows = feed_rows(file, object_id=made, epoch=landing.epoch)
            counts.fed += session.feed.insert_changes(entity, rows)
    for file in files.values():
        landing.target.put(landing.bucket, file.key, file.data)
    advance(connection, "files_until", part.end_us)
    if session.feed is not None:
        advance(connection, "feed_until", part.end_us)
    connection.commit()
    _count_ops(counts.sent_rows, {entity: file.rows for entity, file in files.items()})
    counts.files += len(files)
    counts.file_bytes += sum(len(file.data) for file in files.values())
    counts.slices += 1


def _single_part_etag(data: bytes) -> str:
    """Return the etag S3 gives an object that is put in one part and not encrypted with a key of KMS."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _since(rows: pa.Table, start_us: int) -> pa.Table:
    """Return the rows dated at or after a time: the part of a slice that an earlier replay did not write."""
    times = rows["__source_ts_ms"].cast(pa.int64()).to_pylist()
    return rows.slice(sum(at < start_us for at in times))


def _count_ops(counter: Counter[tuple[str, str]], parts: Mapping[str, pa.Table]) -> None:
    for entity, rows in parts.items():
        for entry in rows["__op"].value_counts().to_pylist():
            counter[entity, str(entry["values"])] += int(entry["counts"])
