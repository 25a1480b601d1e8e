"""Understands S3 event notifications and landing keys. Pure; lenient about the envelope, strict about the key.

Known forms: S3's own records (versions 2.x), `s3:TestEvent`, EventBridge, an SNS envelope around either. Keys arrive
URL-encoded in S3's form and plain in EventBridge's. Sequencer, version id and time are never required: emulators omit
them, and a time that cannot be read is no reason to lose an object. Whatever a message holds, the answer is notices or
`UnreadableMessage`: anything else would end the bridge, and the same message would end it again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_plus

from slackwater.ledger.model import SeenObject, object_id
from slackwater.naming import ENTITIES

_NAME = re.compile(
    r"^(?P<topic>[^/+]+)\+(?P<partition>\d+)\+(?P<first>\d+)-(?P<last>-?\d+)\.(?P<form>parquet|jsonl\.gz)$"
)
_FOLDERS = re.compile(r"^(?P<entity>[^/]+)/date=\d{4}-\d{2}-\d{2}/hour=\d{2}/(?P<name>[^/]+)$")
_MAX_POSITION = 2**63 - 1
_MAX_BYTES = 2**63 - 1
_MAX_TEXT_BYTES = 1_024
"""S3's own limit for a key. A longer text than PostgreSQL can index would be refused for ever, with its neighbours."""


@dataclass(frozen=True)
class Notice:
    """One created object of a notification; `etag` without quotes, `key` decoded."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    version_id: str | None
    event_time: datetime | None


@dataclass(frozen=True)
class LandingKey:
    """What a valid landing key says."""

    entity: str
    source_partition: str
    first_position: int
    last_position: int


class UnreadableMessage(ValueError):
    """A queue message is no S3 notification we know."""


class _BadKey(ValueError):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_notification(body: str) -> tuple[Notice, ...]:
    """Return the created objects of one queue message.

    Args:
        body: The message as received.

    Returns:
        Its objects in order; empty for a test event and for events that create nothing (deletes).

    Raises:
        UnreadableMessage: It is not JSON, or of no known form.
    """
    try:
        document = json.loads(body)
        if isinstance(document, dict) and isinstance(document.get("Message"), str) and "Records" not in document:
            document = json.loads(document["Message"])
    except ValueError as exc:
        raise UnreadableMessage(f"not JSON: {exc}") from exc
    except RecursionError as exc:
        raise UnreadableMessage("not JSON: nested too deep") from exc
    if not isinstance(document, dict):
        raise UnreadableMessage("a JSON object was expected")
    if document.get("Event") == "s3:TestEvent":
        return ()
    try:
        if isinstance(document.get("Records"), list):
            return tuple(_from_records(document["Records"]))
        if isinstance(document.get("detail"), dict):
            return tuple(_from_event_bridge(document))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UnreadableMessage(f"a field is missing or wrong: {exc!r}") from exc
    raise UnreadableMessage("neither Records nor detail")


def seen_object(notice: Notice, *, prefix: str, epoch: int) -> SeenObject:
    """Return what the ledger records of a notice, judged by its key and size alone.

    Args:
        notice: From a notification or a listing.
        prefix: The landing prefix with its final slash.
        epoch: The source's current epoch.
    """
    reason = message = None
    found: LandingKey | None = None
    try:
        found = parse_key(notice.key, prefix=prefix)
    except _BadKey as exc:
        reason, message = exc.reason, str(exc)
    if found is not None and notice.size_bytes == 0:
        reason, message = "empty", "the object has no bytes"
    return SeenObject(
        object_id=object_id(notice.bucket, notice.key, notice.etag),
        bucket=notice.bucket,
        key=notice.key,
        etag=notice.etag,
        size_bytes=notice.size_bytes,
        entity=found.entity if found else None,
        source_partition=found.source_partition if found else None,
        first_position=found.first_position if found else None,
        last_position=found.last_position if found else None,
        epoch=epoch,
        version_id=notice.version_id,
        last_modified=notice.event_time,
        reason=reason,
        message=message,
    )


def parse_key(key: str, *, prefix: str) -> LandingKey:
    """Take a landing key apart.

    Args:
        key: Decoded key, `<prefix><entity>/date=.../hour=../<topic>+<partition>+<first>-<last>.<form>`.
        prefix: The landing prefix with its final slash.

    Raises:
        ValueError: It is not of that form; its `reason` is `outside_prefix`, `unparseable_key`, `unknown_entity`,
            `wrong_entity` (the topic names another entity than the folder) or `bad_range`.
    """
    if not key.startswith(prefix):
        raise _BadKey("outside_prefix", f"the key does not begin with {prefix!r}")
    folders = _FOLDERS.match(key.removeprefix(prefix))
    name = _NAME.match(folders["name"]) if folders else None
    if folders is None or name is None:
        raise _BadKey("unparseable_key", "the key is not <entity>/date=/hour=/<topic>+<partition>+<first>-<last>")
    entity, topic = folders["entity"], name["topic"]
    if entity not in ENTITIES:
        raise _BadKey("unknown_entity", f"there is no entity {entity!r}; expected one of {', '.join(ENTITIES)}")
    table = topic.rsplit(".", 1)[-1]
    if table in ENTITIES and table != entity:
        raise _BadKey("wrong_entity", f"topic {topic} lies in the folder of {entity}")
    first, last = int(name["first"]), int(name["last"])
    if last < first - 1 or last >= _MAX_POSITION:
        raise _BadKey("bad_range", f"positions {first} to {last} are no range")
    return LandingKey(entity, f"{topic}+{int(name['partition'])}", first, last)


def _from_records(records: list[Mapping[str, object]]) -> Iterator[Notice]:
    for record in records:
        if not str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated"):
            continue
        s3 = _mapping(record["s3"])
        item, bucket = _mapping(s3["object"]), _mapping(s3["bucket"])
        yield Notice(
            bucket=_text(bucket["name"]),
            key=_text(unquote_plus(_text(item["key"]), errors="strict")),
            etag=_text(item["eTag"]).strip('"'),
            size_bytes=_size(item["size"]),
            version_id=_optional_text(item.get("versionId")),
            event_time=_time(record.get("eventTime")),
        )


def _from_event_bridge(document: Mapping[str, object]) -> Iterator[Notice]:
    if document.get("detail-type", "Object Created") != "Object Created":
        return
    detail = _mapping(document["detail"])
    item, bucket = _mapping(detail["object"]), _mapping(detail["bucket"])
    yield Notice(
        bucket=_text(bucket["name"]),
        key=_text(item["key"]),
        etag=_text(item.get("etag") or item["eTag"]).strip('"'),
        size_bytes=_size(item["size"]),
        version_id=_optional_text(item.get("version-id") or item.get("versionId")),
        event_time=_time(document.get("time")),
    )


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not _is_storable(value):
        raise TypeError(f"expected a text, got {value!r}")
    return value


def _optional_text(value: object) -> str | None:
    return value if isinstance(value, str) and value and value != "null" and _is_storable(value) else None


def _is_storable(value: str) -> bool:
    """Say whether PostgreSQL can hold and index a text: no NUL, no half of a surrogate pair (JSON may hold both)."""
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return False
    return len(value.encode()) <= _MAX_TEXT_BYTES


def _size(value: object) -> int:
    found = int(str(value))
    if not 0 <= found <= _MAX_BYTES:
        raise ValueError(f"expected a size in bytes, got {found}")
    return found


def _time(value: object) -> datetime | None:
    """Return an event's time, in UTC where it names no zone; None for one that is missing or cannot be read."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
