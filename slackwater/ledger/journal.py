"""Writes `ledger.transition`, the append-only record of every change of state, in the transaction of the change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg.types.json import Jsonb

from slackwater.clients.postgres import Connection
from slackwater.ledger.model import Subject, require_legal

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
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ledger.transition (subject, subject_id, from_state, to_state, actor, detail)"
            " values (%s, %s, %s, %s, %s, %s)",
            [(c.subject.value, c.subject_id, c.from_state, c.to_state, actor, Jsonb(dict(c.detail))) for c in changes],
        )
