"""A missing file is found by the positions its neighbours leave free, and named by them."""

from dataclasses import replace
from itertools import count, groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slackwater.ledger.gaps import MissingRange, missing_ranges
from slackwater.ledger.store import Ledger
from slackwater.testing.landing_files import LandingFile
from slackwater.testing.ledger_bench import seen

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def ledger(module_sandbox):
    with Ledger(module_sandbox.ledger.dsn) as found:
        yield found


TOPICS = count()


def fresh_topic():
    """A source partition of its own, so that the tests of this module share one ledger."""
    return f"shop.source{next(TOPICS)}"


def record(ledger, *files):
    for file in files:
        ledger.record_objects([seen(file)], actor="test")


def holes_of(ledger, topic):
    with ledger.transaction() as connection:
        return [hole for hole in missing_ranges(connection) if hole.source_partition == f"{topic}+0"]


def test_the_missing_file_is_named_by_its_neighbours(ledger):
    topic = fresh_topic()
    before, lost, after = (LandingFile(topic=topic, first=first, count=10) for first in (0, 10, 20))
    record(ledger, after, before)
    assert holes_of(ledger, topic) == [MissingRange("orders", f"{topic}+0", 10, 19, before.key(), after.key())]
    assert f"{holes_of(ledger, topic)[0].file_stem}.parquet" == lost.key().rsplit("/", 1)[1]

    record(ledger, lost)
    assert holes_of(ledger, topic) == []


def test_the_same_positions_of_another_entity_or_partition_fill_no_hole(ledger):
    topic = fresh_topic()
    record(ledger, *(LandingFile(topic=topic, first=first, count=5) for first in (0, 10)))
    record(ledger, LandingFile("users", topic=topic, first=5, count=5))
    record(ledger, LandingFile(topic=fresh_topic(), first=5, count=5))
    assert [(hole.entity, hole.first, hole.last) for hole in holes_of(ledger, topic)] == [("orders", 5, 9)]


def test_a_quarantined_file_is_known_and_a_superseded_one_is_not_there(ledger):
    topic = fresh_topic()
    files = [LandingFile(topic=topic, first=first, count=5) for first in (0, 5, 10)]
    record(ledger, *files)
    middle = seen(files[1])
    ledger.quarantine(middle.object_id, reason="truncated", actor="test")
    assert holes_of(ledger, topic) == []

    newer = replace(middle, object_id="0" * 31 + "f", etag="e2")
    ledger.supersede(middle.object_id, actor="test")
    assert [(hole.first, hole.last) for hole in holes_of(ledger, topic)] == [(5, 9)]
    ledger.record_objects([newer], actor="test")
    assert holes_of(ledger, topic) == []


def test_a_file_without_rows_and_one_with_a_bad_name_do_not_matter(ledger):
    topic = fresh_topic()
    record(ledger, LandingFile(topic=topic, first=0, count=5), LandingFile(topic=topic, first=7, count=0))
    record(ledger, LandingFile(topic=topic, first=8, count=2))
    ledger.record_objects([replace(seen(LandingFile(topic=topic)), object_id="bad", key=f"cdc/{topic}", entity=None,
                                   source_partition=None, first_position=None, last_position=None,
                                   reason="unparseable_key")], actor="test")  # fmt: skip
    assert [(hole.first, hole.last) for hole in holes_of(ledger, topic)] == [(5, 7)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=8, unique=True))
def test_exactly_the_positions_no_file_holds_are_missing(ledger, ranges):
    topic = fresh_topic()
    record(ledger, *(LandingFile(topic=topic, first=first, count=size) for first, size in ranges))
    held = {position for first, size in ranges for position in range(first, first + size)}
    free = sorted(set(range(min(held, default=0), max(held, default=0))) - held)
    expected = [
        (run[0][1], run[-1][1])
        for run in (list(items) for _, items in groupby(enumerate(free), key=lambda pair: pair[1] - pair[0]))
    ]
    found = holes_of(ledger, topic)
    assert [(hole.first, hole.last) for hole in found] == expected
    for hole in found:
        assert f"-{hole.first - 1}." in hole.after_key
        assert f"+{hole.last + 1}-" in hole.before_key
