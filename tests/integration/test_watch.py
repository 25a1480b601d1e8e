"""What the watch reads and remembers: the age of the marts on `loaded_at`, and schema changes nobody was told of."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse, as_utc
from slackwater.ledger.store import Ledger
from slackwater.naming import MART_SET
from slackwater.quality.freshness import judge_freshness, read_freshness
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse import audit
from slackwater.warehouse.announcements import note_announced, schema_news
from slackwater.warehouse.marts import Mart
from slackwater.warehouse.publish import publish

pytestmark = pytest.mark.integration

AT = datetime.fromisoformat("2010-12-01 09:00:00")
DEED = audit.Deed(audit.SCHEMA_CHANGE, "RAW.PRODUCTS.BRAND", {"step": "add", "to": "varchar"})


@pytest.fixture
def path(sandbox) -> Iterator[WarehousePath]:
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        yield WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse)


def _order(key: int):
    return {"id": key, "total_amount": Decimal("5.00"), "created_at": AT, "updated_at": AT}


def _loaded_at(path: WarehousePath, batch_id: str) -> datetime:
    return as_utc(path.warehouse.scalar("select loaded_at from OPS.LOAD_HISTORY where batch_id = ?", (batch_id,)))


def test_age_of_the_marts_is_that_of_the_newest_load_they_hold_whatever_the_event_times_say(path):
    assert read_freshness(path.warehouse, MART_SET).published_at is None
    first = path.load("orders", _order(1))
    waiting = read_freshness(path.warehouse, MART_SET)
    assert (waiting.published_at, waiting.waiting_since) == (None, _loaded_at(path, first.batch_id))

    refresh, lease = path.start()
    path.ledger.mark_tested(lease, refresh.refresh_id)
    publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease, marts=())
    path.ledger.release_work(lease)
    second = path.load("order_items", {"id": 1, "order_id": 1, "created_at": AT})

    found = read_freshness(path.warehouse, MART_SET)
    assert found.published_at == _loaded_at(path, first.batch_id)
    assert found.waiting_since == _loaded_at(path, second.batch_id)
    now = datetime.now(UTC)
    assert judge_freshness(found, now=now, limit_minutes=60) is None  # though the events are years old
    stale = judge_freshness(found, now=now + timedelta(hours=2), limit_minutes=60)
    assert stale is not None
    assert "is not published" in stale.cause


def _news(path: WarehousePath, *, later: timedelta = timedelta()) -> list[str]:
    return [one.object for one in schema_news(path.warehouse, now=datetime.now(UTC) + later)]


def test_schema_change_is_news_when_it_was_applied_until_somebody_was_told(path):
    audit.begin(path.warehouse, DEED, actor="cli:ada")
    assert _news(path) == []  # begun is not done
    audit.finish(path.warehouse, DEED)
    assert _news(path) == [DEED.object]
    assert _news(path, later=timedelta(days=8)) == []  # no news any more

    (news,) = schema_news(path.warehouse, now=datetime.now(UTC))
    assert (news.actor, "varchar" in news.what) == ("cli:ada", True)
    for _ in range(2):
        note_announced(path.warehouse, news.key)
    assert _news(path) == []
    assert path.warehouse.scalar("select count(*) from OPS.ANNOUNCEMENT") == 1


def test_what_was_done_is_written_once_however_often_it_is_told(path):
    deeds = [
        audit.Deed(audit.DATA_TRANSFORMATION, f"STAGING.STG_{number}", {"refresh_id": "r1", "rows_affected": "3"})
        for number in range(3)
    ]
    for _ in range(2):
        audit.record(path.warehouse, deeds, actor="flow-run/1")
    rows = path.warehouse.query("select actor, kind, object from OPS.AUDIT_LOG order by object")
    assert rows == [("flow-run/1", audit.DATA_TRANSFORMATION, deed.object) for deed in deeds]
    told = dict(audit.done_deeds(path.warehouse, audit.DATA_TRANSFORMATION))
    assert told[deeds[0].object]["rows_affected"] == "3"


def test_publication_is_audited_with_rows_and_actor_once(path):
    path.load("orders", _order(1))
    refresh, lease = path.start()
    path.ledger.mark_tested(lease, refresh.refresh_id)
    path.warehouse.execute("create table CANDIDATE.SALES (day date)")
    path.warehouse.execute("create table MARTS.SALES (day date, publication_id varchar not null)")
    path.warehouse.execute("insert into CANDIDATE.SALES select '2010-12-01'")
    mart = Mart("sales", (("day", "date"),), ("day",))
    for _ in range(2):
        publish(refresh, ledger=path.ledger, warehouse=path.warehouse, lease=lease, marts=(mart,))
    ((actor, name, detail),) = path.warehouse.query(
        "select actor, object, detail from OPS.AUDIT_LOG where kind = ?", (audit.DATA_TRANSFORMATION,)
    )
    assert (actor, name) == ("test", "MARTS.SALES")
    told = json.loads(str(detail))
    assert (told["rows_deleted"], told["rows_inserted"], told["refresh_id"]) == ("0", "1", refresh.refresh_id)
