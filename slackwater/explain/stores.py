"""The stores an explanation asks: each is opened when it is first asked, and one that does not answer is noted.

An explanation is wanted most when something is broken, so a store that is away costs its own steps and nothing else.
Drivers are imported when their store is asked.
"""

from collections.abc import Callable
from importlib import import_module
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from slackwater.clients.postgres import Connection, connect, translated
from slackwater.errors import SlackwaterError
from slackwater.explain.facts import Silent, Store
from slackwater.ledger.store import Ledger
from slackwater.stack.systems import Systems

if TYPE_CHECKING:
    from slackwater.clients.clickhouse import SpeedStore
    from slackwater.clients.iceberg import Lake
    from slackwater.clients.snowflake import Warehouse

T = TypeVar("T")


class Stores:
    """The stores of one system; a context manager that closes what was opened. An answer is None without one.

    Args:
        systems: Where they are.
    """

    def __init__(self, systems: Systems) -> None:
        self._systems = systems
        self._silent: dict[Store, str] = {}
        self._warehouse: Warehouse | None = None
        self._lake: Lake | None = None
        self._speed: SpeedStore | None = None
        self._ledger = Ledger(systems.ledger.dsn, lease_seconds=systems.ledger.lease_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()
        for opened in (self._warehouse, self._lake, self._speed):
            if opened is not None:
                opened.close()

    def warm_up(self) -> None:
        """Import the dearest driver beside the first questions, which mostly wait for their answers."""
        Thread(target=import_module, args=("snowflake.connector",), daemon=True).start()

    @property
    def silent(self) -> Silent:
        """Return the stores that did not answer so far, with what they said."""
        return dict(self._silent)

    @property
    def bucket(self) -> str:
        """Return the landing bucket."""
        return self._systems.landing.bucket

    def ledger(self, question: Callable[[Connection], T]) -> T | None:
        """Ask the ledger in one read-only snapshot."""

        def ask() -> T:
            with self._ledger.transaction() as connection:
                connection.execute("set transaction isolation level repeatable read read only")
                return question(connection)

        return self._asked(Store.LEDGER, ask)

    def shop(self, question: Callable[[Connection], T]) -> T | None:
        """Ask the shop's database."""

        def ask() -> T:
            with connect(self._systems.shop.dsn, autocommit=True) as connection, translated():
                return question(connection)

        return self._asked(Store.SHOP, ask)

    def warehouse(self, question: "Callable[[Warehouse], T]") -> T | None:
        """Ask the warehouse, all questions in one session."""

        def ask() -> T:
            from slackwater.clients.snowflake import Warehouse

            self._warehouse = self._warehouse or Warehouse(self._systems.warehouse, query_tag="slackwater explain")
            return question(self._warehouse)

        return self._asked(Store.WAREHOUSE, ask)

    def lake(self, question: "Callable[[Lake], T]") -> T | None:
        """Ask the lake."""

        def ask() -> T:
            from slackwater.clients.iceberg import Lake

            self._lake = self._lake or Lake(self._systems.lake, self._systems.s3)
            return question(self._lake)

        return self._asked(Store.LAKE, ask)

    def speed(self, question: "Callable[[SpeedStore], T]") -> T | None:
        """Ask ClickHouse."""

        def ask() -> T:
            from slackwater.clients.clickhouse import SpeedStore

            self._speed = self._speed or SpeedStore(self._systems.clickhouse)
            return question(self._speed)

        return self._asked(Store.CLICKHOUSE, ask)

    def _asked(self, store: Store, ask: Callable[[], T]) -> T | None:
        if store in self._silent:
            return None
        try:
            return ask()
        except SlackwaterError as exc:
            self._silent[store] = str(exc)
            return None
