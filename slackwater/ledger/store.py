"""The ledger: one object in front of the PostgreSQL schema `ledger`, one transaction per call.

Thin on purpose: connections and transactions are here, the SQL is in `objects`, `batches`, `refreshes`, `frontier` and
`status`. Usable from several threads; close it, or use it as a context manager.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from types import MappingProxyType, TracebackType

from pydantic import SecretStr

from slackwater.clients.postgres import Connection, Sessions
from slackwater.errors import ConfigurationError
from slackwater.ledger import batch_leases, batches, emissions, frontier, objects, refreshes, work
from slackwater.ledger.emissions import DueBatch
from slackwater.ledger.model import (
    Batch,
    BatchLease,
    LedgerRefresh,
    ObjectState,
    OpenObject,
    RefreshState,
    SeenObject,
    Skipped,
    WorkLease,
)
from slackwater.ledger.object_days import ObjectDays
from slackwater.ledger.renewal import renewing

Lease = BatchLease | WorkLease
_NO_DAYS: ObjectDays = MappingProxyType({})


class Ledger:
    """Where every object, batch and refresh is."""

    def __init__(self, dsn: SecretStr | str, *, lease_seconds: float = 60) -> None:
        self._sessions = Sessions(dsn, application_name="slackwater-ledger")
        self._lease_seconds = lease_seconds

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections; the ledger stays usable."""
        self._sessions.close()

    def transaction(self) -> AbstractContextManager[Connection]:
        """Run a block in one transaction.

        Raises:
            StoreUnavailable: The database does not answer; nothing was committed, or it is not known.
        """
        return self._sessions.transaction()

    # objects

    def record_objects(self, seen: Sequence[SeenObject], *, actor: str) -> int:
        """Record object versions and return how many were new; the same ones again change nothing."""
        with self.transaction() as connection:
            return len(objects.record_objects(connection, seen, actor=actor))

    def unknown_ids(self, object_ids: Sequence[str]) -> set[str]:
        """Return which ids of a listing need recording."""
        with self.transaction() as connection:
            return objects.unknown_ids(connection, object_ids)

    def open_objects(self, entity: str | None = None) -> list[OpenObject]:
        """Return objects waiting for a batch, oldest first."""
        with self.transaction() as connection:
            return objects.open_objects(connection, entity)

    def quarantine(self, object_id: str, *, reason: str, message: str = "", actor: str) -> None:
        """Quarantine an object that is in no landed batch."""
        with self.transaction() as connection:
            state = ObjectState.QUARANTINED
            objects.set_aside(connection, object_id, state, reason=reason, message=message, actor=actor)

    def supersede(self, object_id: str, *, message: str = "", actor: str) -> None:
        """Note that an object's content does not exist any more."""
        with self.transaction() as connection:
            state = ObjectState.SUPERSEDED
            objects.set_aside(connection, object_id, state, reason="superseded", message=message, actor=actor)

    def retry_quarantine(self, object_id: str, *, actor: str) -> str:
        """Put a quarantined object into a new batch and return that batch's id; its event is due at once.

        Raises:
            IllegalTransition: The object is not in quarantine, or its key can never be read.
        """
        with self.transaction() as connection:
            entity = objects.reopen(connection, object_id, actor=actor)
            batch_id = batches.seal(connection, entity, [object_id], actor=actor)
        if batch_id is None:
            raise ConfigurationError(f"object {object_id} could not be sealed right after it was opened")
        return batch_id

    def record_rejected_message(self, queue: str, body: str, *, reason: str) -> None:
        """Keep an unreadable queue message."""
        with self.transaction() as connection:
            objects.record_rejected_message(connection, queue, body, reason=reason)

    def is_empty(self) -> bool:
        """Say whether no object was ever recorded."""
        with self.transaction() as connection:
            return connection.execute("select 1 from ledger.object limit 1").fetchone() is None

    # batches

    def seal(self, entity: str, object_ids: Sequence[str], *, actor: str) -> str | None:
        """Make a batch; None when another process took one of the objects."""
        with self.transaction() as connection:
            return batches.seal(connection, entity, object_ids, actor=actor)

    def claim_batch(self, batch_id: str, *, actor: str) -> BatchLease | None:
        """Take a batch's lease; None when it is loaded or another live lease exists."""
        with self.transaction() as connection:
            return batch_leases.claim(connection, batch_id, actor=actor, lease_seconds=self._lease_seconds)

    def batch(self, batch_id: str) -> Batch:
        """Read a batch with its manifest.

        Raises:
            ConfigurationError: There is no such batch.
        """
        with self.transaction() as connection:
            found = batches.batch(connection, batch_id)
        if found is None:
            raise ConfigurationError(f"there is no batch {batch_id}; see `slackwater batches`")
        return found

    def mark_landed(
        self,
        lease: BatchLease,
        *,
        snapshot_id: int | None,
        row_count: int,
        skipped: Sequence[Skipped] = (),
        days: ObjectDays = _NO_DAYS,
    ) -> None:
        """Record that the lake holds a batch, what its objects hold per day, and set its bad objects aside."""
        with self.transaction() as connection:
            batches.mark_landed(
                connection, lease, snapshot_id=snapshot_id, row_count=row_count, skipped=skipped, days=days
            )

    def mark_loaded(self, lease: BatchLease, *, load_seq: int) -> None:
        """Record that the warehouse holds a batch; ends the lease."""
        with self.transaction() as connection:
            batches.mark_loaded(connection, lease, load_seq=load_seq)

    def unloaded_counts(self) -> dict[str, int]:
        """Return per entity how many batches are not loaded."""
        with self.transaction() as connection:
            return batches.unloaded_counts(connection)

    def due_batches(self, *, grace_seconds: float, is_first_only: bool = False) -> list[DueBatch]:
        """Return batches whose event is to be sent (again)."""
        with self.transaction() as connection:
            return emissions.due_batches(connection, grace_seconds=grace_seconds, is_first_only=is_first_only)

    def mark_emitted(self, batch_id: str, *, emission: int) -> bool:
        """Note that an event was sent."""
        with self.transaction() as connection:
            return emissions.mark_emitted(connection, batch_id, emission=emission)

    # leases of both kinds

    def renew(self, lease: Lease) -> None:
        """Extend a lease; raises `LeaseLost` when somebody else holds it."""
        with self.transaction() as connection:
            if isinstance(lease, BatchLease):
                batch_leases.renew(connection, lease, lease_seconds=self._lease_seconds)
            else:
                work.renew(connection, lease, lease_seconds=self._lease_seconds)

    def release(self, lease: BatchLease, *, error: str | None = None) -> None:
        """Give a batch back, keeping why the attempt failed."""
        with self.transaction() as connection:
            batch_leases.release(connection, lease, error=error)

    @contextmanager
    def renewing(self, lease: Lease) -> Iterator[Callable[[], None]]:
        """Renew a lease in the background while the block runs.

        Yields:
            A function that raises `LeaseLost` when the lease was lost; call it before a step that cannot be undone.
        """
        with renewing(lambda: self.renew(lease), every_seconds=self._lease_seconds / 3) as check:
            yield check

    # kinds of work that one run does at a time

    def raise_flag(self, kind: str) -> bool:
        """Say that a kind of work is due; True when its flag was down."""
        with self.transaction() as connection:
            return work.raise_flag(connection, kind)

    def lower_flag(self, kind: str) -> None:
        """Take a flag down, before looking what there is to do."""
        with self.transaction() as connection:
            work.lower_flag(connection, kind)

    def flag_raises(self, kind: str) -> int:
        """Return how often a flag was raised; part of the event's id."""
        with self.transaction() as connection:
            return work.flag_raises(connection, kind)

    def claim_work(self, kind: str, *, actor: str) -> WorkLease | None:
        """Take the lease of a kind of work; None when another live one exists."""
        with self.transaction() as connection:
            return work.claim(connection, kind, actor=actor, lease_seconds=self._lease_seconds)

    def release_work(self, lease: WorkLease) -> None:
        """Give a lease back."""
        with self.transaction() as connection:
            work.release(connection, lease)

    # refreshes

    def reraise_refresh_flag(self, mart_set: str, *, grace_seconds: float) -> int | None:
        """Raise the flag where a refresh is due and nobody works on one; returns the number of the event to send."""
        with self.transaction() as connection:
            if not refreshes.is_due(connection, mart_set):
                return None
            return work.reraise_flag(connection, mart_set, grace_seconds=grace_seconds)

    def is_refresh_due(self, mart_set: str) -> bool:
        """Say whether a refresh is open or would have something new to publish."""
        with self.transaction() as connection:
            return refreshes.is_due(connection, mart_set)

    def start_refresh(
        self, lease: WorkLease, *, bounds: Mapping[str, int], as_of: datetime | None, is_forced: bool = False
    ) -> LedgerRefresh | None:
        """Freeze the set of a new refresh or continue one left open; None when there is nothing new."""
        with self.transaction() as connection:
            return refreshes.start(connection, lease, bounds=bounds, as_of=as_of, is_forced=is_forced)

    def refresh(self, refresh_id: str) -> LedgerRefresh:
        """Read a refresh with its frozen set."""
        with self.transaction() as connection:
            found = refreshes.refresh(connection, refresh_id)
        if found is None:
            raise ConfigurationError(f"there is no refresh {refresh_id}")
        return found

    def mark_tested(self, lease: WorkLease, refresh_id: str) -> None:
        """Record that every check ran."""
        with self.transaction() as connection:
            refreshes.mark(connection, lease, refresh_id, to_state=RefreshState.TESTED)

    def mark_published(self, lease: WorkLease, refresh_id: str, *, publication_id: str) -> None:
        """Record that marts hold the refresh."""
        with self.transaction() as connection:
            to_state = RefreshState.PUBLISHED
            refreshes.mark(connection, lease, refresh_id, to_state=to_state, publication_id=publication_id)

    def mark_rejected(
        self, lease: WorkLease, refresh_id: str, *, reasons: Sequence[str], report: str | None = None
    ) -> None:
        """Record that the gate refused the refresh; its batches wait for the next one."""
        with self.transaction() as connection:
            to_state = RefreshState.REJECTED
            refreshes.mark(connection, lease, refresh_id, to_state=to_state, reasons=reasons, report=report)

    # answers

    def published_frontier(self) -> dict[tuple[str, str], int]:
        """Return per (entity, source partition) the contiguously published position."""
        with self.transaction() as connection:
            return frontier.published_frontier(connection)
