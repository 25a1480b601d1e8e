"""Notifications in every known envelope, and what a landing key says."""

import json
from urllib.parse import quote_plus

import pytest

from slackwater.landing.s3_notice import Notice, UnreadableMessage, parse_key, parse_notification, seen_object
from slackwater.ledger.model import object_id

KEY = "cdc/orders/date=2010-12-01/hour=08/shop.orders+0+120-219.parquet"
ODD_KEY = "cdc/orders/date=2010-12-01/hour=08/shop ördérs x+0+1-2.parquet"


def s3_record(key=KEY, *, name="ObjectCreated:Put", safe="/", **extra):
    item = {"key": quote_plus(key, safe=safe), "size": 7, "eTag": "abc", **extra}
    return {"eventName": name, "eventTime": "2026-11-21T12:44:58.616Z", "s3": {"bucket": {"name": "b"}, "object": item}}


def test_a_record_gives_bucket_key_etag_and_size():
    (notice,) = parse_notification(json.dumps({"Records": [s3_record(versionId="v1")]}))
    assert (notice.bucket, notice.key, notice.etag, notice.size_bytes, notice.version_id) == ("b", KEY, "abc", 7, "v1")
    assert notice.event_time is not None
    assert notice.event_time.isoformat() == "2026-11-21T12:44:58.616000+00:00"


@pytest.mark.parametrize(
    ("extra", "version_id"),
    [
        ({}, None),
        ({"versionId": "v1", "sequencer": "0055AED6DCD90281E5"}, "v1"),
        ({"versionId": "null"}, None),
        ({"versionId": ""}, None),
        ({"versionId": "v\x00"}, None),
        ({"versionId": "v\ud800"}, None),
        ({"size": "7"}, None),
        ({"eTag": '"abc"'}, None),
    ],
    ids=[
        "bare",
        "versioned",
        "null version",
        "empty version",
        "odd version",
        "half a character",
        "size as text",
        "quoted etag",
    ],
)
@pytest.mark.parametrize("version", ["2.0", "2.1", "2.3", "2.6"])
def test_every_version_of_a_record_is_read_with_and_without_its_optional_fields(extra, version_id, version):
    record = s3_record(**extra) | {"eventVersion": version, "eventSource": "aws:s3", "awsRegion": "us-east-1"}
    (notice,) = parse_notification(json.dumps({"Records": [record]}))
    assert (notice.key, notice.etag, notice.size_bytes, notice.version_id) == (KEY, "abc", 7, version_id)


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("2026-11-21T12:44:58.616Z", "2026-11-21T12:44:58.616000+00:00"),
        ("2026-11-21T12:44:58", "2026-11-21T12:44:58+00:00"),
        ("2026-11-21T13:44:58+01:00", "2026-11-21T13:44:58+01:00"),
        ("yesterday", None),
        (None, None),
        (1_790_000_000, None),
    ],
)
def test_a_time_that_cannot_be_read_is_no_reason_to_lose_the_object(said, understood):
    (notice,) = parse_notification(json.dumps({"Records": [s3_record() | {"eventTime": said}]}))
    assert (notice.event_time.isoformat() if notice.event_time else None) == understood


@pytest.mark.parametrize("safe", ["/", "", "/="], ids=["slash plain", "all encoded", "equals plain"])
@pytest.mark.parametrize("key", [KEY, ODD_KEY], ids=["plain", "spaces and UTF-8"])
def test_a_key_is_decoded_whatever_the_sender_encodes(key, safe):
    (notice,) = parse_notification(json.dumps({"Records": [s3_record(key, safe=safe)]}))
    assert notice.key == key


@pytest.mark.parametrize(
    "detail",
    [
        {"bucket": {"name": "b"}, "object": {"key": ODD_KEY, "size": 7, "etag": "abc"}},
        {"bucket": {"name": "b"}, "object": {"key": ODD_KEY, "size": 7, "eTag": '"abc"', "version-id": "v2"}},
        {"bucket": {"name": "b"}, "object": {"key": ODD_KEY, "size": 7, "etag": "abc"}, "reason": "PutObject"},
    ],
    ids=["etag", "eTag", "reason of another sender"],
)
def test_an_event_bridge_key_is_not_decoded_again(detail):
    body = json.dumps({"detail-type": "Object Created", "time": "2026-11-21T12:00:00Z", "detail": detail})
    (notice,) = parse_notification(body)
    assert (notice.key, notice.etag, notice.size_bytes) == (ODD_KEY, "abc", 7)


def test_a_topic_envelope_is_opened():
    inner = json.dumps({"Records": [s3_record()]})
    assert parse_notification(json.dumps({"Type": "Notification", "Message": inner}))[0].key == KEY
    detail = {"bucket": {"name": "b"}, "object": {"key": ODD_KEY, "size": 7, "etag": "abc"}}
    inner = json.dumps({"detail-type": "Object Created", "detail": detail})
    assert parse_notification(json.dumps({"Type": "Notification", "Message": inner}))[0].key == ODD_KEY
    inner = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})
    assert parse_notification(json.dumps({"Type": "Notification", "Message": inner})) == ()


