"""What the stores may say of a key, made by hand, for tests that explain it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from slackwater.explain.assemble import KeyFacts
from slackwater.explain.facts import ChangeRow, ObjectFacts, ShopVersion
from slackwater.explain.model import Step, StepKind, Story
from slackwater.explain.versions import Version, versions_of
from slackwater.explain.work_facts import (
    BadCheck,
    BatchFacts,
    BatchTrail,
    CheckFacts,
    Held,
    LoadFacts,
    PublicationFacts,
    RefreshFacts,
    RefreshTrail,
    SnapshotFacts,
)

NOON = datetime(2010, 12, 6, 12, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def row(lsn: int, **changed) -> ChangeRow:
    values = {"status": "pending", "total_amount": Decimal("1.00"), "shipping_address": "Lane 1"}
    made = ChangeRow(
        "u", lsn, 0, f"object{lsn}", "shop.orders+0", lsn, NOON, None, values, NOW, "batch", "file.parquet"
    )
    return replace(made, **changed)


def change_of(version: Version) -> ChangeRow:
    assert version.change is not None
    return version.change


def in_speed(found: ChangeRow) -> ChangeRow:
    return replace(found, batch_id=None, file_name=None)


def versions(
    raw: Sequence[ChangeRow] = (),
    lake: Sequence[ChangeRow] = (),
    speed: Sequence[ChangeRow] = (),
    shop: Sequence[ShopVersion] = (),
) -> tuple[Version, ...]:
    return versions_of(raw=raw, lake=lake, speed=speed, shop=shop)


def a_batch(state: str = "loaded", **changed) -> BatchFacts:
    made = BatchFacts("batch", "orders", state, 3, 0, 93, 77, 5, 1, False, NOW, NOW, NOW, None, {"sealed": "bridge"})
    return replace(made, **changed)


def a_refresh(state: str = "published", number: int = 1, **changed) -> RefreshFacts:
    made = RefreshFacts(
        refresh_id=f"refresh{number}",
        state=state,
        batch_ids=frozenset({"batch"}),
        batch_count=4,
        as_of=NOON,
        started_at=NOW + timedelta(minutes=number),
        ended_at=NOW + timedelta(minutes=number, seconds=30),
        publication_id=f"pub{number}" if state == "published" else None,
        reasons=("totals fell",) if state == "rejected" else (),
        report=None,
        dbt_invocation_id=f"dbt{number}",
        dbt_built_at=NOW,
    )
    return replace(made, **changed)


def a_publication(number: int = 1) -> PublicationFacts:
    return PublicationFacts(f"pub{number}", number, f"refresh{number}", 1, 2, NOW + timedelta(minutes=number))


def a_trail(*refreshes: RefreshTrail, batch: BatchFacts | None = None) -> BatchTrail:
    snapshot = SnapshotFacts(Held.ON_MAIN, 77, NOW, 93, ("s3://lake/a.parquet",))
    load = LoadFacts(5, 93, 1, NOW, "flow-run/1", "query-1")
    found = batch or a_batch()
    return BatchTrail(found, snapshot, load if found.state == "loaded" else None, refreshes)


def published(number: int = 1) -> RefreshTrail:
    return RefreshTrail(a_refresh(number=number), CheckFacts({"passed": 40}, NOW), a_publication(number))


def rejected(number: int) -> RefreshTrail:
    bad = BadCheck("unique_id", "STAGING.STG_ORDERS", "failed", "two rows", ("7",), ("file.parquet",))
    return RefreshTrail(a_refresh("rejected", number), CheckFacts({"passed": 39, "failed": 1}, NOW, (bad,)))


def an_object(state: str = "batched", **changed) -> ObjectFacts:
    made = ObjectFacts(
        "object5", "landing", "cdc/orders/file.parquet", "orders", state, 900, None, None, "shop.orders+0", 1, 93, NOW,
        NOW, None, None, None, ("batch",), frozenset(), "bridge",
    )  # fmt: skip
    return replace(made, **changed)


def facts(found: Sequence[Version], trails: Mapping[str, BatchTrail], **changed) -> KeyFacts:
    objects = {change_of(version).object_id: an_object() for version in found if version.change}
    return replace(KeyFacts("orders", 7, found, objects, trails), **changed)


def step(story: Story, kind: StepKind, chapter: int = 0) -> Step:
    return next(one for one in story.chapters[chapter].steps if one.kind is kind)


# versions
