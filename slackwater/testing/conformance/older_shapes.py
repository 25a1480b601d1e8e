"""Files as they were written before a column was added, renamed or widened, and what may be in them. Pure.

An entity tells at which version a column was added, not when one was renamed or widened; here all of that happens at
version 2.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from slackwater.entities.model import AMOUNTS, Column, ColumnType, Entity
from slackwater.testing.conformance.change_files import ChangeFile
from slackwater.testing.conformance.source import Change, Value

_SMALL_LIMIT = 10**8  # of decimal(10,2)


def columns_at(entity: Entity, version: int | None) -> tuple[tuple[str, Column], ...]:
    """Return the columns a file of a version has, each with the name it is declared under now."""
    if version is None:
        return tuple((column.name, column) for column in entity.columns)
    kept = [column for column in entity.columns if (column.since or 1) <= version]
    return tuple((column.name, _first_shape(column) if version == 1 else column) for column in kept)


def shape_at(entity: Entity, version: int | None) -> Entity:
    """Return the entity as the source's table was at a version, with nothing to tell of what came later."""
    columns = tuple(
        column.model_copy(update={"since": None, "renamed_from": (), "was": ()})
        for _, column in columns_at(entity, version)
    )
    return entity.model_copy(update={"columns": columns, "version": 1})


def written_at(file: ChangeFile, version: int, entity: Entity) -> ChangeFile:
    """Return the file in the shape of a version, or as it is when its rows cannot have been written then."""
    fits = all(_could_be_told(entity, change, version) for change in file.changes)
    return replace(file, version=version) if fits and file.changes else file


def grown(files: Iterable[ChangeFile], versions: Iterable[int], entity: Entity) -> tuple[ChangeFile, ...]:
    """Return files in the shapes of these versions; those beyond them as declared now."""
    given, wanted = tuple(files), tuple(versions)
    aged = (written_at(file, version, entity) for file, version in zip(given, wanted, strict=False))
    return (*aged, *given[len(wanted) :])


def _first_shape(column: Column) -> Column:
    return column.model_copy(update={"name": column.names[-1], "type": column.was[0] if column.was else column.type})


def _could_be_told(entity: Entity, change: Change, version: int) -> bool:
    kept = dict(columns_at(entity, version))
    return all(
        value is None if name not in kept else _fits(kept[name].type, value) for name, value in change.values.items()
    )


def _fits(kind: ColumnType, value: Value) -> bool:
    if value is None or isinstance(value, str):
        return True
    if kind is ColumnType.INT32 and isinstance(value, int):
        return -(2**31) <= value < 2**31
    if kind in AMOUNTS and kind is not ColumnType.LARGE_MONEY and isinstance(value, Decimal):
        return abs(value) < _SMALL_LIMIT
    return True
