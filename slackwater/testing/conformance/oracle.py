"""What is right, twice: the source's own table, and the definition by brute force over whatever arrived.

Works on the described changes, never on a file's bytes, so reading and casting are judged too. Shares no code with any
merge and orders changes by its own words. Slow and obvious on purpose.
"""

from collections.abc import Iterable, Mapping

from slackwater.entities.model import Entity
from slackwater.naming import TOAST_PLACEHOLDER
from slackwater.testing.conformance.change_files import Case, ChangeFile
from slackwater.testing.conformance.source import Change, Row

Place = tuple[int, int, bool, int, str]
"""Epoch, LSN, streamed rather than snapshot, source position, object id: a row's place in the change order."""


def state_after(entity: Entity, arrived: Iterable[tuple[ChangeFile, str]]) -> dict[int, Row]:
    """Return the rows that exist once these files arrived, whatever their order.

    The definition: sort the rows of a key by change order and walk. An insert or a snapshot row is the row; an update
    replaces every column but those it withholds; a delete ends the row and with it every withheld value.

    Args:
        entity: What the files hold.
        arrived: Files with their object ids; an object that arrived twice counts once, a faulty one not at all.

    Returns:
        Rows by the history's keys.
    """
    versions: dict[int, dict[Place, Change]] = {}
    for file, object_id in arrived:
        if file.fault is not None:
            continue
        for index, change in enumerate(file.changes):
            place = (file.epoch, change.lsn, change.op != "r", file.first + index, object_id)
            versions.setdefault(change.key, {})[place] = change
    walked = {key: _walk(entity, [change for _, change in sorted(of_key.items(), key=lambda item: item[0])])
              for key, of_key in versions.items()}  # fmt: skip
    return {key: row for key, row in walked.items() if row is not None}


def _walk(entity: Entity, changes: list[Change]) -> Row | None:
    """Return the row after a key's changes in their order, None when it is deleted."""
    row: dict[str, object] | None = None
    withheld: dict[str, object] = dict.fromkeys(entity.toastable_names)
    for change in changes:
        if change.op in ("c", "r", "d"):
            withheld = dict.fromkeys(entity.toastable_names)
        if change.op == "d":
            row = None
            continue
        row = dict(change.values)
        for name in entity.toastable_names:
            if row[name] == TOAST_PLACEHOLDER:
                row[name] = withheld[name]
            withheld[name] = row[name]
    return row  # type: ignore[return-value]


def disagreement_with_source(case: Case, state: Mapping[int, Row]) -> str:
    """Say how the state after all files differs from the source's own table; empty when it does not or is not known."""
    if case.table is None or state == case.table:
        return ""
    keys = sorted(key for key in {*state, *case.table} if state.get(key) != case.table.get(key))
    return "; ".join(f"key {key}: source {case.table.get(key)}, definition {state.get(key)}" for key in keys)