def test_test_events_and_deletions_bring_nothing():
    assert parse_notification(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})) == ()
    assert parse_notification(json.dumps({"Records": [s3_record(name="ObjectRemoved:Delete")]})) == ()
    assert parse_notification(json.dumps({"detail-type": "Object Deleted", "detail": {}})) == ()


def test_one_message_may_bring_several_objects():
    body = json.dumps({"Records": [s3_record(), s3_record(ODD_KEY, name="s3:ObjectCreated:CompleteMultipartUpload")]})
    assert [notice.key for notice in parse_notification(body)] == [KEY, ODD_KEY]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"Records": [{}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}, "object": {}}}]}',
        '{"Records": ["x"]}',
        json.dumps({"Records": [s3_record("cdc/a\x00b")]}),
        json.dumps({"Records": [s3_record("cdc/" + "x" * 5_000)]}),
        json.dumps({"Records": [s3_record(size=-1)]}),
        json.dumps({"Records": [s3_record(size=2**63)]}),
        json.dumps({"Records": [s3_record(size="many")]}),
        json.dumps({"Records": [s3_record(eTag="\ud800")]}),
        json.dumps({"Records": [s3_record(eTag="")]}),
        json.dumps({"detail": {"bucket": {"name": "b"}, "object": {"key": "cdc/\ud800", "size": 1, "etag": "e"}}}),
        "[" * 200_000,
        '{"Records": ' + "1" * 5_000 + "}",
        json.dumps({"Records": [s3_record()]}).replace("shop.orders", "%ff"),
        '{"detail": {}}',
        '{"Message": "x"}',
    ],
)
def test_anything_else_is_unreadable_and_raises_nothing_else(body):
    with pytest.raises(UnreadableMessage):
        parse_notification(body)


def test_a_key_says_entity_partition_and_positions():
    found = parse_key(KEY, prefix="cdc/")
    assert (found.entity, found.source_partition) == ("orders", "shop.orders+0")
    assert (found.first_position, found.last_position) == (120, 219)


def test_padded_positions_and_files_without_rows_are_valid():
    padded = parse_key("cdc/users/date=2010-12-01/hour=00/shop.users+3+0000000000-0000000009.jsonl.gz", prefix="cdc/")
    empty = parse_key("cdc/users/date=2010-12-01/hour=00/shop.users+0+0--1.parquet", prefix="cdc/")
    assert (padded.source_partition, padded.first_position, padded.last_position) == ("shop.users+3", 0, 9)
    assert (empty.first_position, empty.last_position) == (0, -1)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("other/orders/date=2010-12-01/hour=08/shop.orders+0+1-2.parquet", "outside_prefix"),
        ("cdc/carts/date=2010-12-01/hour=08/shop.carts+0+1-2.parquet", "unknown_entity"),
        ("cdc/users/date=2010-12-01/hour=08/shop.orders+0+1-2.parquet", "wrong_entity"),
        ("cdc/orders/date=2010-12-01/hour=08/shop.orders+0+1-2.csv", "unparseable_key"),
        ("cdc/orders/date=2010-12-01/hour=08/shop.orders+0+1.parquet", "unparseable_key"),
        ("cdc/orders/shop.orders+0+1-2.parquet", "unparseable_key"),
        ("cdc/orders/date=2010-12-01/hour=08/", "unparseable_key"),
        ("cdc/", "unparseable_key"),
        ("cdc/orders/date=2010-12-01/hour=08/shop.orders+0+5-3.parquet", "bad_range"),
        ("cdc/orders/date=2010-12-01/hour=08/shop.orders+0+1-99999999999999999999.parquet", "bad_range"),
    ],
)
def test_a_key_outside_the_contract_is_quarantined_by_name(key, reason):
    seen = seen_object(Notice("b", key, "abc", 7, None, None), prefix="cdc/", epoch=0)
    assert seen.reason == reason
    assert seen.entity is None
    assert seen.first_position is None


def test_an_object_without_bytes_is_quarantined_and_keeps_its_place():
    seen = seen_object(Notice("b", KEY, "abc", 0, None, None), prefix="cdc/", epoch=2)
    assert (seen.reason, seen.entity, seen.first_position, seen.epoch) == ("empty", "orders", 120, 2)


def test_an_object_is_its_bucket_key_and_etag_with_or_without_quotes():
    assert object_id("b", KEY, "abc") == object_id("b", KEY, '"abc"')
    assert len({object_id("b", KEY, "abc"), object_id("b", KEY, "abd"), object_id("c", KEY, "abc")}) == 3
    assert len(object_id("b", KEY, "abc")) == 32
