"""The stores an explanation asks: each is opened when it is first asked, and one that does not answer is noted.

An explanation is wanted most when something is broken, so a store that is away costs its own steps and nothing else.
Drivers are imported when their store is asked.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from slackwater.clients.postgres import Connection, connect, translated
from slackwater.clients.snowflake import import_driver
from slackwater.errors import SlackwaterError
from slackwater.explain.facts import Silent, Store
from slackwater.explain.lake_process import LakeProcess
from slackwater.ledger.store import Ledger
from slackwater.stack.systems import Systems

if TYPE_CHECKING:
    from slackwater.clients.clickhouse import SpeedStore
    from slackwater.clients.snowflake import Warehouse
    from slackwater.explain.facts import ChangeRow
    from slackwater.explain.work_facts import BatchFacts, SnapshotFacts

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
        self._lake: LakeProcess | None = None
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

    def warm_up(self, entity: str | None) -> None:
        """Import the dear drivers beside the first questions, which mostly wait for their answers.

        Args:
            entity: Whose part of the lake is likely to be asked for.
        """
        self._lake = self._lake or LakeProcess(self._systems.lake, self._systems.s3, entity)
        Thread(target=import_driver, daemon=True).start()

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

    def lake_snapshots(
        self, entity: str, batches: "Sequence[BatchFacts]", *, with_files: Collection[str], day: date | None
    ) -> "dict[str, SnapshotFacts] | None":
        """Ask the lake which of its snapshots hold batches."""
        found: dict[str, SnapshotFacts] | None = self._ask_lake(
            "snapshots_of", entity=entity, batches=batches, with_files=tuple(with_files), day=day
        )
        return found

    def lake_versions(self, entity: str, key: int, batch_ids: Sequence[str]) -> "tuple[ChangeRow, ...] | None":
        """Ask the lake for the rows of a key in some batches."""
        found: tuple[ChangeRow, ...] | None = self._ask_lake(
            "lake_versions", entity=entity, key=key, batch_ids=tuple(batch_ids)
        )
        return found

    def _ask_lake(self, question: str, **arguments: object) -> Any:
        def ask() -> Any:
            self._lake = self._lake or LakeProcess(self._systems.lake, self._systems.s3, None)
            return self._lake.ask(question, **arguments)

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
