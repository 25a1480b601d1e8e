"""Steps of the watch: say on the event bus what somebody should hear of. Alerts are automations over these events."""

from datetime import UTC, datetime

from prefect import get_run_logger

from slackwater.naming import EVENT_MARTS_STALE, EVENT_SCHEMA_CHANGED, MART_SET, mart_set_resource, table_resource
from slackwater.quality.freshness import judge_freshness, read_freshness
from slackwater.settings import QualitySettings
from slackwater.warehouse.announcements import is_announced, note_announced, schema_news
from tasks.connections import open_event_bus, open_warehouse
from tasks.retrying import retried_task


@retried_task()
def announce_staleness(mart_set: str = MART_SET) -> bool:
    """Say that the marts are stale, once a day while they are; return whether they are."""
    now = datetime.now(UTC)
    with open_warehouse("watch") as warehouse:
        found = read_freshness(warehouse, mart_set)
        stale = judge_freshness(found, now=now, limit_minutes=QualitySettings().mart_stale_minutes)
        if stale is None:
            return False
        get_run_logger().warning("marts %s are %d minutes old: %s", mart_set, stale.age_minutes, stale.cause)
        key = f"{EVENT_MARTS_STALE}:{mart_set}:{stale.since.isoformat()}:{now.date()}"
        if not is_announced(warehouse, key):
            with open_event_bus() as bus:
                bus.emit(
                    EVENT_MARTS_STALE,
                    mart_set_resource(mart_set),
                    {"mart_set": mart_set, "age_minutes": stale.age_minutes, "cause": stale.cause},
                    event_id=key,
                )
            note_announced(warehouse, key)
    return True


@retried_task()
def announce_schema_changes() -> int:
    """Say which tables were brought in another shape, each change once; return how many."""
    told = 0
    with open_warehouse("watch") as warehouse, open_event_bus() as bus:
        for news in schema_news(warehouse, now=datetime.now(UTC)):
            bus.emit(
                EVENT_SCHEMA_CHANGED,
                table_resource(news.object),
                {"object": news.object, "what": news.what, "actor": news.actor},
                event_id=news.key,
            )
            note_announced(warehouse, news.key)
            told += 1
    return told
