"""What of the lake expires, what is purged, and why the rest stays."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slackwater.errors import InvalidPlanError
from slackwater.lake.history import Snapshot, TableHistory
from slackwater.lake.maintenance import (
    MANIFESTS_WORTH_REWRITING,
    ChangelogFile,
    is_worth_rewriting,
    orphan_limit,
    plan_expiry,
    plan_purge,
)
from slackwater.settings import LakeSettings

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
DAY = date(2010, 12, 1)


def chain(*ages_days, refs=None, tags=frozenset()):
    """Snapshots 1, 2, ... of main, committed so many days ago, each appending batch `b<id>`; the last is current."""
    at = [NOW - timedelta(days=days) for days in ages_days]
    snapshots = tuple(
        Snapshot(
            snapshot_id=n + 1,
            parent_id=n or None,
            committed_at=at[n],
            last_current_at=at[n + 1] if n + 1 < len(at) else None,
            appended_batches=(f"b{n + 1}",),
        )
        for n in range(len(at))
    )
    return TableHistory("changes.orders", snapshots, {"main": len(at)} | (refs or {}), tags)


def expiry(history, *, unloaded=(), retention=WEEK, now=NOW):
    return plan_expiry(history, now=now, retention=retention, unloaded=unloaded)


def test_a_snapshot_expires_when_main_showed_something_else_for_the_whole_retention():
    assert expiry(chain(30, 20, 10, 6, 1)).expired == (1, 2)  # 3 was what main showed 7 days ago
    assert expiry(chain(30, 20, 10, 6, 1), now=NOW - timedelta(days=4)).expired == (1,)


def test_the_current_snapshot_never_expires_however_old():
    plan = expiry(chain(300, 200))
    assert (plan.expired, [(one.snapshot_id, one.reason) for one in plan.kept]) == ((1,), [(2, "branch main is at it")])
    assert expiry(chain(300)).expired == ()
    assert expiry(TableHistory("changes.orders", (), {})).expired == ()


def test_a_snapshot_an_unloaded_batch_needs_is_kept_with_all_that_link_it_to_the_present():
    plan = expiry(chain(40, 30, 20, 15, 1), unloaded={"b2"})
    assert plan.expired == (1,)
    assert {one.snapshot_id: one.reason for one in plan.kept} == {
        2: "batch b2 is not loaded and is loaded from the files it added",
        3: "it links one that is needed to the present",
    }


def test_a_branch_or_tag_keeps_its_snapshot_and_no_other():
    plan = expiry(chain(40, 30, 20, 15, 1, refs={"audit": 1, "v1": 3}, tags=frozenset({"v1"})))
    assert plan.expired == (2,)
    assert [(one.snapshot_id, one.reason) for one in plan.kept] == [
        (1, "branch audit is at it"),
        (3, "tag v1 is at it"),
    ]


def test_what_a_rollback_took_away_expires_by_its_own_age():
    history = chain(40, 30, 1)
    lost = [Snapshot(8, 2, NOW - timedelta(days=29), NOW - timedelta(days=28)),
            Snapshot(9, 2, NOW - timedelta(days=29), NOW - timedelta(days=2))]  # fmt: skip
    assert expiry(replace(history, snapshots=(*history.snapshots, *lost))).expired == (1, 8)


def test_no_snapshot_expires_within_an_hour():
    with pytest.raises(InvalidPlanError, match="1:00:00 at least, not 0:59:00"):
        expiry(chain(2, 1), retention=timedelta(minutes=59))
    assert expiry(chain(2, 1), retention=timedelta(hours=1)).expired == (1,)


@settings(max_examples=100, database=None, deadline=None)
@given(
    st.lists(st.floats(0, 60), min_size=1, max_size=12).map(lambda ages: sorted(ages, reverse=True)),
    st.sets(st.integers(1, 12)),
    st.integers(1, 12),
)
def test_main_keeps_an_unbroken_chain_down_to_every_needed_and_every_recent_snapshot(ages, needed, tagged):
    history = chain(*ages, refs={"tag": min(tagged, len(ages))})
    plan = expiry(history, unloaded={f"b{n}" for n in needed})
    left = {one.snapshot_id for one in history.snapshots} - set(plan.expired)
    wanted = {one.snapshot_id for one in history.snapshots if one.snapshot_id in needed}
    wanted |= {one.snapshot_id for one in history.snapshots
               if one.last_current_at is None or NOW - one.last_current_at < WEEK}  # fmt: skip
    assert set(range(min(wanted), len(ages) + 1)) <= left
    assert set(history.refs.values()) <= left
    assert {one.snapshot_id for one in plan.kept} <= left


def file(name, *batch_ids, rows=3, day=DAY):
    return ChangelogFile(name, day, rows, 100, frozenset(batch_ids))


def test_a_file_is_purged_only_when_every_batch_in_it_may_be():
    plan = plan_purge(
        [file("old", "a"), file("mixed", "a", "young"), file("both", "a", "b", rows=5, day=DAY + timedelta(days=1))],
        purgeable={"a", "b"},
    )
    assert [one.address for one in plan.files] == ["old", "both"]
    assert (plan.batch_ids, plan.kept_files, plan.row_count, plan.size_bytes) == (("a", "b"), 1, 8, 200)
    assert plan.rows_by_day == {DAY: 3, DAY + timedelta(days=1): 5}


def test_a_file_of_unknown_batches_is_never_purged():
    plan = plan_purge([file("unknown")], purgeable={"a"})
    assert (plan.files, plan.kept_files) == ((), 1)


def test_manifests_are_rewritten_when_there_are_many():
    assert not is_worth_rewriting(MANIFESTS_WORTH_REWRITING - 1)
    assert is_worth_rewriting(MANIFESTS_WORTH_REWRITING)


def test_files_without_a_snapshot_get_a_day_at_least():
    assert orphan_limit(NOW, grace=timedelta(days=3)) == NOW - timedelta(days=3)
    with pytest.raises(InvalidPlanError, match="1 day, 0:00:00 at least"):
        orphan_limit(NOW, grace=timedelta(hours=23))


@pytest.mark.parametrize(
    ("changelog", "snapshots", "orphans"), [(7, 7, 3), (90, 3, 3), (90, 7, 8)], ids=["equal", "equal grace", "grace"]
)
def test_retentions_that_do_not_fall_are_refused(changelog, snapshots, orphans):
    def lake_settings(**days):
        return LakeSettings(catalog_uri="postgresql://x", **days)

    assert lake_settings().changelog_retention_days == 90
    with pytest.raises(ValidationError, match="retention must fall"):
        lake_settings(changelog_retention_days=changelog, snapshot_retention_days=snapshots, orphan_grace_days=orphans)
