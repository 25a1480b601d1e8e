"""When marts are stale: measured on what the warehouse loaded, whatever the event times say."""

from datetime import UTC, datetime, timedelta

import pytest

from slackwater.quality.freshness import Freshness, judge_freshness

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)
RECENT, OLD, OLDER = NOW - timedelta(minutes=60), NOW - timedelta(minutes=61), NOW - timedelta(days=2)


def _judged(published_at, waiting_since):
    return judge_freshness(Freshness("core", published_at, waiting_since), now=NOW, limit_minutes=60)


@pytest.mark.parametrize(
    ("published_at", "waiting_since"),
    [(None, None), (RECENT, None), (RECENT, RECENT), (None, RECENT)],
    ids=["nothing was ever loaded", "published", "something waits", "first load waits"],
)
def test_marts_within_the_limit_are_fresh(published_at, waiting_since):
    assert _judged(published_at, waiting_since) is None


@pytest.mark.parametrize(
    ("published_at", "waiting_since", "age", "cause"),
    [
        (OLD, None, 61, "nothing was loaded since"),
        (OLDER, OLD, 2_880, "loaded since 2026-05-10 10:59 UTC is not published"),
        (None, OLD, 61, "loaded since 2026-05-10 10:59 UTC is not published"),
    ],
    ids=["source is silent", "refreshes do not publish", "never published"],
)
def test_marts_past_the_limit_are_stale_and_say_which_side_is_behind(published_at, waiting_since, age, cause):
    stale = _judged(published_at, waiting_since)
    assert stale is not None
    assert (stale.age_minutes, stale.since) == (age, published_at or waiting_since)
    assert cause in stale.cause
