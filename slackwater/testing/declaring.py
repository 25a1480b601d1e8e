"""Entities that no file declares, for tests of what happens when a declaration changes."""

from collections.abc import Iterator
from contextlib import contextmanager

from slackwater.entities.model import DECLARED, Entity


@contextmanager
def declaring(*entities: Entity) -> Iterator[None]:
    """Let `load_entity` return these inside the block, by their names; everything that asks it follows."""
    before = dict(DECLARED)
    DECLARED.update({entity.name: entity for entity in entities})
    try:
        yield
    finally:
        DECLARED.clear()
        DECLARED.update(before)
