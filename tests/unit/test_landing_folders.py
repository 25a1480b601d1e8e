"""Which day folders a sweep lists, and how few requests it needs to walk them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.clients.s3 import ListedObject
from slackwater.landing.folders import day_folder, find_folders, plan_folders, walk_folders

PREFIX = "cdc/"
AT = datetime(2026, 11, 21, tzinfo=UTC)


class Bucket:
    """Keys in S3's order; counts the pages it gave."""

    def __init__(self, keys, *, page=1_000):
        self.keys = sorted(keys)
        self.page = page
        self.pages = 0

    def list_page(self, bucket, prefix, *, start_after):
        self.pages += 1
        found = [key for key in self.keys if key.startswith(prefix) and key > start_after]
        return [ListedObject(bucket, key, "e", 1, AT) for key in found[: self.page]], len(found) > self.page

    def list_folder(self, bucket, prefix):
        rest = [key.removeprefix(prefix) for key in self.keys if key.startswith(prefix)]
        folders = sorted({f"{prefix}{key.split('/')[0]}/" for key in rest if "/" in key})
        return folders, [ListedObject(bucket, prefix + key, "e", 1, AT) for key in rest if "/" not in key]


def key(entity, day, number):
    return f"{PREFIX}{entity}/date=2010-12-{day:02}/hour=08/shop.{entity}+0+{number:04}-{number:04}.parquet"


def walked(bucket, folders):
    pages = list(walk_folders(bucket, "b", PREFIX, folders))
    keys = [item.key for page in pages for item in page]
    assert len(keys) == len(set(keys))
    return keys


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cdc/orders/date=2010-12-01/hour=08/x.parquet", "cdc/orders/date=2010-12-01/"),
        ("cdc/orders/date=2010-12-01/x", "cdc/orders/date=2010-12-01/"),
        ("cdc/orders/a/b/c/d", "cdc/orders/a/"),
        ("cdc/orders/x.parquet", None),
        ("cdc/x", None),
        ("other/orders/date=2010-12-01/hour=08/x.parquet", None),
    ],
)
def test_a_key_lies_in_its_entitys_day_or_above_all_days(name, folder):
    assert day_folder(name, prefix=PREFIX) == folder


def test_unknown_and_recent_folders_are_listed_and_old_known_ones_are_not():
    known = {"a/": True, "b/": False, "gone/": True}
    assert plan_folders(["c/", "b/", "a/"], known) == ("a/", "c/")


def test_folders_are_found_without_listing_their_objects():
    bucket = Bucket([key("orders", 1, 1), key("users", 2, 1), "cdc/orders/loose", "cdc/top", "else/x/y/z"])
    days, beside = find_folders(bucket, "b", PREFIX)
    assert days == ["cdc/orders/date=2010-12-01/", "cdc/users/date=2010-12-02/"]
    assert [item.key for item in beside] == ["cdc/top", "cdc/orders/loose"]
    assert bucket.pages == 0


def test_what_lies_between_two_folders_is_skipped():
    keys = [key("orders", day, number) for day in range(1, 29) for number in range(100)]
    bucket = Bucket(keys, page=100)
    found = walked(bucket, ["cdc/orders/date=2010-12-02/", "cdc/orders/date=2010-12-20/"])
    assert bucket.pages <= 4
    for day in (2, 20):
        assert {key("orders", day, number) for number in range(100)} <= set(found)


def test_many_small_folders_cost_no_more_requests_than_listing_everything():
    keys = [key("orders", day, 1) for day in range(1, 29)]
    bucket = Bucket(keys, page=1_000)
    assert walked(bucket, [f"cdc/orders/date=2010-12-{day:02}/" for day in range(1, 29)]) == keys
    assert bucket.pages == 1


days = st.integers(1, 5)
bucket_keys = st.sets(st.builds(key, st.sampled_from(["orders", "users"]), days, st.integers(0, 9)), max_size=60)


@given(bucket_keys, st.sets(st.tuples(st.sampled_from(["orders", "users"]), days)), st.integers(1, 7))
def test_every_object_of_the_folders_is_seen_once_whatever_the_size_of_a_page(keys, chosen, page):
    folders = [f"cdc/{entity}/date=2010-12-{day:02}/" for entity, day in chosen]
    found = walked(Bucket(keys, page=page), folders)
    assert {name for name in keys if day_folder(name, prefix=PREFIX) in folders} <= set(found)
