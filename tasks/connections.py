"""Settings to clients, for one step at a time. The only place of `tasks/` where clients are made; nothing is cached."""

from collections.abc import Iterator
from contextlib import contextmanager

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.events import EventBus
from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.ledger.store import Ledger
from slackwater.settings import (
    ClickHouseSettings,
    EventSettings,
    LakeSettings,
    LedgerSettings,
    S3Settings,
    WarehouseSettings,
)


def open_ledger() -> Ledger:
    """Return the ledger of the environment."""
    settings = LedgerSettings()  # read from the environment
    return Ledger(settings.dsn, lease_seconds=settings.lease_seconds)


def open_lake() -> Lake:
    """Return the lake of the environment."""
    return Lake(LakeSettings(), S3Settings())


def open_object_store() -> ObjectStore:
    """Return the object store of the environment."""
    return ObjectStore(S3Settings())


def open_event_bus() -> EventBus:
    """Return the event bus of the environment."""
    return EventBus(EventSettings())


def open_speed_store() -> SpeedStore:
    """Return the ClickHouse store of the environment."""
    return SpeedStore(ClickHouseSettings())


@contextmanager
def open_warehouse(query_tag: str) -> Iterator[Warehouse]:
    """Connect to the warehouse and close it afterwards.

    Args:
        query_tag: Batch, refresh or report id; marks every statement of this connection.
    """
    with Warehouse(WarehouseSettings(), query_tag=query_tag) as warehouse:
        yield warehouse
