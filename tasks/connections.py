"""Settings to clients, for one step at a time. The only place of `tasks/` where clients are made; nothing is cached.

Drivers are imported where they are needed: every flow run is a new process, and most need two or three of the systems.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError

from slackwater.clients.events import EventBus
from slackwater.ledger.store import Ledger
from slackwater.settings import (
    ClickHouseSettings,
    EventSettings,
    LakeSettings,
    LedgerSettings,
    S3Settings,
    ShopSettings,
    WarehouseSettings,
)

if TYPE_CHECKING:
    from slackwater.clients.clickhouse import SpeedStore
    from slackwater.clients.iceberg import Lake
    from slackwater.clients.s3 import ObjectStore
    from slackwater.clients.snowflake import Warehouse


def open_ledger() -> Ledger:
    """Return the ledger of the environment."""
    settings = LedgerSettings()  # read from the environment
    return Ledger(settings.dsn, lease_seconds=settings.lease_seconds)


def open_lake() -> "Lake":
    """Return the lake of the environment."""
    from slackwater.clients.iceberg import Lake

    return Lake(LakeSettings(), S3Settings())


def open_object_store() -> "ObjectStore":
    """Return the object store of the environment."""
    from slackwater.clients.s3 import ObjectStore

    return ObjectStore(S3Settings())


def open_event_bus() -> EventBus:
    """Return the event bus of the environment."""
    return EventBus(EventSettings())


def open_speed_store() -> "SpeedStore":
    """Return the ClickHouse store of the environment."""
    from slackwater.clients.clickhouse import SpeedStore

    return SpeedStore(ClickHouseSettings())


def open_source_dsn() -> SecretStr | None:
    """Return where the source's database is, None when the environment names none."""
    try:
        return ShopSettings().dsn
    except ValidationError:
        return None


@contextmanager
def open_warehouse(query_tag: str) -> "Iterator[Warehouse]":
    """Connect to the warehouse and close it afterwards.

    Args:
        query_tag: Batch, refresh or report id; marks every statement of this connection.
    """
    from slackwater.clients.snowflake import Warehouse

    with Warehouse(WarehouseSettings(), query_tag=query_tag) as warehouse:
        yield warehouse
