"""The ledger's rules, pure: what states there are, which changes of state are legal, and the names things go by.

The store refuses every change that `require_legal` refuses. No SQL and no I/O here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from slackwater.errors import IllegalTransition


class ObjectState(StrEnum):
    """Where one object version is.

    `quarantined` is left by a retry, when the key is overwritten, or when somebody discards it with a reason;
    `discarded` by a retry; `superseded` when the old content comes back.
    """

    SEEN = "seen"
    BATCHED = "batched"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


class BatchState(StrEnum):
    """Where a sealed batch is; `loaded` is its end, unless the lake is found without its rows (back to `sealed`)."""

    SEALED = "sealed"
    LANDED = "landed"
    LOADED = "loaded"


class RefreshState(StrEnum):
    """Where a refresh is; `published` and `rejected` are its ends."""

    BUILDING = "building"
    TESTED = "tested"
    PUBLISHED = "published"
    REJECTED = "rejected"


class Subject(StrEnum):
    """What a transition is about."""

    OBJECT = "object"
    BATCH = "batch"
    REFRESH = "refresh"


State = ObjectState | BatchState | RefreshState

_LEGAL: dict[Subject, frozenset[tuple[str | None, str]]] = {
    Subject.OBJECT: frozenset(
        {
            (None, ObjectState.SEEN),
            (None, ObjectState.QUARANTINED),
            (None, ObjectState.BATCHED),  # a lost ledger rebuilt
            (ObjectState.SEEN, ObjectState.BATCHED),
            (ObjectState.SEEN, ObjectState.QUARANTINED),
            (ObjectState.SEEN, ObjectState.SUPERSEDED),
            (ObjectState.BATCHED, ObjectState.QUARANTINED),
            (ObjectState.BATCHED, ObjectState.SUPERSEDED),
            (ObjectState.QUARANTINED, ObjectState.SEEN),
            (ObjectState.QUARANTINED, ObjectState.SUPERSEDED),
            (ObjectState.QUARANTINED, ObjectState.DISCARDED),
            (ObjectState.DISCARDED, ObjectState.SEEN),
            (ObjectState.SUPERSEDED, ObjectState.SEEN),
        }
    ),
    Subject.BATCH: frozenset(
        {
            (None, BatchState.SEALED),
            (None, BatchState.LANDED),  # a lost ledger rebuilt
            (None, BatchState.LOADED),
            (BatchState.SEALED, BatchState.LANDED),
            (BatchState.LANDED, BatchState.LOADED),
            (BatchState.LANDED, BatchState.SEALED),  # the lake was rolled back
            (BatchState.LOADED, BatchState.SEALED),
        }
    ),
    Subject.REFRESH: frozenset(
        {
            (None, RefreshState.BUILDING),
            (None, RefreshState.PUBLISHED),  # a lost ledger rebuilt
            (RefreshState.BUILDING, RefreshState.TESTED),
            (RefreshState.BUILDING, RefreshState.REJECTED),
            (RefreshState.TESTED, RefreshState.PUBLISHED),
            (RefreshState.TESTED, RefreshState.REJECTED),
        }
    ),
}


def is_legal(subject: Subject, from_state: str | None, to_state: str) -> bool:
    """Say whether a change of state is allowed; `from_state` None means the row is new."""
    return (from_state, to_state) in _LEGAL[subject]


def require_legal(subject: Subject, subject_id: str, from_state: str | None, to_state: str) -> None:
    """Check one change of state.

    Raises:
        IllegalTransition: The model does not allow it.
    """
    if not is_legal(subject, from_state, to_state):
        raise IllegalTransition(f"{subject.value} {subject_id} cannot go from {from_state or 'nothing'} to {to_state}")


def object_id(bucket: str, key: str, etag: str) -> str:
    """Return the id of one object version: 32 hex digits; quotes around the etag do not matter."""
    return sha256(f"{bucket}\n{key}\n{etag.strip(chr(34))}".encode()).hexdigest()[:32]


def batch_id(entity: str, object_ids: Sequence[str], *, attempt: int = 0) -> str:
    """Return the id of a manifest: 32 hex digits, whatever the order of its objects.

    Args:
        entity: Entity of every object.
        object_ids: The manifest, at least one.
        attempt: Raised by one when the same manifest is sealed again (a retried quarantine).
    """
    salt = f"\nattempt={attempt}" if attempt else ""
    return sha256(("\n".join([entity, *sorted(object_ids)]) + salt).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class SeenObject:
    """One object version as a notification or a listing shows it, with what its key says.

    Attributes:
        reason: None for a good one, else why it is quarantined at once.
        first_position: First source position its name promises; None when the name says nothing.
        last_position: Last source position; `first_position - 1` for a file without rows.
    """

    object_id: str
    bucket: str
    key: str
    etag: str
    size_bytes: int
    entity: str | None = None
    source_partition: str | None = None
    first_position: int | None = None
    last_position: int | None = None
    epoch: int = 0
    version_id: str | None = None
    last_modified: datetime | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class OpenObject:
    """An object that waits for a batch; ages in seconds by the database's clock."""

    object_id: str
    entity: str
    size_bytes: int
    age_seconds: float


@dataclass(frozen=True)
class BatchObject:
    """One line of a manifest."""

    object_id: str
    bucket: str
    key: str
    etag: str
    size_bytes: int
    source_partition: str
    first_position: int
    last_position: int
    epoch: int
    is_skipped: bool
    reason: str | None


@dataclass(frozen=True)
class Batch:
    """One sealed batch and where it is; `row_count` counts its objects that were not skipped."""

    id: str
    entity: str
    state: BatchState
    objects: tuple[BatchObject, ...]
    size_bytes: int
    row_count: int | None
    snapshot_id: int | None
    load_seq: int | None
    attempt: int
    emissions: int
    sealed_at: datetime
    landed_at: datetime | None
    loaded_at: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class BatchLease:
    """The right to work on a batch until it expires; `owner` and `attempt` are compared on every write."""

    batch_id: str
    owner: str
    attempt: int
    state: BatchState
    actor: str


@dataclass(frozen=True)
class WorkLease:
    """The right to do a kind of work, such as refreshing a mart set; `owner` and `attempt` are compared on writes."""

    work: str
    owner: str
    attempt: int
    actor: str


@dataclass(frozen=True)
class LedgerRefresh:
    """A refresh and its frozen set.

    Attributes:
        bounds: Per entity the greatest `load_seq` it may read.
        is_resumed: True when an earlier holder started it and died; its set is the frozen one, not a new one.
    """

    refresh_id: str
    mart_set: str
    state: RefreshState
    bounds: dict[str, int]
    as_of: datetime | None
    batch_ids: tuple[str, ...]
    is_resumed: bool = False
    publication_id: str | None = None
    reasons: tuple[str, ...] = ()
    report: str | None = None


@dataclass(frozen=True)
class Skipped:
    """An object a batch goes on without."""

    object_id: str
    key: str
    reason: str
    message: str = ""
