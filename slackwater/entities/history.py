"""Which history an entity's columns may tell: what no file or table could have been is refused. Pure.

`model.py` asks this when an entity file is read; the shapes themselves are in `evolution.py`.
"""

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the model asks this module
    from slackwater.entities.model import Entity


def impossible_history(entity: "Entity", *, reserved: Collection[str]) -> str:
    """Say what cannot be in the history that an entity's columns tell; empty when all of it can.

    Args:
        entity: As its file declares it.
        reserved: Names of the columns that stores add; no source column has ever had one.
    """
    changed = [column.name for column in entity.columns if column.since or column.renamed_from or column.was]
    if changed and entity.version == 1:
        return f"{', '.join(changed)} changed, so `version` is at least 2"
    late = [f"{column.name} since {column.since}" for column in entity.columns if (column.since or 0) > entity.version]
    if late:
        return f"{', '.join(late)}: later than the entity's `version`, {entity.version}"
    names = Counter(name for column in entity.columns for name in column.names)
    old = {name for column in entity.columns for name in column.renamed_from}
    taken = sorted(name for name in old if names[name] > 1 or name in reserved)
    if taken:
        return f"an old name is another column's name too: {', '.join(taken)}; a name is never used again"
    # Stores are partitioned, sorted and joined by these; `created_at` gives a state row its partition.
    fixed = {entity.key, entity.event_time, "created_at"}.intersection(changed)
    if fixed:
        return f"{', '.join(sorted(fixed))}: the key, the event time and `created_at` stay as they are"
    return ""
