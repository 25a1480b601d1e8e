"""A running system as the end-to-end tests see it, with a way to ask each of its stores."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from sample_year import planned_year

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.postgres import connect
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.snowflake import Warehouse
from slackwater.commands.waiting import Progress, wait_until_quiet
from slackwater.ledger.store import Ledger
from slackwater.replay.files import SliceBy
from slackwater.replay.report import ReplayReport
from slackwater.replay.run import replay
from slackwater.replay.targets import Landing
from slackwater.stack.profile import Profile
from slackwater.stack.systems import Systems

EXPECTED_SQL = Path(__file__).resolve().parent.parent / "e2e" / "expected"
QUIET_TIMEOUT_SECONDS = 1_200

Row = tuple[object, ...]

FOREIGN_LSN = 10**15
"""Above every LSN a replay of the year gives out, so a foreign change is the newest of its key."""


@dataclass(frozen=True)
class World:
    """A running system and ways to ask each of its stores."""

    profile: Profile
    systems: Systems

    def replay(self, *, to_date: date, from_date: date | None = None, slice_by: SliceBy = SliceBy.DAY) -> ReplayReport:
        """Replay real sales into the shop, the landing bucket and the speed layer."""
        with SpeedStore(self.systems.clickhouse) as feed:
            return replay(
                self.systems.shop.dsn,
                Landing(
                    ObjectStore(self.systems.s3),
                    bucket=self.systems.landing.bucket,
                    prefix=self.systems.landing.prefix,
                    epoch=self.systems.landing.epoch,
                ),
                feed=feed,
                from_date=from_date,
                to_date=to_date,
                slice_by=slice_by,
                year=planned_year(),
            )

    def settle(self, meanwhile: Callable[[Progress], None] = lambda _: None) -> Progress:
        """Wait until nothing is in flight; `meanwhile` is called after every look."""
        with self.ledger() as ledger:
            progress = wait_until_quiet(self.systems, ledger, timeout_seconds=QUIET_TIMEOUT_SECONDS, say=meanwhile)
        assert progress.is_quiet, f"still in flight after {QUIET_TIMEOUT_SECONDS} s: {progress.line}"
        return progress

    def ledger(self) -> Ledger:
        """Open the ledger."""
        return Ledger(self.systems.ledger.dsn, lease_seconds=self.systems.ledger.lease_seconds)

    def shop(self, sql: str) -> list[Row]:
        """Ask the shop."""
        with connect(self.systems.shop.dsn, autocommit=True) as connection:
            return [tuple(row) for row in connection.execute(sql).fetchall()]

    def warehouse(self, sql: str) -> list[Row]:
        """Ask the warehouse."""
        with Warehouse(self.systems.warehouse, query_tag="test") as warehouse:
            return [tuple(row) for row in warehouse.query(sql)]

    def expected_metrics(self) -> dict[date, Row]:
        """Compute the daily metrics from the shop's own tables, by SQL written by hand."""
        rows = self.shop((EXPECTED_SQL / "daily_business_metrics.sql").read_text())
        return {row[0]: exact(row[1:]) for row in rows}  # type: ignore[misc]

    def published_metrics(self) -> dict[date, Row]:
        """Read the published daily metrics in the order of the expected columns."""
        rows = self.warehouse(f"select {', '.join(METRIC_COLUMNS)} from MARTS.DAILY_BUSINESS_METRICS order by date")
        return {row[0]: exact(row[1:]) for row in rows}  # type: ignore[misc]

    def publications(self) -> dict[date, str]:
        """Return per day the publication that wrote its row."""
        rows = self.warehouse("select date, publication_id from MARTS.DAILY_BUSINESS_METRICS")
        return {row[0]: str(row[1]) for row in rows}  # type: ignore[misc]


METRIC_COLUMNS = (
    "date",
    "new_customers",
    "returning_customers",
    "total_active_customers",
    "total_orders",
    "completed_orders",
    "cancelled_orders",
    "avg_order_value",
    "total_revenue",
    "revenue_from_new_customers",
    "revenue_from_returning_customers",
    "revenue_from_guests",
    "total_items_sold",
    "unique_products_sold",
    "customer_acquisition_rate",
    "order_completion_rate",
    "average_items_per_order",
)


def exact(row: Row) -> Row:
    """Return a row with every number as a Decimal: exact, and equal across drivers. A float is a fault."""
    assert not any(isinstance(value, float) for value in row), f"a float in {row}"
    return tuple(Decimal(value) if isinstance(value, int) else value for value in row)
