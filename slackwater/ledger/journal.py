"""Writes `ledger.transition`, the append-only record of every change of state, in the transaction of the change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg.types.json import Jsonb

from slackwater.clients.postgres import Connection
from slackwater.ledger.model import Subject, require_legal

_CHUNK = 10_000
"""Rows of one statement; a rebuilt ledger writes its whole history at once."""

Detail = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Change:
    """One change of state; `from_state` None for a new row."""

    subject: Subject
    subject_id: str
    from_state: str | None
    to_state: str
    detail: Detail = field(default_factory=dict)


def record(connection: Connection, changes: Sequence[Change], *, actor: str) -> None:
    """Check changes against the model and write them.

    Args:
        connection: Inside the transaction that makes the changes.
        changes: What changes; may be empty.
        actor: Who does it, such as `bridge` or a flow run's name.

    Raises:
        IllegalTransition: The model does not allow one of them.
    """
    for change in changes:
        require_legal(change.subject, change.subject_id, change.from_state, change.to_state)
    for start in range(0, len(changes), _CHUNK):
        _insert(connection, changes[start : start + _CHUNK], actor=actor)


def _insert(connection: Connection, changes: Sequence[Change], *, actor: str) -> None:
    connection.execute(
        "insert into ledger.transition (subject, subject_id, from_state, to_state, actor, detail)"
        " select subject, subject_id, from_state, to_state, %s, detail"
        " from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[]) with ordinality"
        " as c (subject, subject_id, from_state, to_state, detail, place) order by place",
        (
            actor,
            [c.subject.value for c in changes],
            [c.subject_id for c in changes],
            [None if c.from_state is None else str(c.from_state) for c in changes],
            [str(c.to_state) for c in changes],
            [Jsonb(dict(c.detail)) for c in changes],
        ),
    )
