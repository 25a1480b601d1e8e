"""The shapes of the ledger's answers for people: frozen, JSON-able. The queries are in `status` and `listings`."""

from dataclasses import asdict, dataclass
from datetime import datetime

from slackwater.ledger.gaps import MissingRange

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True)
class QuarantinedObject:
    """One object the system refuses to load.

    Attributes:
        entity: None when its key names none.
        state: `quarantined`; `superseded` for one overwritten before it was read; `discarded` for one given up.
        message: What was wrong with it; of a discarded one, why it was given up.
        overwrites: Id of the object that had the same key before, if any.
        batch_id: Batch that went on without it, if one had it.
    """

    object_id: str
    key: str
    entity: str | None
    state: str
    reason: str | None
    message: str | None
    size_bytes: int
    first_position: int | None
    last_position: int | None
    batch_id: str | None
    overwrites: str | None
    first_seen_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class OverwrittenKey:
    """A landing key that holds other content than before; both versions are in the ledger."""

    key: str
    former_object_id: str
    object_id: str
    former_state: str
    state: str


@dataclass(frozen=True)
class EntityStatus:
    """Where one entity's objects and batches are; ages in seconds.

    Attributes:
        objects: Count per object state.
        batches: Count per batch state, with `published` counted apart from `loaded`.
        oldest_unpublished_age_seconds: Age of the oldest object that is neither published nor set aside; None: none.
        lag_seconds: Time from first seen to published of the newest published batch; None before the first one.
        last_error: Newest error of a batch that is not loaded.
        quarantined: Names of its quarantined objects with their reasons.
    """

    entity: str
    objects: dict[str, int]
    batches: dict[str, int]
    oldest_unpublished_age_seconds: float | None
    lag_seconds: float | None
    last_error: str | None
    quarantined: tuple[str, ...]


@dataclass(frozen=True)
class InFlight:
    """What is still on its way. All zero: everything that was seen is published, set aside, or was rejected.

    Attributes:
        unpublished_batches: Loaded, and in no published or rejected refresh.
        rejected_batches: Loaded, and the last refresh that held them was rejected; they wait, they do not move.
    """

    open_objects: int
    unloaded_batches: int
    unpublished_batches: int
    open_refreshes: int
    rejected_batches: int

    @property
    def is_empty(self) -> bool:
        """Say whether nothing moves any more."""
        return not (self.open_objects or self.unloaded_batches or self.unpublished_batches or self.open_refreshes)


@dataclass(frozen=True)
class RefreshStatus:
    """One refresh as a person wants to see it."""

    refresh_id: str
    mart_set: str
    state: str
    batches: int
    publication_id: str | None
    reasons: tuple[str, ...]
    report: str | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class LedgerStatus:
    """The whole ledger at one moment.

    Attributes:
        unplaced: Quarantined objects whose key names no entity.
        gaps: Source positions between known files that no file holds.
    """

    entities: tuple[EntityStatus, ...]
    in_flight: InFlight
    unplaced: tuple[QuarantinedObject, ...]
    overwritten: tuple[OverwrittenKey, ...]
    gaps: tuple[MissingRange, ...]
    rejected_messages: int
    last_refresh: RefreshStatus | None


@dataclass(frozen=True)
class BatchLine:
    """One batch in a list."""

    batch_id: str
    entity: str
    state: str
    objects: int
    skipped: int
    rows: int | None
    load_seq: int | None
    attempt: int
    is_leased: bool
    refresh_state: str | None
    sealed_at: datetime
    landed_at: datetime | None
    loaded_at: datetime | None
    published_at: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class BatchObjectLine:
    """One object of a batch."""

    object_id: str
    key: str
    size_bytes: int
    first_position: int
    last_position: int
    state: str
    is_skipped: bool
    reason: str | None


@dataclass(frozen=True)
class TransitionLine:
    """One recorded change of state."""

    subject: str
    subject_id: str
    from_state: str | None
    to_state: str
    actor: str
    detail: dict[str, str | int | float | bool | None]
    at: datetime


@dataclass(frozen=True)
class BatchDetail:
    """One batch with its objects and its history."""

    batch: BatchLine
    objects: tuple[BatchObjectLine, ...]
    history: tuple[TransitionLine, ...]


@dataclass(frozen=True)
class QuarantineDetail:
    """One quarantined object with its history."""

    item: QuarantinedObject
    history: tuple[TransitionLine, ...]


Answer = LedgerStatus | BatchDetail | QuarantineDetail | BatchLine | QuarantinedObject | InFlight | RefreshStatus


def as_json(answer: Answer) -> Json:
    """Turn an answer into plain JSON values; times become ISO text."""
    return _plain(asdict(answer))


def _plain(value: object) -> Json:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{value!r} has no JSON form")
