"""How facts become a story, and a story lines: pure, no store."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from explain_facts import (
    NOON,
    NOW,
    a_batch,
    a_refresh,
    a_trail,
    an_object,
    change_of,
    facts,
    in_speed,
    published,
    rejected,
    row,
    step,
    versions,
)

from slackwater.explain.assemble import key_story
from slackwater.explain.facts import MartDay, ShopVersion, Store
from slackwater.explain.model import Mark, StepKind, as_json
from slackwater.explain.versions import Stage, Version, changed_columns, stage_of
from slackwater.explain.work_facts import (
    BatchTrail,
    Held,
    RefreshTrail,
    SnapshotFacts,
)
from slackwater.explain.work_steps import batch_steps


def test_the_change_order_not_the_time_of_arrival_says_which_version_is_newest() -> None:
    late = row(3, stored_at=NOW + timedelta(days=1))
    found = versions(raw=[late, row(9)])
    assert [change_of(version).lsn for version in found] == [9, 3]


def test_a_snapshot_row_is_older_than_a_streamed_change_of_equal_lsn_and_a_later_epoch_beats_both() -> None:
    found = versions(raw=[row(5, op="u"), row(5, op="r"), row(1, epoch=1)])
    assert [(change_of(version).epoch, change_of(version).op) for version in found] == [(1, "u"), (0, "u"), (0, "r")]


def test_the_same_change_in_two_objects_is_one_version_and_names_the_other_object() -> None:
    [found] = versions(raw=[row(5, object_id="a", position=5), row(5, object_id="b", position=6)])
    assert change_of(found).object_id == "b"
    assert found.also_in == ("a",)


def test_raw_speaks_before_the_lake_and_the_lake_before_clickhouse() -> None:
    raw, lake, speed = row(5), row(5, object_id="lake", position=9), in_speed(row(5, object_id="speed", position=10))
    assert change_of(versions(raw=[raw], lake=[lake], speed=[speed])[0]) == raw
    assert change_of(versions(lake=[lake], speed=[speed])[0]) == lake
    [alone] = versions(speed=[speed])
    assert (change_of(alone), alone.raw, alone.speed) == (speed, None, speed)


def test_a_shop_row_is_matched_by_operation_and_millisecond() -> None:
    fine = NOON + timedelta(microseconds=400)
    shop = [ShopVersion(1, "c", NOON), ShopVersion(2, "u", fine)]
    newer, older = versions(raw=[row(6, op="u"), row(5, op="r")], shop=shop)
    assert newer.shop == shop[1]
    assert older.shop == shop[0]


def test_two_changes_of_one_moment_take_the_shop_rows_in_order() -> None:
    shop = [ShopVersion(1, "u", NOON), ShopVersion(2, "u", NOON)]
    found = versions(raw=[row(5), row(6)], shop=shop)
    assert [version.shop for version in found] == [shop[1], shop[0]]


def test_a_version_only_the_shop_has_stands_at_its_place_in_time() -> None:
    hour = timedelta(hours=1)
    shop = [ShopVersion(1, "c", NOON), ShopVersion(2, "u", NOON + hour), ShopVersion(3, "u", NOON + 3 * hour)]
    raw = [row(5, op="c"), row(8, event_at=NOON + 2 * hour)]
    found = versions(raw=raw, shop=shop)
    assert [version.change.lsn if version.change else None for version in found] == [None, 8, None, 5]
    assert [version.shop.history_id if version.shop else None for version in found] == [3, None, 2, 1]


def test_changed_columns_compare_with_the_version_before_and_not_with_a_delete() -> None:
    old, new = Version(row(1)), Version(row(2, values={"status": "shipped", "total_amount": Decimal("1.00")}))
    assert changed_columns(new, old) == ("status",)
    assert changed_columns(new, None) == ()
    assert changed_columns(new, Version(row(1, op="d", values={"status": None}))) == ()


@pytest.mark.parametrize(
    ("version", "objects", "trail", "stage"),
    [
        (Version(None, shop=ShopVersion(1, "c", NOON)), {}, None, Stage.SHOP_ONLY),
        (Version(in_speed(row(5))), {}, None, Stage.UNSEEN),
        (Version(in_speed(row(5))), {"object5": an_object("quarantined", batch_ids=())}, None, Stage.STOPPED),
        (
            Version(in_speed(row(5))),
            {"object5": an_object("quarantined", skipped_in=frozenset({"batch"}))},
            a_trail(published()),
            Stage.STOPPED,
        ),
        (Version(in_speed(row(5))), {"object5": an_object("seen", batch_ids=())}, None, Stage.SEEN),
        (Version(in_speed(row(5))), {"object5": an_object()}, a_trail(batch=a_batch("sealed")), Stage.SEALED),
        (Version(row(5)), {}, a_trail(batch=a_batch("landed")), Stage.LANDED),
        (Version(row(5), raw=row(5)), {}, a_trail(batch=a_batch("landed")), Stage.LOADED),
        (Version(row(5), raw=row(5)), {}, a_trail(), Stage.LOADED),
        (Version(row(5), raw=row(5)), {}, a_trail(rejected(1)), Stage.REJECTED),
        (Version(row(5), raw=row(5)), {}, a_trail(rejected(1), published(2)), Stage.PUBLISHED),
        (Version(row(5), raw=row(5)), {}, None, Stage.LOADED),
    ],
)
def test_how_far_a_version_came(version, objects, trail, stage) -> None:
    assert stage_of(version, objects=objects, trails={"batch": trail} if trail else {}) is stage


def test_an_object_set_aside_by_one_batch_is_carried_by_the_next() -> None:
    found = an_object(batch_ids=("first", "batch"), skipped_in=frozenset({"first"}))
    assert stage_of(Version(in_speed(row(5))), objects={"object5": found}, trails={"batch": a_trail(published())}) == (
        Stage.PUBLISHED
    )


# the work on a batch


def test_the_steps_of_a_published_batch_have_the_ids_of_their_stores_in_order() -> None:
    told = batch_steps(a_trail(published()), silent={})
    assert [(one.kind.value, one.id) for one in told] == [
        ("batch", "batch"),
        ("snapshot", "77"),
        ("load", "query-1"),
        ("refresh", "refresh1"),
        ("dbt run", "dbt1"),
        ("checks", "refresh1"),
        ("publication", "pub1"),
    ]
    assert {one.mark for one in told} == {Mark.DONE}


@pytest.mark.parametrize(
    ("trail", "kind", "said"),
    [
        (BatchTrail(a_batch("sealed", attempt=0)), StepKind.SNAPSHOT, "not appended yet: no run has begun"),
        (
            BatchTrail(a_batch("sealed", attempt=2, last_error="StoreUnavailable: s3")),
            StepKind.SNAPSHOT,
            "not appended yet: attempt 2 failed with StoreUnavailable: s3",
        ),
        (a_trail(batch=a_batch("landed", is_leased=True)), StepKind.LOAD, "not loaded yet: attempt 1 is at work"),
        (a_trail(), StepKind.REFRESH, "loaded, waits for a refresh"),
        (a_trail(rejected(1)), StepKind.REFRESH, "waits for the next refresh"),
        (
            a_trail(RefreshTrail(a_refresh("building", dbt_invocation_id=None))),
            StepKind.REFRESH,
            "refresh is being built",
        ),
    ],
)
def test_the_first_step_that_did_not_happen_says_what_is_waited_for(trail, kind, said) -> None:
    waiting = [one for one in batch_steps(trail, silent={}) if one.mark is Mark.WAITING]
    assert (waiting[0].kind, waiting[0].what) == (kind, said)


def test_a_step_the_ledger_claims_and_its_store_denies_is_a_failure() -> None:
    lost = replace(a_trail(published()), snapshot=SnapshotFacts(Held.NOT_ON_MAIN), load=None)
    unpublished = replace(lost, refreshes=(replace(published(), publication=None),))
    marks = {one.kind: one.mark for one in batch_steps(unpublished, silent={})}
    assert (marks[StepKind.SNAPSHOT], marks[StepKind.LOAD], marks[StepKind.PUBLICATION]) == (Mark.FAILED,) * 3


def test_a_store_that_did_not_answer_leaves_the_ledgers_word_and_a_question_mark() -> None:
    alone = BatchTrail(a_batch(), None, None, (RefreshTrail(a_refresh()),))
    silent = {Store.LAKE: "down", Store.WAREHOUSE: "down"}
    marks = {one.kind: one.mark for one in batch_steps(alone, silent=silent)}
    unknown = {StepKind.SNAPSHOT, StepKind.LOAD, StepKind.CHECKS, StepKind.PUBLICATION}
    assert {kind for kind, mark in marks.items() if mark is Mark.UNKNOWN} == unknown


def test_rejected_refreshes_before_the_publication_are_told_and_old_ones_counted() -> None:
    told = batch_steps(a_trail(*(rejected(number) for number in (1, 2, 3, 4)), published(5)), silent={})
    refreshes = [one for one in told if one.kind is StepKind.REFRESH]
    assert [one.id for one in refreshes] == [None, "refresh3", "refresh4", "refresh5"]
    assert refreshes[0].what == "2 earlier refreshes of it were rejected, too"
    assert dict(refreshes[1].detail)["reasons"] == "totals fell"


def test_a_failed_check_that_names_the_key_or_the_file_says_so() -> None:
    for named, is_named in ((["7"], True), (["file.parquet"], True), (["8"], False)):
        told = batch_steps(a_trail(rejected(1)), silent={}, named=named)
        checks = next(one for one in told if one.kind is StepKind.CHECKS)
        assert ("names what you ask about" in str(checks.detail)) is is_named


# stories


def test_a_published_key_says_that_readers_see_it() -> None:
    story = key_story(facts([Version(row(5), raw=row(5))], {"batch": a_trail(published())}))
    assert story.answer == "Published: the newest of 1 versions is what readers see."
    assert story.missing == ()


def test_a_newer_version_that_waits_says_which_one_readers_see() -> None:
    found = [Version(row(6, batch_id="next"), raw=row(6)), *(Version(row(lsn), raw=row(lsn)) for lsn in (5, 4))]
    story = key_story(facts(found, {"batch": a_trail(published()), "next": a_trail()}))
    assert story.answer == "Version 3 of 3: loaded, waits for a refresh; readers see version 2."
    assert story.missing == ("Version 3 is not published: loaded, waits for a refresh.",)


def test_without_the_ledger_nothing_is_said_about_how_far_it_came() -> None:
    found = facts([Version(row(5), raw=row(5))], {}, objects={}, silent={Store.LEDGER: "no route"})
    story = key_story(found)
    assert "not known, because the ledger did not answer" in story.answer
    assert story.notes == ("The ledger did not answer: no route",)


@pytest.mark.parametrize(
    ("written_by", "minutes", "said"),
    [("pub1", 1, "last written by this publication"), ("pub9", 9, "written anew since"), ("pub0", 0, "not changed by")],
)
def test_the_mart_row_says_who_wrote_it_last(written_by: str, minutes: int, said: str) -> None:
    days = [MartDay(date(2010, 12, 6), written_by, NOW + timedelta(minutes=minutes))]
    story = key_story(facts([Version(row(5), raw=row(5))], {"batch": a_trail(published())}, days=days))
    mart = step(story, StepKind.MART)
    assert mart.id == written_by
    assert said in mart.what


def test_a_personal_value_is_named_and_never_shown() -> None:
    moved = row(6, values={"status": "shipped", "total_amount": Decimal("2.50"), "shipping_address": "Secret 2"})
    story = key_story(facts([Version(moved), Version(row(5))], {"batch": a_trail(published())}))
    detail = dict(step(story, StepKind.CHANGE).detail)
    assert detail["status"] == "pending -> shipped"
    assert detail["total_amount"] == "1.00 -> 2.50"
    assert detail["shipping_address"] == "changed"
    assert "Secret" not in str(as_json(story))
