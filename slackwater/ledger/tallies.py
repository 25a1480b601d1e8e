"""How many objects and batches are in each state, without counting: triggers keep `ledger.tally` as they change."""

from collections.abc import Mapping
from dataclasses import dataclass

from slackwater.clients.postgres import Connection

Counts = Mapping[str, Mapping[str, int]]
"""Per entity the count of each state that has any; the entity of an object whose key names none is empty."""


@dataclass(frozen=True)
class Tally:
    """The counts of one moment; a batch a published refresh holds counts as `published`, not as `loaded`."""

    objects: Counts
    batches: Counts

    def objects_in(self, state: str) -> int:
        """Count the objects of all entities in a state."""
        return sum(found.get(state, 0) for found in self.objects.values())


def read_tally(connection: Connection) -> Tally:
    """Read the counts; exact at the transaction's snapshot."""
    rows = connection.execute(
        "select subject, entity, state, sum(amount)::bigint from ledger.tally group by 1, 2, 3 having sum(amount) <> 0"
    ).fetchall()
    counts: dict[str, dict[str, dict[str, int]]] = {"object": {}, "batch": {}}
    for subject, entity, state, amount in rows:
        counts[subject].setdefault(entity, {})[state] = amount
    return Tally(objects=counts["object"], batches=counts["batch"])
